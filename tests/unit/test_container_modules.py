"""postgis_container and lizmap_container as Ansible runs them, against the fake engine: each option changed once."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.poppyfield.containers import container_module
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineMissingError, Result
from ansible.module_utils.poppyfield.containers.spec import HARDWARE_ADDRESS, ContainerSpec, HealthTiming
from ansible.module_utils.poppyfield.host import data_folders
from ansible.module_utils.poppyfield.host.firewall_service import FirewallService
from ansible.module_utils.poppyfield.postgis import postgres
from docker import errors

from tests.doubles.docker_engine import Behaviour, FakeDocker

ROOT = Path(__file__).resolve().parents[2]
Json = dict[str, Any]
Library = Callable[[str], ModuleType]
Run = Callable[..., Json]

OLD = "poppyfield/x:trixie-arm64-000000000001"
NEW = "poppyfield/x:trixie-arm64-000000000002"
PASSWORD = "correct-horse-battery"
MEMORY = "MemTotal: 4000000 kB\n"
TOLD = ("changed", "steps", "reasons", "diff")
# What says how a container is brought about, not what it is.
HOW = {"name", "state", "recreate", "restart", "healthy_timeout", "compose_folder", "run"}


@pytest.fixture(autouse=True)
def engine(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A Pi with 4 GB, and both images on it."""
    docker.add_image(OLD, "1", Behaviour(looks_until_healthy=0))
    docker.add_image(NEW, "2", Behaviour(looks_until_healthy=0))
    monkeypatch.setattr(Engine, "connect", lambda: Engine(docker, errors, docker.execute))  # type: ignore[arg-type]
    monkeypatch.setattr(container_module, "read_meminfo", lambda: MEMORY)
    return docker


@pytest.fixture
def lizmap(tmp_path: Path) -> Json:
    """The options of a map server."""
    for name in ("projects", "config", "others"):
        (tmp_path / name).mkdir()
    (tmp_path / "password").write_text(PASSWORD)
    return {
        "image": OLD,
        "projects_folder": str(tmp_path / "projects"),
        "config_folder": str(tmp_path / "config"),
        "secrets": {"postgis_password": str(tmp_path / "password")},
        "database": {"name": "gis", "user": "lizmap"},
    }


@pytest.fixture
def postgis(tmp_path: Path) -> Json:
    """The options of a database server without roles and databases."""
    (tmp_path / "data").mkdir()
    (tmp_path / "other").mkdir()
    return {"image": OLD, "data_folder": str(tmp_path / "data")}


def in_folder(value: Any, folder: Path) -> Any:
    """Give a value in which {folder} stands for the folder of the test."""
    if isinstance(value, dict):
        return {key: in_folder(item, folder) for key, item in value.items()}
    return value.replace("{folder}", str(folder)) if isinstance(value, str) else value


