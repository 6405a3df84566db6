"""The compose file: the specification told a second time, and the containers that compose knows, on the fake engine."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.poppyfield.containers import compose, compose_file, container_module
from ansible.module_utils.poppyfield.containers.compose import ComposePlace
from ansible.module_utils.poppyfield.containers.compose_file import ComposeFile, ComposeProject
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, Result
from ansible.module_utils.poppyfield.containers.plan import DesiredState, PlanError, Recreate, State
from ansible.module_utils.poppyfield.containers.spec import COMPOSE_DIGEST, ContainerSpec, HealthTiming, Json, labels
from docker import errors

from tests.doubles.docker_engine import FakeDocker
from tests.unit.converging import BESIDE, BESIDE_NEW, NAME, NEW, SPEC, changed, fresh

Run = Callable[..., dict[str, Any]]
IMAGE: Json = {"Id": "sha256:1", "Config": {"Labels": {}}}
PLACE = ComposePlace("/srv/poppyfield")
HASH = "com.docker.compose.config-hash"


class FakeCompose:
    """A compose command: its hash is that of the service that it reads."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.refuses = ""

    def __call__(self, argv: Sequence[str], chunks: Iterable[bytes] = ()) -> Result:
        self.asked.append(argv)
        if self.refuses:
            return Result(1, "", self.refuses)
        if "version" in argv:
            return Result(0, "2.26.1\n", "")
        name = argv[-1].removeprefix("--hash=")
        told = json.loads(Path(argv[argv.index("--file") + 1]).read_text())
        return Result(0, f"{name} {hash_of(told['services'][name])}\n", "")


def hash_of(service: Json) -> str:
    return hashlib.sha256(json.dumps(service, sort_keys=True).encode()).hexdigest()


@pytest.fixture
def command() -> FakeCompose:
    return FakeCompose()


@pytest.fixture
def project(tmp_path: Path, command: FakeCompose) -> ComposeProject:
    return ComposeProject(ComposePlace(str(tmp_path / "poppyfield")), ("docker-compose",), command)


@pytest.fixture
def host() -> FakeDocker:
    return fresh()


def converge(host: FakeDocker, project: ComposeProject | None, wanted: ContainerSpec = SPEC, **desired: Any) -> Any:
    """Predict in check mode, then do it; both must say the same."""
    asked = DesiredState(**desired)
    twin = Engine(copy.deepcopy(host), errors, host.execute)  # type: ignore[arg-type]
    predicted = container_module.converge(twin, wanted, asked, healthy_timeout=30, check_mode=True, compose=project)
    engine = Engine(host, errors, host.execute)  # type: ignore[arg-type]
    done = container_module.converge(
        engine, wanted, asked, healthy_timeout=30, compose=project, clock=lambda: 0.0, sleep=lambda _: None
    )
    assert predicted.result()["changed"] == done.result()["changed"]
    return done


def written(project: ComposeProject) -> Json:
    found: Json = yaml.safe_load(project.file.path.read_text())
    return found


def services(project: ComposeProject) -> Json:
    """Give those that have a container, beside the one that is there to be named."""
    found: Json = written(project)["services"]
    assert found.pop(compose.WORDS)["scale"] == 0
    return found


# What is told -------------------------------------------------------------------------------------------------------


def test_the_service_has_all_that_the_container_has() -> None:
    wanted = changed(
        health=HealthTiming(interval=5, timeout=3, retries=2, start_period=60),
        capabilities=("SETUID",),
        hardware_address="02:00:00:00:00:01",
    )
    assert compose.service(wanted, IMAGE, PLACE) == {
        "image": wanted.image,
        "pull_policy": "never",
        "build": "/srv/poppyfield/images",
        "container_name": NAME,
        "labels": labels(wanted, IMAGE),
        "environment": {"LANG": "C.UTF-8", "WORKERS": "1"},
        "volumes": [
            {
                "type": "bind",
                "source": source,
                "target": target,
                "read_only": read_only,
                "bind": {"create_host_path": False},
            }
            for source, target, read_only in (("/srv", "/data", False), ("/etc", "/secrets", True))
        ],
        "tmpfs": ["/tmp:mode=1777"],
        "ports": ["0.0.0.0:80:8080"],
        "networks": {"poppyfield": {"aliases": ["postgis"]}},
        "restart": "always",
        "cap_drop": ["ALL"],
        "cap_add": ["SETUID"],
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        "shm_size": 64,
        "pids_limit": 512,
        "stop_grace_period": "20s",
        "command": ["postgres", "-c", "shared_buffers=128MB"],
        "mem_limit": 256,
        "mac_address": "02:00:00:00:00:01",
        "healthcheck": {"interval": "5s", "timeout": "3s", "start_period": "60s", "retries": 2},
    }


