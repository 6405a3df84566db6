"""The trail of deployments on a Pi: whole lines, bounded, whatever happens; and what is told of it."""

from __future__ import annotations

import dataclasses
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import container_module, health, startable
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.runs import lock, trail
from ansible.module_utils.poppyfield.status import rows
from ansible.module_utils.poppyfield.status.words import Speech
from docker import errors

from tests.doubles import fleet
from tests.doubles.docker_engine import Behaviour, FakeDocker
from tests.unit.converging import BESIDE, NEW, OLD, SPEC, converge, fresh

Json = dict[str, Any]
Run = Callable[..., Json]
ANNE: Json = {"by": "anne@heron", "playbook": "site.yml", "commit": "1f0c", "machine": "heron", "process": "7-1"}


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the trail of a host of its own."""
    monkeypatch.setattr(trail, "FILE", tmp_path / "lib" / "history.jsonl")
    monkeypatch.setattr(lock, "FOLDER", tmp_path / "run")
    return tmp_path / "lib" / "history.jsonl"


def note(number: int) -> None:
    assert trail.note(trail.DEPLOYED, ANNE, service="lizmap", image=f"poppyfield/lizmap:{number}") == ""


def images(limit: int = 100_000) -> list[str]:
    return [one["image"].partition(":")[2] for one in trail.newest(limit)]


def test_it_is_a_line_of_json_for_each_and_root_alone_reads_it(file: Path) -> None:
    note(1)
    note(2)
    first, second = map(json.loads, file.read_text().splitlines())
    assert {**first, "at": ""} == {
        **{"at": "", "result": "deployed", "service": "lizmap", "image": "poppyfield/lizmap:1"},
        **{"by": "anne@heron", "playbook": "site.yml", "commit": "1f0c"},
    }
    assert second["image"].endswith(":2") and images() == ["2", "1"] and images(1) == ["2"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_line_that_a_power_cut_left_unfinished_hides_no_other(file: Path, cut: int) -> None:
    for number in (1, 2):
        note(number)
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    note(3)
    assert images() in (["3", "2", "1"], ["3", "1"])
    assert images()[-1] == "1" and images()[0] == "3"


def test_it_is_bounded_and_the_newest_stay(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "LARGEST_FILE", 2_000)
    for number in range(100):
        note(number)
    found = images()
    assert found == [str(number) for number in range(99, 99 - len(found), -1)]
    assert 15 < len(found) < 40
    assert sorted(path.name for path in file.parent.iterdir()) == ["history.1.jsonl", "history.jsonl"]
    assert sum(path.stat().st_size for path in file.parent.iterdir()) < 2 * 2_500


def test_where_it_cannot_be_written_that_is_said_and_nothing_fails(file: Path) -> None:
    file.parent.write_text("")
    assert "is not in the trail of this host" in trail.note(trail.DEPLOYED, ANNE)
    assert trail.newest(5) == [] and trail.note(trail.DEPLOYED, None) == ""


def test_what_is_told_is_bounded_and_gives_a_terminal_no_orders() -> None:
    hostile = [{"by": "\x1b]0;title\x07x" * 999, "image": ["?"], "result": "deployed\nby root", "more": 1}, "text", 7]
    (line,) = trail.told(hostile * 50, 3)[:1]
    assert "\x1b" not in line and "\n" not in line and len(line) < 1_000 and "more" not in line
    assert len(trail.told(hostile * 50, 3)) <= 3 and trail.told("no list", 3) == []
    assert trail.parsed("[" * 9_000 + "\n{}\n[]\n7\n") == []


def test_a_line_says_when_what_by_whom() -> None:
    one = {"at": "2026-11-29T14:03:00+00:00", "result": "put back", "service": "lizmap", "image": "poppyfield/lizmap:1"}
    more = {"digest": "f" * 64, "tried": "poppyfield/lizmap:2", "why": "no map", **ANNE}
    assert trail.told([{**one, **more}, {}], 9) == [
        f"2026-11-29 14:03 UTC  lizmap put back  poppyfield/lizmap:1 ({'f' * 19}), tried poppyfield/lizmap:2  "
        "by anne@heron, site.yml at 1f0c: no map",
        "? UTC  ? ?  no image  by ?, ?",
    ]


# What modules leave -------------------------------------------------------------------------------------------------


class Module:
    """As much of a module as a deployment needs."""

    check_mode = False

    def __init__(self, run: Json | None = None) -> None:
        own = {
            "state": "started",
            "recreate": "auto",
            "restart": False,
            "healthy_timeout": 30,
            "run": run,
            "compose_folder": "",
        }
        self.params: Json = own
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def fail_json(self, msg: str, **_: Any) -> None:
        raise SystemExit(msg)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Return a Pi that has both images and nothing else."""
    host = fresh()
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors, host.execute))  # type: ignore[arg-type]
    monkeypatch.setattr(startable, "ensure", lambda _engine: "")
    monkeypatch.setattr(health, "POLL_SECONDS", 0)
    return host