NO_HTTPS: Json = {"https_port": 0, "hsts_seconds": 0, "trusted_proxies": [], "server_names": []}
TLS_SECRETS = {"tls_certificate": "{folder}/password", "tls_key": "{folder}/password"}
LIZMAP_CHANGES: list[tuple[Json, str]] = [
    ({"image": NEW}, f"image: {OLD} -> {NEW}"),
    ({"network": "other"}, "network: poppyfield -> other"),
    ({"network_alias": "map"}, "network aliases: lizmap -> map"),
    ({"health": {"interval": 7}}, "health check: Interval: 10000000000 -> 7000000000"),
    ({"health": {"timeout": 7}}, "health check: Timeout added"),
    ({"health": {"retries": 7}}, "health check: Retries: 3 -> 7"),
    ({"health": {"start_period": 7}}, "health check: StartPeriod added"),
    ({"memory_limit_share": 0.5}, "memory limit: 3019898880 -> 2013265920"),
    (
        {"projects_folder": "{folder}/others"},
        "mounts: /srv/projects: {folder}/projects (read-only) -> {folder}/others (read-only)",
    ),
    (
        {"config_folder": "{folder}/others"},
        "mounts: /srv/lizmap: {folder}/config (read-write) -> {folder}/others (read-write)",
    ),
    ({"secrets": {}}, "secrets: postgis_password removed"),
    ({"secrets": {}}, "mounts: /run/secrets/postgis_password removed"),
    ({"port": 81}, "ports: 8080/tcp: 0.0.0.0:80 -> 0.0.0.0:81"),
    ({"may_reach": [{"address": "192.168.1.20"}]}, "hardware address: any -> 02:f7:bc:d0:de:e0"),
    ({"bind_address": "127.0.0.1"}, "ports: 8080/tcp: 0.0.0.0:80 -> 127.0.0.1:80"),
    ({"https_port": 443, "secrets": TLS_SECRETS}, "ports: 8443/tcp added"),
    ({"https_port": 443, "secrets": TLS_SECRETS}, "environment: HTTPS_PORT added"),
    ({"hsts_seconds": 600}, "environment: HSTS_SECONDS added"),
    ({"trusted_proxies": ["10.0.0.1", "fd00::/8"]}, "environment: TRUSTED_PROXIES added"),
    ({"page_folder": "{folder}/others"}, "mounts: /srv/page added"),
    ({"server_names": ["pi", "pi.local"]}, "environment: SERVER_NAMES added"),
    ({"hotspot_network": "10.77.77.0/24"}, "environment: HOTSPOT_NETWORK added"),
    ({"database": {"name": "gis", "user": "lizmap", "host": "db"}}, "environment: POSTGIS_HOST: postgis -> db"),
    ({"database": {"name": "gis", "user": "lizmap", "port": 5433}}, "environment: POSTGIS_PORT: 5432 -> 5433"),
    ({"database": {"name": "other", "user": "lizmap"}}, "environment: POSTGIS_DATABASE: gis -> other"),
    ({"database": {"name": "gis", "user": "reader"}}, "environment: POSTGIS_USER: lizmap -> reader"),
    ({"qgis_workers": 2}, "environment: QGIS_SERVER_WORKERS added"),
    ({"php_children": 5}, "environment: PHP_CHILDREN added"),
    ({"server_name": "pi.local"}, "environment: SERVER_NAME added"),
    ({"accounts": "postgis"}, "environment: LIZMAP_ACCOUNTS added"),
    ({"stop_timeout": 31}, "stop timeout: 30 -> 31"),
]
DESKTOP: Json = {"desktop_networks": ["192.168.1.0/24"], "desktop_key": "{folder}/other"}
POSTGIS_CHANGES: list[tuple[Json, str]] = [
    ({"image": NEW}, f"image: {OLD} -> {NEW}"),
    ({"network": "other"}, "network: poppyfield -> other"),
    ({"network_alias": "db"}, "network aliases: postgis -> db"),
    ({"health": {"interval": 7}}, "health check: Interval: 10000000000 -> 7000000000"),
    ({"health": {"timeout": 7}}, "health check: Timeout added"),
    ({"health": {"retries": 7}}, "health check: Retries: 3 -> 7"),
    ({"health": {"start_period": 7}}, "health check: StartPeriod added"),
    ({"memory_limit_share": 0.5}, "memory limit: 3019898880 -> 2013265920"),
    (
        {"data_folder": "{folder}/other"},
        "mounts: /var/lib/postgresql/data: {folder}/data (read-write) -> {folder}/other (read-write)",
    ),
    ({"first_start_folder": "{folder}/other"}, "mounts: /etc/poppyfield/first-start added"),
    ({"memory_share": 0.2}, "environment: POSTGIS_MEMORY_PERCENT: 25 -> 20"),
    ({"memory_share": 0.2}, "shared memory: 251658240 -> 201326592"),
    ({"settings": {"jit": False}}, "command: nothing -> -c, jit=off"),
    ({"settings": {"jit": True}}, "command: nothing -> -c, jit=on"),
    ({"settings": {"work_mem": "8MB"}}, "command: nothing -> -c, work_mem=8MB"),
    ({"stop_timeout": 121}, "stop timeout: 120 -> 121"),
    ({**DESKTOP, "desktop_port": 5433}, "ports: 5432/tcp added"),
    (DESKTOP, "environment: POSTGIS_DESKTOP_NETWORKS added"),
    (DESKTOP, "mounts: /run/secrets/postgis_tls_key added"),
    (DESKTOP, "secrets: tls_key added"),
]
CHANGES = [
    pytest.param(name, change, id=f"{name}: {change[1]}")
    for name, changes in (("lizmap", LIZMAP_CHANGES), ("postgis", POSTGIS_CHANGES))
    for change in changes
]


@pytest.fixture
def options(request: pytest.FixtureRequest, name: str) -> Json:
    """The options of the named server."""
    found: Json = request.getfixturevalue(name)
    return found


@pytest.mark.field_changed_once
@pytest.mark.parametrize(("name", "change"), CHANGES)
def test_each_option_is_named_and_applied_once(
    predict_and_run: Run, options: Json, tmp_path: Path, name: str, change: tuple[Json, str]
) -> None:
    module = f"{name}_container"
    assert predict_and_run(module, TOLD, **options)["changed"]
    wanted, words = {**options, **in_folder(change[0], tmp_path)}, in_folder(change[1], tmp_path)
    done = predict_and_run(module, TOLD, **wanted)
    assert words in done["reasons"]
    assert done["container"]["running"]
    assert not predict_and_run(module, TOLD, **wanted)["changed"]