def test_the_first_generation_is_not_told_what_it_does_not_know() -> None:
    told = compose.service(SPEC, IMAGE, ComposePlace("/srv/poppyfield", first_generation=True))
    assert all("bind" not in volume for volume in told["volumes"])


def test_a_dollar_is_no_variable_of_compose() -> None:
    wanted = changed(command=("postgres", "-c", "a=$HOME"), environment={"NAME": "a$b${c}"})
    told = compose.service(wanted, IMAGE, PLACE)
    assert told["command"][-1] == "a=$$HOME"
    assert told["environment"] == {"NAME": "a$$b$${c}"}


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    (port,) = SPEC.ports
    told = compose.service(changed(ports=(dataclasses.replace(port, bind_address="::1"),)), IMAGE, PLACE)
    assert told["ports"] == ["[::1]:80:8080"]


def test_networks_outlive_the_project_and_the_file_is_yaml() -> None:
    told = compose.service(SPEC, IMAGE, PLACE)
    found = yaml.safe_load(compose.text(compose.Composed({"postgis": told})))
    assert found["networks"] == {"poppyfield": {"external": True, "name": "poppyfield"}}
    said = {"image": SPEC.image, "pull_policy": "never", "network_mode": "none", "scale": 0}
    assert found["services"] == {"postgis": told, compose.WORDS: said}
    assert compose.read(json.dumps(found), "") == compose.Composed({"postgis": told})
    assert "docs/compose.md" in found["x-poppyfield"]["note"]


def test_each_field_of_the_specification_changes_what_is_told() -> None:
    given = {f.name: getattr(SPEC, f.name) for f in dataclasses.fields(SPEC)}
    before = compose.known(SPEC, IMAGE, PLACE).compose_digest
    others = {"name": "other", "network": "other", "stop_timeout": 9, "pids_limit": 9, "shm_size": 9, "ports": ()}
    for name, value in others.items():
        assert given[name] != value
        assert compose.known(changed(**{name: value}), IMAGE, PLACE).compose_digest != before
    assert compose.known(SPEC, {**IMAGE, "Id": "sha256:2"}, PLACE).compose_digest != before


@pytest.mark.parametrize(
    ("folder", "name"), [("/srv/poppyfield", "poppyfield"), ("/srv/Pf-Test_1/", "pf-test_1"), ("/x/__a.b", "ab")]
)
def test_the_project_is_named_by_its_folder_as_compose_does(folder: str, name: str) -> None:
    assert ComposePlace(folder).project == name


# The containers that compose knows ----------------------------------------------------------------------------------


def test_a_container_is_made_known_once(host: FakeDocker, project: ComposeProject, command: FakeCompose) -> None:
    first = converge(host, project)
    assert first.compose_file == str(project.file.path)
    own = host.named(NAME)["Config"]["Labels"]
    assert own[HASH] == hash_of(written(project)["services"]["postgis"])
    assert own["com.docker.compose.project"] == "poppyfield"
    assert own["com.docker.compose.service"] == "postgis"
    assert own["com.docker.compose.oneoff"] == "False"
    assert own["com.docker.compose.container-number"] == "1"
    assert own["com.docker.compose.version"] == "2.26.1"
    assert own["com.docker.compose.image"] == host.named(NAME)["Image"]
    assert (project.file.folder / "images" / "Dockerfile").read_text() == compose.DOCKERFILE
    asked = len(command.asked)
    assert not converge(host, project).result()["changed"]
    # A run that changes nothing starts no compose, which is slow on a Pi.
    assert len(command.asked) == asked == 2


def test_check_mode_writes_nothing_and_asks_nothing(
    host: FakeDocker, project: ComposeProject, command: FakeCompose
) -> None:
    engine = Engine(host, errors, host.execute)  # type: ignore[arg-type]
    container_module.converge(engine, SPEC, DesiredState(), healthy_timeout=30, check_mode=True, compose=project)
    assert not project.file.folder.exists()
    assert command.asked == []


def test_one_that_compose_does_not_know_is_replaced_once(host: FakeDocker, project: ComposeProject) -> None:
    converge(host, None)
    before = host.named(NAME)["Id"]
    done = converge(host, project)
    assert any(reason.startswith("docker-compose: does not know it -> ") for reason in done.plan.reasons)
    assert host.named(NAME)["Id"] != before
    assert not converge(host, project).result()["changed"]
    # Without a compose on the host nobody misses it.
    assert not converge(host, None).result()["changed"]


