"""The operator's daemon.json keeps his keys; what contradicts ours is refused by name before anything is changed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host import docker_settings, requirements
from ansible.module_utils.poppyfield.host.requirements import daemon_facts

from tests.unit.test_requirements import NEEDS, PI

Run = Callable[..., dict[str, Any]]
OURS: dict[str, Any] = {
    "live-restore": True,
    "log-driver": "local",
    "log-opts": {"max-size": "10m", "max-file": "3"},
}
HARDENED: dict[str, Any] = {**OURS, **docker_settings.HARDENED}
HIS: dict[str, Any] = {
    "data-root": "/mnt/disk/docker",
    "default-address-pools": [{"base": "10.201.0.0/16", "size": 24}],
    "proxies": {"http-proxy": "http://ann:poppyseed@proxy.example.org"},
}


def problems(there: dict[str, Any], root: str = "") -> list[str]:
    return list(docker_settings.problems(there, OURS, root))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "docker" / "daemon.json"


@pytest.mark.field("B3", "the operator's daemon.json")
def test_the_operators_keys_stay_and_ours_come_among_them(predict_and_run: Run, run_module: Run, file: Path) -> None:
    file.parent.mkdir()
    file.write_text(json.dumps({**HIS, "log-opts": {"compress": "false"}}))
    file.chmod(0o600)
    done = predict_and_run("docker_settings", results=("changed", "kept", "diff"), settings=OURS, path=str(file))
    assert done["changed"]
    assert json.loads(file.read_text()) == {**HIS, **OURS, "log-opts": {"compress": "false", **OURS["log-opts"]}}
    assert file.stat().st_mode & 0o777 == 0o600
    assert done["kept"] == sorted(HIS)
    assert "poppyseed" not in json.dumps(done)
    assert json.loads(done["diff"]["before"]) == {"log-opts": {}}
    assert json.loads(done["diff"]["after"]) == OURS
    assert not run_module("docker_settings", settings=OURS, path=str(file))["changed"]


def test_a_file_that_is_not_there_is_made(run_module: Run, file: Path) -> None:
    assert run_module("docker_settings", check_mode=True, settings=OURS, path=str(file))["changed"]
    assert not file.parent.exists()
    assert run_module("docker_settings", settings=OURS, path=str(file))["changed"]
    assert json.loads(file.read_text()) == OURS
    assert file.stat().st_mode & 0o777 == 0o644


def test_what_an_earlier_run_wrote_takes_new_values(run_module: Run, file: Path) -> None:
    file.parent.mkdir()
    file.write_text(json.dumps({**HIS, **OURS}))
    wanted = {**OURS, "live-restore": False, "log-opts": {"max-size": "20m", "max-file": "5"}}
    assert run_module("docker_settings", settings=wanted, path=str(file))["changed"]
    assert json.loads(file.read_text()) == {**HIS, **wanted}


@pytest.mark.field("B3", "the operator's daemon.json")
@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"log-driver": "journald"}, "log-driver is journald, but Poppyfield needs local"),
        ({**OURS, "log-driver": "json-file"}, "log-driver is json-file"),
        ({"live-restore": False}, "live-restore is false, but docker_engine_live_restore says true"),
        ({"log-opts": {"max-size": "50m"}}, 'log-opts, max-size is "50m", but docker_engine_log_max_size says "10m"'),
        ({"log-driver": "local", "log-opts": {"max-file": "9"}}, 'max-file is "9", but docker_engine_log_max_files'),
        ({"log-opts": ["max-size"]}, "log-opts is no object"),
        ({"iptables": False}, "iptables is false"),
        ({**OURS, "userns-remap": "default"}, "userns-remap gives containers other users"),
        ({"hosts": ["tcp://127.0.0.1:2375"]}, "hosts has no unix:///var/run/docker.sock"),
    ],
)
def test_a_contradiction_is_named_with_the_remedy(
    run_module: Run, file: Path, there: dict[str, Any], words: str
) -> None:
    (sentence,) = problems(there)
    assert sentence.startswith("/etc/docker/daemon.json: ")
    assert words in sentence
    assert "emove" in sentence or sentence.endswith(("Correct it.", "Add it."))
    file.parent.mkdir()
    file.write_text(json.dumps(there))
    refused = run_module("docker_settings", settings=OURS, path=str(file))
    assert refused["failed"] and words in refused["msg"]
    assert json.loads(file.read_text()) == there


@pytest.mark.parametrize(
    "there",
    [{}, HIS, OURS, {**HIS, **OURS}, {"live-restore": True}, {"hosts": ["fd://", "tcp://127.0.0.1:2375"]}],
)
def test_what_goes_together_is_no_problem(there: dict[str, Any]) -> None:
    assert problems(there) == []
    assert problems(there, "/mnt/disk/docker") == []


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"icc": True}, "icc is true, but hardening_engine needs false"),
        ({**OURS, "no-new-privileges": False}, "no-new-privileges is false, but hardening_engine needs true"),
        ({"default-ulimits": {}}, "default-ulimits is {}, but hardening_engine needs {"),
    ],
)
def test_a_softer_setting_is_named_where_a_hardened_engine_is_asked_for(there: dict[str, Any], words: str) -> None:
    assert problems(there) == []
    (sentence,) = docker_settings.problems(there, HARDENED, "")
    assert words in sentence and "or set hardening_engine to false" in sentence


def test_a_hardened_engine_keeps_what_an_earlier_run_wrote_and_takes_new_values(run_module: Run, file: Path) -> None:
    file.parent.mkdir()
    file.write_text(json.dumps({**HIS, **OURS}))
    wanted = {**HARDENED, "log-opts": {"max-size": "20m", "max-file": "5"}}
    done = run_module("docker_settings", settings=wanted, path=str(file))
    assert done["changed"]
    assert json.loads(done["diff"]["after"]) == wanted
    assert json.loads(file.read_text()) == {**HIS, **wanted}
    # Asked for no longer, it stays, as a setting of the operator.
    softer = {**OURS, "log-opts": wanted["log-opts"]}
    assert not run_module("docker_settings", settings=softer, path=str(file))["changed"]


def test_an_engine_is_not_restarted_into_another_folder() -> None:
    (sentence,) = problems(HIS, "/var/lib/docker")
    assert "data-root is /mnt/disk/docker, but the engine works in /var/lib/docker" in sentence
    # Where nothing is to be written, nothing is restarted.
    assert problems({**HIS, **OURS}, "/var/lib/docker") == []
    # A folder that the engine's own command line names.
    assert problems({}, "/mnt/disk/docker") == []


@pytest.mark.parametrize("text", ['{"a": "poppyseed",}', "[]", "{"])
def test_a_file_that_docker_cannot_read_is_told_without_its_content(run_module: Run, file: Path, text: str) -> None:
    facts = daemon_facts(text, OURS, "")
    (sentence,) = facts["daemon_problems"]
    assert "Correct it, or move it away." in sentence
    assert "poppyseed" not in sentence
    assert requirements.problems(dataclasses.replace(PI, **facts), NEEDS) == [sentence]
    file.parent.mkdir()
    file.write_text(text)
    assert "Correct it, or move it away." in run_module("docker_settings", settings=OURS, path=str(file))["msg"]
    assert file.read_text() == text


def test_what_the_module_cannot_read_or_write_is_a_sentence(run_module: Run, file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b'{"a": "\xff"}')
    assert "is not UTF-8" in run_module("docker_settings", settings=OURS, path=str(file))["msg"]
    file.unlink()
    file.mkdir()
    assert "Is a directory" in run_module("docker_settings", settings=OURS, path=str(file))["msg"]


def test_the_first_look_tells_whether_it_differs_and_none_of_the_content(
    run_module: Run, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = library("host_requirements")
    texts = {"/etc/docker/daemon.json": json.dumps(HIS)}
    monkeypatch.setattr(module, "text_of", lambda path: texts.get(path, ""))
    engine = "28\t/mnt/disk/docker\t\n"
    monkeypatch.setattr(module, "said_by", lambda argv: engine if argv[:2] == ["docker", "info"] else "")

    def look(**given: Any) -> tuple[Any, list[str]]:
        result = run_module("host_requirements", **given)
        assert "poppyseed" not in json.dumps(result)
        told = [sentence for sentence in result["problems"] if "daemon.json" in sentence]
        return result["ansible_facts"]["poppyfield_pi"]["daemon_differs"], told

    assert look() == (None, [])
    assert look(docker_settings=OURS) == (True, [])
    texts["/etc/docker/daemon.json"] = json.dumps({**HIS, **OURS})
    assert look(docker_settings=OURS) == (False, [])
    texts["/etc/docker/daemon.json"] = json.dumps({**HIS, "log-driver": "journald"})
    differs, (sentence,) = look(docker_settings=OURS)
    assert differs and "log-driver is journald" in sentence


UNIT = """\
# /usr/lib/systemd/system/docker.service
[Service]
EnvironmentFile=-/etc/default/docker
ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS
"""


@pytest.mark.parametrize(
    ("units", "swarm", "words"),
    [
        (UNIT, False, []),
        (UNIT + '#DOCKER_OPTS="--log-driver=journald"\nDOCKER_OPTS="--dns 192.0.2.1 --data-root=/mnt"', False, []),
        (UNIT + 'DOCKER_OPTS="--log-driver=journald"', False, ["--log-driver", "/etc/default/docker"]),
        (UNIT + "ExecStart=/usr/bin/dockerd --live-restore", False, ["--live-restore", "Remove the option."]),
        (UNIT + "DOCKER_OPTS='--dns 192.0.2.1 --log-opt max-size=1m'", False, ["--log-opt", "log-opts"]),
        (UNIT, True, ["in a swarm", "docker_engine_live_restore to false"]),
    ],
)
def test_an_engine_that_would_not_start_again_is_told_before(units: str, swarm: bool, words: list[str]) -> None:
    told = daemon_facts("{}", OURS, "", units, swarm=swarm)["daemon_problems"]
    assert len(told) == bool(words)
    assert all(word in sentence for sentence in told for word in words)
    assert daemon_facts("{}", OURS, "", UNIT + 'DOCKER_OPTS="--icc=false"')["daemon_problems"] == ()
    assert "--icc" in daemon_facts("{}", HARDENED, "", UNIT + 'DOCKER_OPTS="--icc=false"')["daemon_problems"][0]
    # Nothing is written, so nothing is restarted.
    assert daemon_facts(json.dumps(OURS), OURS, "", units, swarm=swarm)["daemon_problems"] == ()
    assert docker_settings.lacks("{}", OURS) and not docker_settings.lacks(json.dumps(OURS), OURS)
    calm = {**OURS, "live-restore": False}
    assert daemon_facts("{}", calm, "", UNIT, swarm=True)["daemon_problems"] == ()


@pytest.mark.parametrize(
    ("answers", "file", "place"),
    [
        ("28\t/mnt/disk/docker\tinactive\n", "{}", "/mnt/disk/docker"),
        ("", '{"data-root": "/mnt/other"}', "/mnt/other"),
        ("", '{"data-root": 7}', "/var/lib/docker"),
        ("", "{", "/var/lib/docker"),
        ("", "", "/var/lib/docker"),
    ],
)
def test_room_is_asked_of_the_disk_that_docker_works_on(
    run_module: Run, library: Any, monkeypatch: pytest.MonkeyPatch, *, answers: str, file: str, place: str
) -> None:
    module = library("host_requirements")
    asked: list[str] = []
    monkeypatch.setattr(module, "text_of", lambda path: file if path.endswith("daemon.json") else "")
    monkeypatch.setattr(module, "said_by", lambda argv: answers if argv[:2] == ["docker", "info"] else "")

    def free_mb(path: str) -> int:
        asked.append(path)
        return 10

    monkeypatch.setattr(module, "free_mb", free_mb)
    disk = [{"path": path, "free_mb": 5} for path in ("/var/lib/docker", "/srv")]
    for settings in ({"docker_settings": OURS}, {}):
        asked.clear()
        run_module("host_requirements", disk=disk, **settings)
        assert asked == [place, "/srv"]