@pytest.mark.parametrize(
    ("name", "changes", "elsewhere"),
    [
        ("lizmap", LIZMAP_CHANGES, {"prove_beside", "keep_previous", "hold", "host_files"}),
        ("postgis", POSTGIS_CHANGES, {"roles", "databases", "people", "host_files", "upgrade", "map_server"}),
    ],
)
def test_no_option_is_left_out(
    library: Library, name: str, changes: list[tuple[Json, str]], elsewhere: set[str]
) -> None:
    tried = {option for change, _ in changes for option in change}
    assert tried | elsewhere | HOW == set(library(f"{name}_container").ARGUMENTS)


@pytest.mark.parametrize("name", ["lizmap", "postgis"])
def test_a_run_without_the_build_stage_says_what_to_run(run_module: Run, options: Json, name: str) -> None:
    assert "playbooks/deploy.yml" in run_module(f"{name}_container", **{**options, "image": ""})["msg"]


@pytest.mark.parametrize("name", ["lizmap", "postgis"])
@pytest.mark.parametrize(
    ("desired", "does"),
    [
        ({"state": "stopped"}, ["set restart policy {name}: no", "stop {name}"]),
        ({"state": "absent"}, ["stop {name}", "remove {name}"]),
        ({"restart": True}, ["stop {name}", "start {name}", "wait until {name} is healthy"]),
        ({"recreate": "always"}, ["wait until {name} is healthy", "remove {name}-previous"]),
        ({"recreate": "never"}, []),
        ({"healthy_timeout": 10}, []),
    ],
)
def test_each_way_to_bring_it_about(
    predict_and_run: Run, options: Json, name: str, desired: Json, does: list[str]
) -> None:
    module = f"{name}_container"
    predict_and_run(module, TOLD, **options)
    done = predict_and_run(module, TOLD, **options, **desired)
    assert {step.format(name=f"websig-{name}") for step in does} <= set(done["steps"])
    assert done["changed"] is bool(does)


ROOM = (MEMORY, "MemTotal: 1900000 kB\n")
NO_ROOM = (MEMORY.replace("4", "1", 1), "MemTotal: 948000 kB\n")


@pytest.mark.parametrize(
    ("prove_beside", "memories", "tried"),
    [("auto", ROOM, True), ("auto", NO_ROOM, False), ("always", NO_ROOM, True), ("never", ROOM, False)],
)
def test_a_new_map_server_is_tried_beside_the_old_one_where_there_is_room(
    predict_and_run: Run, lizmap: Json, prove_beside: str, memories: tuple[str, ...], tried: bool
) -> None:
    for memory in memories:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(container_module, "read_meminfo", lambda memory=memory: memory)
            predict_and_run("lizmap_container", TOLD, **lizmap)
            again = {**lizmap, "recreate": "always", "prove_beside": prove_beside}
            done = predict_and_run("lizmap_container", TOLD, **again)
        assert ("create websig-lizmap-candidate" in done["steps"]) is tried


def test_a_map_server_that_is_only_tried_does_not_install_lizmap_in_the_database_of_the_old_one(
    lizmap: Json, library: Library
) -> None:
    params = {
        "php_children": 0,
        "server_name": "",
        "hotspot_network": "",
        **NO_HTTPS,
        "prove_beside": "always",
        **lizmap,
        "qgis_workers": 3,
    }
    params["database"] = {"host": "postgis", "port": 5432, **lizmap["database"]}
    module = library("lizmap_container")
    for accounts in ("postgis", "sqlite"):
        chosen = {**params, "accounts": accounts}
        environment = {**module.environment_of(chosen), **module.proof_of(chosen, memory=0).environment}
        assert environment.get("LIZMAP_ACCOUNTS", "sqlite") == "sqlite"