def results() -> list[tuple[str, str, str]]:
    """Give what the trail says, the oldest first."""
    found = trail.newest(100)[::-1]
    return [(one["result"], one.get("image", ""), one.get("tried", "")) for one in found]


def test_a_deployment_is_noted_and_a_run_that_changes_nothing_is_not(host: FakeDocker) -> None:
    for _ in range(2):
        container_module.run(Module(ANNE), SPEC)
    assert results() == [("deployed", OLD, "")]
    (one,) = trail.newest(5)
    assert one["digest"] == "1" and one["container"] == "websig-postgis" and one["by"] == "anne@heron"
    host.stop(SPEC.name, 5)
    container_module.run(Module(ANNE), SPEC)
    assert results()[-1][0] == "changed" and "why" in trail.newest(1)[0]


def test_a_release_that_fails_is_noted_with_what_serves_now_and_the_pi_let_go(host: FakeDocker) -> None:
    container_module.run(Module(ANNE), BESIDE)
    assert (lock.FOLDER / lock.NAME).exists()
    host.behaviours[NEW] = Behaviour(ends_with=7)
    with pytest.raises(SystemExit):
        container_module.run(Module(ANNE), dataclasses.replace(BESIDE, image=NEW))
    assert results()[1] == ("put back", OLD, NEW)
    assert not (lock.FOLDER / lock.NAME).exists()


def test_a_first_release_that_fails_leaves_nothing_that_serves(host: FakeDocker) -> None:
    host.behaviours[OLD] = Behaviour(ends_with=7)
    with pytest.raises(SystemExit):
        container_module.run(Module(ANNE), SPEC)
    assert results() == [("failed", OLD, OLD)]


def test_a_release_that_does_not_pass_is_noted_when_the_old_one_is_put_back(host: FakeDocker, run_module: Run) -> None:
    map_server = dataclasses.replace(BESIDE, name="websig-lizmap", resource="lizmap")
    for wanted in (map_server, dataclasses.replace(map_server, image=NEW)):
        converge(host, wanted, keep_previous=True)
    assert not run_module("previous_container", state="restored", run=ANNE).get("failed")
    assert results() == [("put back", OLD, NEW)]
    assert not (lock.FOLDER / lock.NAME).exists()


def test_without_a_run_nothing_is_noted(host: FakeDocker, file: Path) -> None:
    container_module.run(Module(), SPEC)
    assert not file.exists()


def test_a_trail_that_cannot_be_written_is_a_warning(host: FakeDocker, file: Path) -> None:
    file.parent.write_text("")
    module = Module(ANNE)
    container_module.run(module, SPEC)
    assert host.names() == {SPEC.name: True} and "is not in the trail" in module.warnings[-1]


def test_the_module_gives_the_newest_first_of_the_services_named(run_module: Run) -> None:
    for service in ("postgis", "lizmap", "postgis"):
        trail.note(trail.DEPLOYED, ANNE, service=service)
    done = run_module("deployment_trail", services=["postgis"])
    assert [one["service"] for one in done["entries"]] == ["postgis", "postgis"]
    assert done["msg"] == "2 of its deployments, the newest first."
    assert run_module("deployment_trail", services=["files"])["msg"] == "nothing was deployed yet."


# What the status says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "codes"), [("deployed", []), ("put back", ["put_back"]), ("failed", ["deployment_failed"])]
)
def test_the_status_names_the_last_deployment_and_warns_of_a_bad_one(result: str, codes: list[str]) -> None:
    last = {"result": result, "service": "lizmap", "tried": "poppyfield/lizmap:2", **ANNE}
    row = rows.row_of(
        "pi-marsh", {**fleet.look(), "last_deployment": last}, fleet.asked(), None, "2026-11-29T00:00:00Z"
    )
    assert [one["code"] for one in row["wrong"]] == codes
    for language in ("en", "fr"):
        assert "(anne@heron, site.yml, 1f0c)" in Speech(language).line(row)