def test_one_that_stays_as_it_is_keeps_what_is_told_of_it(host: FakeDocker, project: ComposeProject) -> None:
    converge(host, project)
    told = written(project)
    assert not converge(host, project, changed(stop_timeout=9), recreate=Recreate.NEVER).result()["changed"]
    assert written(project) == told


def test_what_was_changed_in_the_file_by_hand_does_not_last(host: FakeDocker, project: ComposeProject) -> None:
    converge(host, project)
    right = project.file.path.read_text()
    earlier = json.dumps({**json.loads(right), "services": services(project)})
    outside = right.replace('"external": true', '"external": false')
    for wrong in (right.replace("always", "no"), right + "broken: [", right[: len(right) // 2], earlier, outside):
        project.file.path.write_text(wrong)
        done = converge(host, project)
        assert not done.plan.changed and done.compose_file
        # What was there is remembered as of before, and all else is as it was.
        assert all(written(project)[part] == json.loads(right)[part] for part in ("services", "networks"))
    assert not converge(host, project).result()["changed"]


@pytest.mark.parametrize("text", ["services: {}\n", "version: '3'\nx-other: 1\n"])
def test_a_file_of_somebody_else_is_left_alone(host: FakeDocker, project: ComposeProject, text: str) -> None:
    project.file.folder.mkdir()
    project.file.path.write_text(text)
    engine = Engine(host, errors, host.execute)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="was not written by Poppyfield, so it is left alone"):
        container_module.converge(engine, SPEC, DesiredState(), healthy_timeout=30, compose=project)
    assert project.file.path.read_text() == text
    assert host.calls == []


def test_a_compose_that_fails_stops_nothing(host: FakeDocker, project: ComposeProject, command: FakeCompose) -> None:
    converge(host, project)
    host.calls.clear()
    command.refuses = "services.postgis: unknown key"
    engine = Engine(host, errors, host.execute)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="unknown key Mend it, or set docker_engine_compose to never"):
        container_module.converge(engine, changed(image=NEW), DesiredState(), healthy_timeout=30, compose=project)
    assert host.calls == []


def test_a_new_container_that_fails_leaves_the_file_of_the_old_one(host: FakeDocker, project: ComposeProject) -> None:
    converge(host, project)
    told = project.file.path.read_text()
    host.behaviours[NEW].ends_with = 1
    engine = Engine(host, errors, host.execute)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="was put back and serves"):
        container_module.converge(
            engine, changed(image=NEW), DesiredState(), healthy_timeout=30, compose=project, sleep=lambda _: None
        )
    assert project.file.path.read_text() == told


def test_only_the_container_that_stays_is_known_to_compose(host: FakeDocker, project: ComposeProject) -> None:
    converge(host, project, BESIDE)
    bodies: list[Json] = []
    create = host.create_container_from_config

    def noted(config: Json, name: str) -> Json:
        bodies.append({"name": name, **config})
        return create(config, name)

    host.create_container_from_config = noted  # type: ignore[method-assign]
    converge(host, project, BESIDE_NEW)
    known = {body["name"]: HASH in body["Labels"] for body in bodies}
    assert known == {f"{NAME}-candidate": False, NAME: True}
    assert all(COMPOSE_DIGEST not in body["Labels"] for body in bodies if body["name"] != NAME)


def test_names_that_compose_adds_are_no_drift(host: FakeDocker, project: ComposeProject) -> None:
    converge(host, project, changed(network_aliases=("db",)))
    endpoint = host.named(NAME)["NetworkSettings"]["Networks"]["poppyfield"]
    endpoint["Aliases"] = [NAME, "postgis", "db", "db"]
    assert not converge(host, project, changed(network_aliases=("db",))).result()["changed"]
    endpoint["Aliases"] = [NAME, "postgis", "db", "stranger"]
    assert converge(host, project, changed(network_aliases=("db",))).plan.changed


def test_a_network_may_be_named_by_its_id(host: FakeDocker, project: ComposeProject) -> None:
    converge(host, project)
    container = host.named(NAME)
    container["HostConfig"]["NetworkMode"] = container["NetworkSettings"]["Networks"]["poppyfield"]["NetworkID"]
    assert not converge(host, project).result()["changed"]
    container["HostConfig"]["NetworkMode"] = "0123456789ab"
    assert any(reason.startswith("network: 0123456789ab") for reason in converge(host, project).plan.reasons)