@pytest.mark.parametrize("name", ["lizmap", "postgis"])
def test_on_a_host_without_docker_check_mode_predicts(
    options: Json, run_module: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module = f"{name}_container"

    def missing() -> Engine:
        raise EngineMissingError("No Docker yet.")

    first = run_module(module, check_mode=True, **options)
    monkeypatch.setattr(Engine, "connect", missing)
    predicted = run_module(module, check_mode=True, **options)
    assert predicted["reasons"][0] == "No Docker yet."
    assert (predicted["changed"], predicted["steps"]) == (True, first["steps"])
    assert not run_module(module, check_mode=True, state="absent", **options)["changed"]
    assert run_module(module, **options)["msg"] == "No Docker yet."


@pytest.mark.parametrize("name", ["lizmap", "postgis"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"memory_limit_share": 1.5}, "memory_limit_share must be between"),
        ({"image": "poppyfield/none:1"}, "poppyfield/none:1 is not on this host: deliver it first"),
        ({"state": "stopped", "restart": True}, "restart needs the state started"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    options: Json, run_module: Run, name: str, change: Json, said: str
) -> None:
    result = run_module(f"{name}_container", **{**options, **change})
    assert result["failed"] and said in result["msg"]
    assert not run_module(f"{name}_container", **options, state="absent")["changed"]


def test_a_host_that_hides_its_memory_is_refused(
    run_module: Run, lizmap: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_module, "read_meminfo", lambda: "MemFree: 1 kB\n")
    assert "does not say how much memory" in run_module("lizmap_container", **lizmap)["msg"]


@pytest.mark.parametrize("name", ["lizmap", "postgis"])
def test_a_folder_is_the_same_however_it_is_written(predict_and_run: Run, options: Json, name: str) -> None:
    predict_and_run(f"{name}_container", TOLD, **options)
    rewritten = {key: f"/{value}/./x/../" if key.endswith("_folder") else value for key, value in options.items()}
    rewritten |= {"secrets": {key: f"/{path}" for key, path in options["secrets"].items()}} if name == "lizmap" else {}
    assert rewritten != options
    assert not predict_and_run(f"{name}_container", TOLD, **rewritten)["changed"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("postgis", {"data_folder": "data"}),
        ("postgis", {"first_start_folder": "first"}),
        ("lizmap", {"projects_folder": "projects"}),
        ("lizmap", {"config_folder": "./config"}),
        ("lizmap", {"secrets": {"postgis_password": "password"}}),
    ],
)
def test_a_folder_that_is_not_absolute_is_refused(
    options: Json, run_module: Run, engine: FakeDocker, name: str, change: Json
) -> None:
    for check_mode in (True, False):
        said = run_module(f"{name}_container", check_mode=check_mode, **{**options, **change})
        assert said["failed"] and "must be an absolute path" in said["msg"]
    assert engine.calls == []


def test_the_share_of_the_memory_is_the_same_in_the_role_and_in_the_module(library: Library) -> None:
    defaults = yaml.safe_load((ROOT / "roles" / "postgis" / "defaults" / "main.yml").read_text("utf-8"))
    assert defaults["postgis_memory_share"] == library("postgis_container").ARGUMENTS["memory_share"]["default"]