def test_an_absent_container_is_forgotten_and_the_other_one_stays(host: FakeDocker, project: ComposeProject) -> None:
    other = changed(name="websig-lizmap", resource="lizmap", mounts=(), exclusive_folders=(), ports=())
    converge(host, project)
    converge(host, project, other)
    assert set(services(project)) == {"postgis", "lizmap"}
    converge(host, project, state=State.ABSENT)
    assert set(services(project)) == {"lizmap"}
    converge(host, project, other, state=State.ABSENT)
    assert not project.file.path.exists()
    assert list(project.file.folder.iterdir()) == []


# The other modules --------------------------------------------------------------------------------------------------


def test_a_container_that_is_put_back_has_its_file_back(
    host: FakeDocker, project: ComposeProject, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors, host.execute))  # type: ignore[arg-type]
    old, new = (dataclasses.replace(wanted, resource="lizmap") for wanted in (BESIDE, BESIDE_NEW))
    converge(host, project, old)
    told = services(project)
    converge(host, project, new, keep_previous=True)
    assert services(project) != told
    assert written(project)[compose.OURS]["waits"] == {"lizmap": f"{NAME}-previous"}
    run_module("previous_container", name=NAME, state="restored", compose_folder=project.place.folder)
    assert services(project) == told and written(project)[compose.OURS]["waits"] == {}
    assert host.named(NAME)["Config"]["Labels"][HASH] == hash_of(told["lizmap"])
    assert not converge(host, project, old).result()["changed"]


def test_compose_is_refused_while_a_previous_container_is_kept(
    host: FakeDocker, project: ComposeProject, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors, host.execute))  # type: ignore[arg-type]
    old, new = (dataclasses.replace(wanted, resource="lizmap") for wanted in (BESIDE, BESIDE_NEW))
    converge(host, project, old)
    networks = written(project)["networks"]
    converge(host, project, new, keep_previous=True)
    (network,) = written(project)["networks"].values()
    assert f"${{DEPLOYMENT_IS_OVER?{NAME}-previous waits until the deployment" in network["name"]
    assert not converge(host, project, new, keep_previous=True).result()["changed"]
    run_module("previous_container", name=NAME, state="absent", compose_folder=project.place.folder)
    assert written(project)["networks"] == networks
    assert not converge(host, project, new).result()["changed"]


def test_what_is_removed_is_forgotten(
    host: FakeDocker, project: ComposeProject, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors, host.execute))  # type: ignore[arg-type]
    converge(host, project)
    given: Json = {"containers": {"postgis": NAME}, "compose_folder": project.place.folder}
    path = str(project.file.path)
    assert path in run_module("removed_containers", check_mode=True, **given)["removed"]
    assert project.file.path.exists()
    assert path in run_module("removed_containers", **given)["removed"]
    assert not project.file.path.exists()
    assert not run_module("removed_containers", **given)["changed"]
    project.file.path.write_text("services: {}\n")
    done = run_module("removed_containers", **given)
    assert not done["changed"] and "was not written by Poppyfield" in done["msg"]


# Finding compose ----------------------------------------------------------------------------------------------------


def test_compose_is_found_in_each_form_and_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose_file, "PLUGIN_FOLDERS", (tmp_path / "plugins",))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ComposeProject.find("") is None
    assert ComposeProject.find("/srv/x") is None
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "docker-compose").touch()
    found = ComposeProject.find("/srv/x")
    assert found and found.command == ("docker", "compose") and not found.place.first_generation
    program = tmp_path / "docker-compose"
    for text, first in (("#!/usr/bin/python3\n", True), ("#!/bin/sh\n", False), ("\x7fELF", False)):
        program.write_text(text)
        program.chmod(0o755)
        found = ComposeProject.find("/srv/x")
        assert found and found.command == (str(program),) and found.place.first_generation is first
    with pytest.raises(PlanError, match="must be an absolute path"):
        ComposeProject.find("srv/x")


def test_a_hash_that_is_not_told_is_an_error(project: ComposeProject) -> None:
    silent = dataclasses.replace(project, run=lambda *_: Result(0, "", ""))
    with pytest.raises(EngineError, match="does not tell a service's hash"):
        silent.labels(SPEC, IMAGE)


def test_nothing_is_restored_where_there_is_no_file(tmp_path: Path) -> None:
    ComposeFile(str(tmp_path / "none")).restore("lizmap", {})
    assert not (tmp_path / "none").exists()