def test_what_the_kernel_cannot_keep_is_a_warning(
    run_module: Run, lizmap: Json, engine: FakeDocker, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.keeps_memory_limits = False
    # A name of its own, because Ansible says the same warning once only; here it is on the controller, and prints it.
    run_module("lizmap_container", name="websig-small", **lizmap)
    assert "The container websig-small has no memory limit" in capsys.readouterr().err


def test_only_the_map_server_keeps_capabilities_and_its_folders_are_for_its_users(
    run_module: Run, lizmap: Json, postgis: Json, engine: FakeDocker
) -> None:
    run_module("lizmap_container", **lizmap)
    run_module("postgis_container", **postgis)
    host, database = (engine.named(f"websig-{name}")["HostConfig"] for name in ("lizmap", "postgis"))
    assert (host["CapDrop"], host["CapAdd"], database["CapAdd"]) == (["ALL"], ["KILL", "SETGID", "SETUID"], [])
    assert {folder: options.rpartition(",")[0] for folder, options in host["Tmpfs"].items()} == {
        "/tmp": "gid=33",
        "/tmp/log": "uid=33,gid=33,mode=0700",
        "/tmp/pictures": "uid=8082,gid=33,mode=1770",
        "/tmp/sessions": "uid=33,gid=33,mode=0700",
        "/tmp/uploads": "uid=8082,gid=33,mode=1770",
        "/run": "gid=33",
        "/var/lib/qgis-server": "uid=8081,gid=8081,mode=0700",
    }


def test_what_containers_write_in_memory_leaves_most_of_it_to_their_programs(
    run_module: Run, lizmap: Json, postgis: Json, engine: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A Pi sold as 1 GB.
    monkeypatch.setattr(container_module, "read_meminfo", lambda: "MemTotal: 945364 kB\n")
    run_module("lizmap_container", prove_beside="always", **lizmap)
    run_module("postgis_container", **postgis)
    for name in ("lizmap", "postgis"):
        host = engine.named(f"websig-{name}")["HostConfig"]
        sizes = [re.fullmatch(r".*,size=(\d+)m", options) for options in host["Tmpfs"].values()]
        assert sum(int(size[1]) << 20 for size in sizes if size) < 0.6 * host["Memory"]
        assert all(sizes), host["Tmpfs"]


def test_a_new_container_that_fails_is_an_error_that_tells_of_the_old_one(
    run_module: Run, lizmap: Json, engine: FakeDocker
) -> None:
    run_module("lizmap_container", **lizmap)
    engine.behaviours[NEW] = Behaviour(ends_with=1, log="FATAL: broken")
    result = run_module("lizmap_container", **{**lizmap, "image": NEW})
    assert result["failed"]
    assert "FATAL: broken" in result["msg"] and "The old container was not touched and serves." in result["msg"]
    assert engine.named("websig-lizmap")["Config"]["Image"] == OLD


def test_a_secret_that_was_renewed_replaces_the_container(predict_and_run: Run, lizmap: Json) -> None:
    predict_and_run("lizmap_container", TOLD, **lizmap)
    password = Path(lizmap["secrets"]["postgis_password"])
    os.utime(password, ns=(1, 1))
    done = predict_and_run("lizmap_container", TOLD, **lizmap)
    assert done["reasons"] == ["secrets: postgis_password renewed"]
    assert PASSWORD not in json.dumps(done)


def test_a_secret_that_an_earlier_task_would_make_is_predicted_and_needed(run_module: Run, lizmap: Json) -> None:
    path = Path(lizmap["secrets"]["postgis_password"])
    path.unlink()
    assert run_module("lizmap_container", check_mode=True, **lizmap)["changed"]
    assert f"cannot be mounted: {path}" in run_module("lizmap_container", **lizmap)["msg"]


# What they reach ----------------------------------------------------------------------------------------------------


@pytest.fixture
def on_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FirewallService:
    """The firewall of a Pi that systemd runs."""
    (tmp_path / "units").mkdir()

    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, int("fails" in os.environ), "", "no such table")

    service = FirewallService(tmp_path / "firewall", tmp_path / "units", tmp_path, run)
    monkeypatch.setattr(container_module, "FirewallService", lambda: service)
    return service


def test_both_containers_are_kept_to_their_network(
    predict_and_run: Run, lizmap: Json, postgis: Json, on_systemd: FirewallService, engine: FakeDocker
) -> None:
    done = predict_and_run("postgis_container", TOLD, **postgis)
    assert f"firewall {on_systemd.folder}/rules.v4: created" in done["reasons"]
    predict_and_run("lizmap_container", TOLD, **lizmap, may_reach=[{"address": "192.168.1.20", "port": 443}])
    kept = on_systemd.policy()["containers"]
    assert {name: entry["bridge"] for name, entry in kept.items()} == {
        "websig-postgis": "poppyfield",
        "websig-lizmap": "poppyfield",
    }
    assert kept["websig-postgis"]["may_reach"] == []
    assert kept["websig-lizmap"]["may_reach"] == [{"address": "192.168.1.20", "port": 443, "protocol": "tcp"}]
    # It and the one that is tried beside it are known to the firewall.
    assert (
        engine.named("websig-lizmap")["Config"]["Labels"][HARDWARE_ADDRESS]
        in (kept["websig-lizmap"]["hardware_addresses"])
    )
    assert len(set(kept["websig-lizmap"]["hardware_addresses"])) == 2
    for module, options in (("postgis_container", postgis), ("lizmap_container", lizmap)):
        may_reach = {"may_reach": [{"address": "192.168.1.20", "port": 443}]} if options is lizmap else {}
        assert not predict_and_run(module, TOLD, **options, **may_reach)["changed"]


def test_a_container_on_a_pi_without_such_rules_is_warned_of(
    run_module: Run,
    postgis: Json,
    on_systemd: FirewallService,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("fails", "1")
    assert run_module("postgis_container", name="websig-open", **postgis)["container"]["running"]
    assert "websig-open can reach the networks of this host" in capsys.readouterr().err


def test_the_network_of_somebody_else_gets_no_rules(
    run_module: Run, postgis: Json, on_systemd: FirewallService, engine: FakeDocker
) -> None:
    engine.create_network("poppyfield", "bridge", {}, check_duplicate=True)
    assert "that Poppyfield did not make" in run_module("postgis_container", **postgis)["msg"]
    assert on_systemd.policy() == {}


def test_a_place_that_is_no_address_is_refused(run_module: Run, lizmap: Json, engine: FakeDocker) -> None:
    said = run_module("lizmap_container", **lizmap, may_reach=[{"address": "maps.example.org"}])
    assert said["failed"] and "maps.example.org is no IP address" in said["msg"]
    assert engine.calls == []


# The databases inside -----------------------------------------------------------------------------------------------


class Server:
    """A database server that holds nothing until it is told to change, and then all that is wanted."""

    def __init__(self) -> None:
        rights = {column: column == "rolcanlogin" for column in postgres.ROLE_ATTRIBUTES}
        self.wanted: list[Json] = [
            {"role": "lizmap", "password": postgres.scram_verifier(PASSWORD, b"salt"), **rights, "powers": []},
            {"database": "gis", "owner": "lizmap", "public": False},
            {"extension": "postgis", "in": "gis"},
            {"written_tables": True, "roles": ["lizmap"]},
        ]
        self.holds: list[Json] = [
            {"database": name, "owner": "postgres", "public": True} for name in ("postgres", "template1")
        ]

    def __call__(self, argv: Sequence[str], chunks: Iterable[bytes]) -> Result:
        script = b"".join(chunks).decode()
        if "json_build_object" not in script:
            self.holds = self.wanted
            return Result(0, "", "")
        return Result(0, "\n".join(json.dumps(line) for line in self.holds), "")


WORDS = [
    "role lizmap: absent -> present",
    "database postgres: no longer open to every role",
    "database template1: no longer open to every role",
    "database gis: absent -> present",
    "database gis: extension postgis added",
    "database postgres: tells which tables were written",
    "role lizmap: may ask which tables were written",
]


@pytest.fixture
def databases(postgis: Json, engine: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Json:
    """The options of a database server with a role and a database."""
    server = Server()
    monkeypatch.setattr(Engine, "connect", lambda: Engine(engine, errors, server))
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    return {
        **postgis,
        "roles": [{"name": "lizmap", "password_file": str(tmp_path / "password")}],
        "databases": [{"name": "gis", "owner": "lizmap", "extensions": ["postgis"]}],
    }


@pytest.mark.field_changed_once
@pytest.mark.parametrize("before", ["nothing", "a server without them"])
def test_roles_and_databases_are_predicted_and_made_once(
    predict_and_run: Run, run_module: Run, postgis: Json, databases: Json, before: str
) -> None:
    if before != "nothing":
        run_module("postgis_container", **postgis)
    told = (*TOLD, "database_changes", "settings")
    done = predict_and_run("postgis_container", told, **databases)
    assert done["database_changes"] == done["diff"]["after"]["content"] == WORDS
    assert done["changed"] and done["reasons"][-len(WORDS) :] == WORDS
    assert not predict_and_run("postgis_container", told, **databases)["changed"]
    assert PASSWORD not in json.dumps(done)


def test_a_server_that_does_not_run_is_not_asked(run_module: Run, databases: Json) -> None:
    run_module("postgis_container", **databases)
    stopped = {**databases, "state": "stopped"}
    assert run_module("postgis_container", check_mode=True, **stopped)["database_changes"] == []
    assert run_module("postgis_container", **stopped)["database_changes"] == []


def test_a_password_that_an_earlier_task_would_make_is_predicted_and_needed(run_module: Run, databases: Json) -> None:
    path = Path(databases["roles"][0]["password_file"])
    path.unlink()
    assert run_module("postgis_container", check_mode=True, **databases)["database_changes"] == WORDS
    missing = f"The password file {path} cannot be read: No such file or directory."
    assert run_module("postgis_container", **databases)["msg"] == missing
    assert not run_module("postgis_container", **{**databases, "state": "stopped"}).get("failed")


def test_a_password_file_that_is_not_utf_8_is_a_sentence(run_module: Run, databases: Json, engine: FakeDocker) -> None:
    path = Path(databases["roles"][0]["password_file"])
    path.write_bytes(b"secret-\xe9-secret")
    said = run_module("postgis_container", **databases)["msg"]
    assert said == f"The password file {path} is not text in UTF-8: write the password into it again, in UTF-8."
    assert engine.calls == []


def test_a_file_of_first_content_is_needed(run_module: Run, databases: Json, engine: FakeDocker) -> None:
    databases["databases"][0]["initial_sql"] = "/no/such.sql"
    assert "/no/such.sql for the database gis does not exist" in run_module("postgis_container", **databases)["msg"]
    assert engine.calls == []
    predicted = run_module("postgis_container", check_mode=True, **databases)["database_changes"]
    assert "database gis: first content loaded from /no/such.sql" in predicted


def test_data_of_another_release_is_refused_before_anything_stops(
    predict_and_run: Run, run_module: Run, postgis: Json, engine: FakeDocker, tmp_path: Path
) -> None:
    predict_and_run("postgis_container", TOLD, **postgis)
    (tmp_path / "data" / "cluster").mkdir()
    (tmp_path / "data" / "cluster" / "PG_VERSION").write_text("17\n")
    engine.images_by_reference[NEW]["Config"]["Labels"][postgres.VERSION_LABEL] = "18"
    calls = list(engine.calls)
    for check_mode in (True, False):
        result = run_module("postgis_container", check_mode=check_mode, **{**postgis, "image": NEW})
        assert "was made by PostgreSQL 17, but the image holds PostgreSQL 18" in result["msg"]
    assert engine.calls == calls


class FakeUpgrade:
    """What stands for the program of an upgrade on a Pi: it swaps the containers, and the version of the data."""

    def __init__(self, docker: FakeDocker, data: Path) -> None:
        self._docker, self._data = docker, data
        self.orders: list[Json] = []
        self.pending = ""

    def is_pending(self) -> bool:
        return bool(self.pending)

    def settle(self) -> str:
        said, self.pending = self.pending, ""
        return said

    def give(self, order: Json) -> Json:
        self.orders.append(order)
        (self._data / "cluster" / "PG_VERSION").write_text("18\n")
        engine, name = Engine.connect(), order["postgis"]
        engine.stop(name, 1)
        engine.set_restart_policy(name, "no")
        engine.rename(name, f"{name}-before-upgrade")
        engine.create_container(name, order["body"])
        engine.set_restart_policy(name, "always")
        engine.start(name)
        return {"said": "upgraded from PostgreSQL 17 to 18."}


def test_a_database_is_upgraded_where_that_is_asked_and_the_next_run_finds_nothing_to_change(
    run_module: Run, library: Library, engine: FakeDocker, postgis: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_module("postgis_container", **postgis)
    data = Path(postgis["data_folder"])
    (data / "cluster").mkdir()
    (data / "cluster" / "PG_VERSION").write_text("17\n")
    engine.images_by_reference[NEW]["Config"]["Labels"][postgres.VERSION_LABEL] = "18"
    upgrade = FakeUpgrade(engine, data)
    monkeypatch.setattr(library("postgis_container"), "UpgradeService", lambda: upgrade)
    wanted = {**postgis, "image": NEW, "upgrade": True, "map_server": "map"}
    assert "playbooks/upgrade_database.yml" in run_module("postgis_container", **{**wanted, "upgrade": False})["msg"]
    predicted = run_module("postgis_container", check_mode=True, **wanted)
    assert predicted["changed"] and predicted["steps"] == ["upgrade the database from PostgreSQL 17 to 18"]
    assert not upgrade.orders
    done = run_module("postgis_container", **wanted)
    assert done["steps"] == done["reasons"] == ["upgraded from PostgreSQL 17 to 18."]
    assert (upgrade.orders[0]["image"], upgrade.orders[0]["lizmap"]) == (NEW, "map")
    assert upgrade.orders[0]["old_body"]["Image"] == OLD
    assert not [label for label in upgrade.orders[0]["old_body"]["Labels"] if "compose" in label]
    assert engine.names() == {"websig-postgis": True, "websig-postgis-before-upgrade": False}
    assert not run_module("postgis_container", **wanted)["changed"] and len(upgrade.orders) == 1
    # What was cut off is brought to an end by any run.
    upgrade.pending = "It was cut off."
    ended = run_module("postgis_container", **{**wanted, "upgrade": False})
    assert ended["changed"] and ended["steps"] == ["It was cut off."]


@pytest.mark.parametrize(
    ("desired", "said"),
    [
        (
            {"https_port": 443},
            "https_port needs the secrets tls_certificate and tls_key: tls_certificate, tls_key is n",
        ),
        ({"https_port": 80, "secrets": {"tls_certificate": "/x", "tls_key": "/x"}}, "port and https_port are both 80"),
    ],
)
def test_https_that_cannot_be_is_refused(run_module: Run, lizmap: Json, desired: Json, said: str) -> None:
    result = run_module("lizmap_container", **{**lizmap, **desired})
    assert result["failed"] and said in result["msg"]


@pytest.mark.field_changed_once
@pytest.mark.parametrize("name", ["lizmap", "postgis"])
def test_what_a_container_needs_on_the_host_is_brought_about_with_it(
    predict_and_run: Run, options: Json, tmp_path: Path, name: str
) -> None:
    whose = {"owner": str(os.getuid()), "group": str(os.getgid())}
    folder, secret, file = (
        tmp_path / "etc" / "secrets",
        tmp_path / "etc" / "secrets" / "password",
        tmp_path / "settings",
    )
    leftover, kept = tmp_path / "etc" / "secrets" / "old_1", tmp_path / "etc" / "secrets" / "old_2"
    wanted = {
        "folders": [{"path": str(folder), "mode": "0700", **whose}],
        "secrets": [{"path": str(secret), **whose}],
        "files": [{"path": str(file), "content": "a hidden line\n", "mode": "0400", **whose}],
        "purge": [{"pattern": f"{folder}/old_*", "keep": ["old_2"]}],
    }
    module = f"{name}_container"
    done = predict_and_run(module, TOLD, **options, host_files=wanted)
    changed = {str(folder): "created", **{str(path): "created (content hidden)" for path in (secret, file)}}
    assert done["diff"]["after"]["files"] == changed
    assert [reason for reason in done["reasons"] if str(tmp_path / "etc") in reason]
    assert (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(file.stat().st_mode)) == (0o700, 0o400)
    assert len(secret.read_text()) == 32
    assert not predict_and_run(module, TOLD, **options, host_files=wanted)["changed"]
    leftover.touch()
    kept.touch()
    folder.chmod(0o755)
    done = predict_and_run(module, TOLD, **options, host_files=wanted)
    assert done["diff"]["before"]["files"] == {
        str(folder): "another owner, group or mode",
        str(leftover): "present",
    }
    assert sorted(path.name for path in folder.iterdir()) == ["old_2", "password"]
    assert "a hidden line" not in json.dumps({**done, "invocation": None})


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where this test remembers data folders."""
    monkeypatch.setattr(data_folders, "RECORDS", tmp_path / "records")
    return tmp_path / "records"


TARGETS = {"postgis": "/var/lib/postgresql/data", "lizmap": "/run/data-folders"}


@pytest.mark.parametrize("name", TARGETS)
def test_a_container_is_bound_to_the_folder_of_its_data(
    run_module: Run, options: Json, engine: FakeDocker, records: Path, name: str
) -> None:
    folder = Path(options["data_folder"]) if name == "postgis" else records.parent
    entry = {"path": str(folder), "owner": str(os.getuid()), "group": str(os.getgid()), "remember_as": "a_folder"}

    def run(**given: Any) -> Json:
        return run_module(f"{name}_container", **options, host_files={"folders": [{**entry, **given}]})

    assert f"record {records}/a_folder: created" in run()["reasons"]
    (mark,) = folder.glob(".poppyfield-data-*")
    mounts = {m["Destination"]: (m["Source"], m["RW"]) for m in engine.named(f"websig-{name}")["Mounts"]}
    assert mounts[f"{TARGETS[name]}/{mark.name}"] == (str(mark), False)
    assert not run()["changed"]
    mark.unlink()
    calls = list(engine.calls)
    assert "its disk is not mounted, or the data are gone" in run()["msg"]
    assert engine.calls == calls
    assert run(may_change=True)["changed"]
    assert not run()["changed"]


def test_a_renewed_secret_is_predicted_to_replace_the_container(
    predict_and_run: Run, lizmap: Json, tmp_path: Path
) -> None:
    own = {"path": str(tmp_path / "chosen"), "owner": str(os.getuid()), "group": str(os.getgid())}
    options = {**lizmap, "secrets": {**lizmap.get("secrets", {}), "chosen": own["path"]}}
    predict_and_run("lizmap_container", ("changed",), **options, host_files={"secrets": [{**own, "value": "x" * 12}]})
    done = predict_and_run(
        "lizmap_container",
        ("changed", "reasons", "steps"),
        **options,
        host_files={"secrets": [{**own, "value": "y" * 12}]},
    )
    assert "secrets: chosen renewed" in done["reasons"]
    assert "xxxx" not in json.dumps({**done, "invocation": None})


@pytest.mark.parametrize(
    ("release", "given", "interval"), [(20, None, 60), (25, None, 60), (26, None, None), (20, 5, 5)]
)
def test_an_engine_that_writes_at_each_check_of_the_health_checks_it_less_often(
    release: int, given: int | None, interval: int | None
) -> None:
    spec = ContainerSpec(
        name="map", resource="lizmap", image="i", network="n", health=HealthTiming(interval=given, retries=3)
    )
    assert container_module.sparing_the_card(spec, release).health == HealthTiming(interval=interval, retries=3)
