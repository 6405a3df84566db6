"""Every example in the documentation of a module runs, and changes nothing when it runs a second time.

Examples run in the surroundings that they presuppose: for those of the module `x` the fixture `around_x` makes them,
and gives the variables. Paths that an example names, and paths that are defaults, are moved into the test's folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.module_utils.poppyfield.backup.service import BackupService
from ansible.module_utils.poppyfield.bundle import making, packages, taking
from ansible.module_utils.poppyfield.bundle.apt import Apt
from ansible.module_utils.poppyfield.bundle.manifest import Manifest
from ansible.module_utils.poppyfield.bundle.taking import BundlePlace
from ansible.module_utils.poppyfield.containers import apply, container_module, health, services
from ansible.module_utils.poppyfield.containers.engine import Engine, Result
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec
from ansible.module_utils.poppyfield.host import data_folders, fleet_authority
from ansible.module_utils.poppyfield.host.firewall_service import FirewallService
from ansible.module_utils.poppyfield.hotspot.service import HotspotService
from ansible.module_utils.poppyfield.pi_page.service import PiPageService
from ansible.module_utils.poppyfield.position.service import PositionService
from ansible.module_utils.poppyfield.postgis import people, postgres
from ansible.module_utils.poppyfield.postgis.upgrade_service import UpgradeService
from ansible.module_utils.urls import open_url
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.plugin_docs import read_docstring
from ansible.playbook.task import Task
from ansible.plugins.loader import module_loader
from ansible.template import Templar, trust_as_template
from docker import errors

from tests.doubles.archives import archive, lizmap_files
from tests.doubles.docker_engine import Behaviour, FakeDocker
from tests.doubles.files_engine import LittleEngine
from tests.doubles.lizmap_accounts import FakeLizmap
from tests.doubles.lizmap_server import running_lizmap_server
from tests.doubles.map_server import running_map_server
from tests.gallery import dumps
from tests.images.projects import Layer, qgs
from tests.tiles import pmtiles, write_mbtiles
from tests.unit import bundles, test_card_image
from tests.unit.conftest import THROUGH_PLUGIN
from tests.unit.test_loaded_data import LittleServer, table

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py"))
SECRET = "correct-horse-battery"
# With these, a module does its work every time.
EVERY_TIME = (("force", True), ("recreate", "always"), ("state", "restarted"))
RUNS_EACH_TIME = ("container_command", "made_bundle")

Json = dict[str, Any]
Library = Callable[[str], ModuleType]
Run = Callable[..., Json]

module_loader.add_directory(str(ROOT / "library"))


def documented(name: str) -> Json:
    """Give a module's documentation as Ansible reads it."""
    found: Json = read_docstring(str(ROOT / "library" / f"{name}.py"))
    return found


def read(text: str) -> Any:
    """Read YAML, its strings marked as ours, so that Ansible evaluates what is between braces."""
    return DataLoader().load(trust_as_template(text))


def examples(name: str) -> list[Json]:
    """Give a module's example tasks."""
    tasks: list[Json] = read(documented(name)["plainexamples"])
    return tasks


EXAMPLES = [pytest.param(name, task, id=f"{name}: {task['name']}") for name in MODULES for task in examples(name)]


def moved(value: Any, folder: Path) -> Any:
    """Move every absolute path in a value into the folder."""
    if isinstance(value, str):
        return f"{folder}{value}" if value.startswith("/") else value
    if isinstance(value, list):
        return [moved(item, folder) for item in value]
    if isinstance(value, dict):
        return {key: moved(item, folder) for key, item in value.items()}
    return value


def arguments_of(name: str, given: Json, folder: Path) -> Json:
    """Give the arguments of a module as an example gives them, with every path in the folder."""
    options = documented(name)["doc"].get("options", {})
    paths = {key: option for key, option in options.items() if option.get("type") == "path"}
    defaults = {key: option["default"] for key, option in paths.items() if "default" in option}
    arguments: Json = moved({**defaults, **given}, folder)
    return arguments


def run_action(name: str, /, **arguments: Any) -> Json:
    """Run a module whose work its action plugin does, so that only Ansible itself can run it."""
    command = [sys.executable, "-m", "ansible", "adhoc", "--inventory", "localhost,", "--connection", "local"]
    command += ["--module-name", name, "--args", json.dumps(arguments), "localhost"]
    # The least that an inventory must say.
    command += ["--extra-vars", "lizmap_web_client=none"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert " => " in done.stdout, done.stdout + done.stderr
    assert "DEPRECATION" not in done.stdout + done.stderr
    result: Json = json.loads(done.stdout.partition(" => ")[2])
    return {"failed": done.returncode != 0, **result}


@pytest.fixture
def example_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that examples run in, which is their user's home, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def run_example(
    request: pytest.FixtureRequest, run_module: Run, run_plugin: Run, library: Library, example_folder: Path
) -> Callable[[str, Json], None]:
    """Run an example twice in its surroundings; fail when it fails, or when the second run changes something."""

    def run(name: str, task: Json) -> None:
        if f"around_{name}" not in globals():
            pytest.fail(f"{name} needs a fixture around_{name} in {__file__}: what its examples presuppose.")
        variables = request.getfixturevalue(f"around_{name}")
        # Ansible's own reading refuses keywords that no task has.
        parsed = Task.load(task, loader=DataLoader())
        arguments = arguments_of(name, Templar(variables=variables).template(parsed.args), example_folder)
        run_once = run_module if hasattr(library(name), "main") else run_action
        run_once = run_plugin if name in THROUGH_PLUGIN else run_once
        for _ in range(2):
            result = run_once(name, **arguments)
            assert not result.get("failed"), result["msg"]
            registered = Templar(variables={**variables, str(task.get("register")): result})
            # An older Ansible makes a list of a single condition when it reads it, a newer one when it plays it.
            conditions = [parsed.failed_when] if isinstance(parsed.failed_when, str) else parsed.failed_when
            for condition in conditions:
                assert not registered.evaluate_conditional(condition), condition
        every_time = name in RUNS_EACH_TIME or any(arguments.get(option) == value for option, value in EVERY_TIME)
        assert result["changed"] is every_time, result.get("reasons")

    return run


@pytest.mark.parametrize(("name", "task"), EXAMPLES)
def test_an_example_runs(run_example: Callable[[str, Json], None], name: str, task: Json) -> None:
    run_example(name, task)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_examples(name: str) -> None:
    assert examples(name)


BROKEN: list[tuple[Json, str]] = [
    ({"secret_files": {"secrets": [], "lenght": 40}}, r"Unsupported parameters.*lenght"),
    ({"secret_files": {"secrets": [{"path": "/x", "mode": "0600"}]}}, r"Unsupported parameters.*mode"),
    ({"secret_files": {"secrets": [], "length": "long"}}, "cannot be converted to an int"),
    ({"secret_files": {"secrets": []}, "delegated_to": "localhost"}, "delegated_to"),
    ({"secret_files": {"secrets": "{{ passwords }}"}}, "'passwords' is undefined"),
    ({"secret_files": {"secrets": [{"path": "/none/x"}]}}, "does not exist"),
    ({"secret_files": {"secrets": []}, "register": "made", "failed_when": "made.flies"}, "has no attribute 'flies'"),
    ({"secret_files": {"secrets": []}, "register": "made", "failed_when": "made.files == []"}, "made.files == "),
    ({"role_variables": {"role": "postgis", "roles_folder": "/roles"}}, "Invalid options for role_variables: role"),
    ({"unknown_module": {}}, "needs a fixture around_unknown_module"),
]


@pytest.mark.parametrize(("task", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_a_broken_example_fails(run_example: Callable[[str, Json], None], task: Json, said: str) -> None:
    with pytest.raises((AssertionError, AnsibleError, pytest.fail.Exception), match=said):
        run_example(next(iter(task)), read(json.dumps(task)))


# Surroundings -------------------------------------------------------------------------------------------------------


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def engine(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> Json:
    """A host whose engine has one image; give what arm_image would have said of it."""
    monkeypatch.setattr(Engine, "connect", lambda: Engine(docker, errors, docker.execute))  # type: ignore[arg-type]
    image = {"image": "poppyfield/example:trixie-arm64-000000000001", "digest": "1", "archive": "/image.tar"}
    docker.add_image(image["image"], image["digest"], Behaviour(looks_until_healthy=0))
    return image


@pytest.fixture
def example_repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let git find at https://example.org/ a repository that has the folder `tiles` with the tag v2."""
    work = tmp_path / "repositories" / "images.git"
    write(work / "tiles" / "Dockerfile", "FROM scratch\n")
    configuration = f'[user]\nname = a\nemail = a@b\n[url "file://{work.parent}/"]\ninsteadOf = https://example.org/\n'
    write(tmp_path / "gitconfig", configuration)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "x"], ["tag", "v2"]):
        subprocess.run(["git", "-C", str(work), *words], capture_output=True, check=True)


@pytest.fixture
def around_arm_image(
    run_module: Run, example_repositories: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Json:
    write(tmp_path / "docker" / "version", "Docker version 20.10.24+dfsg1, build 297e128")
    debian = {"Id": "sha256:1", "Os": "linux", "Architecture": "arm64"}
    write(tmp_path / "docker" / "registry.json", json.dumps({"debian:trixie": {"linux/arm64": debian}}))
    write(tmp_path / "build" / "rootfs" / "trixie-arm64.tar", "a root file system")
    shutil.copytree(ROOT / "images", tmp_path / "images")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").symlink_to(ROOT / "tests" / "doubles" / "docker_command")
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_DOCKER", str(tmp_path / "docker"))
    return {
        "playbook_dir": str(tmp_path),
        "inventory_dir": str(tmp_path / "inventory"),
        "base": run_module(
            "arm_image", name="poppyfield/base", tag_prefix="x", platform="linux/arm64", context="images/base"
        ),
    }


@pytest.fixture
def around_made_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Json:
    """A new stick each time, and no mirror to ask."""
    make = making.make

    def on_a_new_stick(folder: Path, *given: Any) -> Manifest:
        shutil.rmtree(folder, ignore_errors=True)
        return make(folder, *given)

    def fetch(_apt: Apt, _lines: list[str], _packages: list[str], target: Path) -> None:
        write(target / "Packages", "")

    monkeypatch.setattr(making, "make", on_a_new_stick)
    monkeypatch.setattr(packages, "fetch", fetch)
    monkeypatch.setattr(packages, "sources", lambda *_: [])
    (tmp_path / "inventory").mkdir()
    return {"inventory_dir": "/inventory"}


@pytest.fixture
def around_card_image(tmp_path: Path) -> Json:
    for folder in ("Downloads", ".ssh", "inventory", "roles/bundle/files"):
        (tmp_path / folder).mkdir(parents=True)
    test_card_image.image_file(tmp_path / "Downloads" / "raspios-lite.img")
    write(tmp_path / ".ssh" / "id_ed25519.pub", test_card_image.KEY)
    write(tmp_path / "inventory" / "bundle.signers", test_card_image.SIGNERS)
    write(tmp_path / "roles" / "bundle" / "files" / "first-boot", "#!/bin/sh\n")
    return {"inventory_dir": "/inventory"}


@pytest.fixture
def around_taken_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Json:
    place = BundlePlace(tmp_path / "pi" / "bundles", tmp_path / "pi" / "bundle.json")
    monkeypatch.setattr(taking, "BundlePlace", lambda: place)
    (tmp_path / "media" / "stick" / "bundle").mkdir(parents=True)
    found = replace(bundles.PLAIN, number=3)
    return {"trusted_signers": bundles.write(tmp_path / "media" / "stick" / "bundle", tmp_path / "keys", found)}


@pytest.fixture
def around_delivered_image(engine: Json, docker: FakeDocker, tmp_path: Path) -> Json:
    docker.remove_image(engine["image"])
    write(tmp_path / "image.tar", f"image {engine['image']} {engine['digest']}")
    return {"postgis": engine}


@pytest.fixture
def around_host_requirements(library: Library, monkeypatch: pytest.MonkeyPatch) -> Json:
    files = {"/etc/os-release": "ID=debian\nVERSION_ID=13\n", "/proc/meminfo": "MemTotal: 3900000 kB\n"}
    module = library("host_requirements")
    monkeypatch.setattr(module, "text_of", lambda path: files.get(path, ""))
    monkeypatch.setattr(module, "said_by", lambda argv: "arm64\n" if argv[0] == "dpkg" else "")
    monkeypatch.setattr(module, "free_mb", lambda path: 20000)
    return {}


@pytest.fixture
def around_run_lock() -> Json:
    return {}


@pytest.fixture
def around_deployment_trail() -> Json:
    return {}


@pytest.fixture
def around_apt_ready(library: Library, monkeypatch: pytest.MonkeyPatch) -> Json:
    monkeypatch.setattr(library("apt_ready"), "holder", lambda: "")
    monkeypatch.setattr(library("apt_ready"), "interrupted", list)
    return {}


@pytest.fixture
def around_docker_settings(tmp_path: Path) -> Json:
    write(tmp_path / "etc" / "docker" / "daemon.json", '{"data-root": "/mnt/disk/docker"}')
    return {}


@pytest.fixture
def around_backup_service(tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> Json:
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, "[]" if command[-1] == "offers" else "", "")

    (tmp_path / "units").mkdir()
    folder, programs, units = (tmp_path / name for name in ("backup", "programs", "units"))
    service = BackupService(folder, programs, units, tmp_path, run, tmp_path / "state", tmp_path / "rules")
    monkeypatch.setattr(library("backup_service"), "BackupService", lambda: service)
    whoever = {"user": os.getuid(), "group": os.getgid()}
    monkeypatch.setattr(library("backup_service").host_files, "_number_of", lambda name, lookup, kind, _: whoever[kind])
    return {"inventory_hostname": "pi-orchard", "inventory_dir": str(tmp_path)}


@pytest.fixture
def around_database_upgrade(tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> Json:
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if "start" in command:
            outcome = {"failed": False, "what": "rehearse", "said": "it would succeed.", "seconds": 9.0}
            (tmp_path / "state" / "outcome.json").write_text(json.dumps(outcome))
        return subprocess.CompletedProcess(command, 0, "", "")

    (tmp_path / "units").mkdir()
    service = UpgradeService(tmp_path / "upgrade", tmp_path / "units", tmp_path, tmp_path / "state", run)
    monkeypatch.setattr(library("database_upgrade"), "UpgradeService", lambda: service)
    whoever = {"user": os.getuid(), "group": os.getgid()}
    monkeypatch.setattr(
        library("database_upgrade").host_files, "_number_of", lambda name, lookup, kind, _: whoever[kind]
    )
    return {"postgis": {"image": "poppyfield/postgis:trixie-arm64-3f1c0a9be2d4"}}


@pytest.fixture
def around_emergency_sheet(example_folder: Path) -> Json:
    passwords = example_folder / "inventory" / "fleet" / "backup-passwords"
    passwords.mkdir(parents=True)
    (passwords / "pi-orchard").write_text(f"{SECRET}\n")
    return {"inventory_hostname": "pi-orchard"}


@pytest.fixture
def around_hotspot_card(example_folder: Path) -> Json:
    passwords = example_folder / "inventory" / "fleet" / "hotspot-passwords"
    passwords.mkdir(parents=True)
    (passwords / "pi-orchard").write_text(f"{SECRET}\n")
    return {"inventory_hostname": "pi-orchard"}


@pytest.fixture
def around_pi_page(tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> Json:
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, "", "")

    for name in ("units", "tmpfiles"):
        (tmp_path / name).mkdir()
    service = PiPageService(
        tmp_path / "page",
        tmp_path / "units",
        tmp_path / "tmpfiles",
        tmp_path,
        run,
        users=tmp_path / "users",
        password=tmp_path / "operator" / "password",
    )
    monkeypatch.setattr(library("pi_page"), "PiPageService", lambda: service)
    whoever = {"user": os.getuid(), "group": os.getgid()}
    monkeypatch.setattr(library("pi_page").host_files, "_number_of", lambda name, lookup, kind, _: whoever[kind])
    return {"inventory_hostname": "pi-orchard", "pi_page_operator_password": "correct horse battery"}


@pytest.fixture
def around_position_service(tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> Json:
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, "", "")

    folders = [tmp_path / name for name in ("units", "chrony", "users")]
    for folder in folders:
        folder.mkdir()
    units, chrony, users = folders
    service = PositionService(
        *(tmp_path / "position", tmp_path / "settings", units, users, chrony, tmp_path / "config.txt"),
        *(tmp_path / "clock", tmp_path / "bundle.json", tmp_path),
        run=run,
    )
    monkeypatch.setattr(library("position_service"), "PositionService", lambda: service)
    whoever = {"user": os.getuid(), "group": os.getgid()}
    monkeypatch.setattr(library("position_service").host_files, "_number_of", lambda name, look, kind, _: whoever[kind])
    return {"inventory_hostname": "pi-orchard"}


@pytest.fixture
def around_hotspot_service(example_folder: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> Json:
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        told = {"radio": "enabled\n", "--get-values": "activated\n"}.get(command[1], "")
        return subprocess.CompletedProcess(command, 0, told, "")

    units, modules, profiles, trial, booted = (
        example_folder / name for name in ("units", "modules", "profiles", "trial", "booted")
    )
    for folder in (units, modules, profiles, trial, booted):
        folder.mkdir()
    service = HotspotService(
        *(example_folder / "etc", units, modules, profiles, trial, example_folder / "state", booted),
        run=run,
        wall=FirewallService(example_folder / "firewall", units, example_folder, run),
    )
    monkeypatch.setattr(library("hotspot_service"), "HotspotService", lambda: service)
    whoever = {"user": os.getuid(), "group": os.getgid()}
    monkeypatch.setattr(library("hotspot_service").host_files, "_number_of", lambda name, look, kind, _: whoever[kind])
    return {"inventory_hostname": "pi-orchard"}


@pytest.fixture
def around_host_firewall(tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> Json:
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, "", "")

    (tmp_path / "units").mkdir()
    service = FirewallService(tmp_path / "firewall", tmp_path / "units", tmp_path, run)
    monkeypatch.setattr(library("host_firewall"), "FirewallService", lambda: service)
    return {}


@pytest.fixture
def around_kernel_options(tmp_path: Path) -> Json:
    write(tmp_path / "boot" / "firmware" / "cmdline.txt", "console=tty1 root=PARTUUID=1 rootwait\n")
    return {}


@pytest.fixture
def around_lizmap_container(engine: Json, tmp_path: Path) -> Json:
    for folder in ("projects", "config"):
        (tmp_path / "srv" / "poppyfield" / "lizmap" / folder).mkdir(parents=True)
    write(tmp_path / "etc" / "poppyfield" / "secrets" / "lizmap_postgis_password", SECRET)
    for name in ("certificate", "key"):
        write(tmp_path / "etc" / "poppyfield" / "tls" / f"{name}.pem", SECRET)
    return {"lizmap": engine}


@pytest.fixture
def around_lizmap_user(
    engine: Json, docker: FakeDocker, run_module: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Json:
    """A Pi with Lizmap that has the people of the examples but for anna, whose password is there."""
    lizmap = FakeLizmap()
    docker.create_network("bridge", "bridge", {}, True)
    running = {"Image": engine["image"], "HostConfig": {"NetworkMode": "bridge"}}
    docker.create_container_from_config(running, "websig-lizmap")
    docker.start("websig-lizmap")
    monkeypatch.setattr(Engine, "connect", lambda: Engine(docker, errors, lizmap.execute))
    monkeypatch.setattr(apply, "LOCK_FOLDER", tmp_path)
    password = tmp_path / "etc" / "poppyfield" / "secrets" / "lizmap_user_anna"
    write(password, SECRET)
    run_module("lizmap_group", groups=[{"name": "mappers"}, {"name": "wardens"}])
    person = {"email": "b@example.org", "password_file": str(password)}
    run_module("lizmap_user", users=[{"login": "bruno", **person}, {"login": "chris", **person}])
    return {}


@pytest.fixture
def around_lizmap_group(around_lizmap_user: Json) -> Json:
    return around_lizmap_user


@pytest.fixture
def around_lizmap_repository(around_lizmap_user: Json, run_module: Run, tmp_path: Path) -> Json:
    password = tmp_path / "etc" / "poppyfield" / "secrets" / "lizmap_user_anna"
    run_module("lizmap_user", login="anna", email="a@example.org", password_file=str(password))
    return around_lizmap_user


@pytest.fixture
def around_postgis_container(
    engine: Json, task: Json, docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Json:
    """Its server has the roles and databases that the example asks for."""
    (tmp_path / "srv" / "poppyfield" / "postgis" / "data").mkdir(parents=True)
    state: list[Json] = []
    for role in task["postgis_container"].get("roles", []):
        write(Path(moved(role["password_file"], tmp_path)), SECRET)
        rights = {column: column == "rolcanlogin" for column in postgres.ROLE_ATTRIBUTES}
        state.append(
            {"role": role["name"], "password": postgres.scram_verifier(SECRET, b"salt"), "powers": [], **rights}
        )
    for database in task["postgis_container"].get("databases", []):
        state.append({"database": database["name"], "owner": database["owner"], "public": False})
        state += [{"extension": name, "in": database["name"]} for name in database.get("extensions", [])]
    there: list[Json] = [{"group": True}, {"schema": "public", "in": "gis"}]
    for person in task["postgis_container"].get("people", []):
        write(Path(moved(person["password_file"], tmp_path)), SECRET)
        rights = {column: column == "rolcanlogin" for column in postgres.ROLE_ATTRIBUTES}
        state.append(
            {"role": person["name"], "password": postgres.scram_verifier(SECRET, b"salt"), "powers": [], **rights}
        )
        there.append({"member": person["name"], "connections": people.CONNECTIONS, "databases": ["gis"]})
        write(Path(moved(task["postgis_container"]["desktop_key"], tmp_path)), SECRET)

    def say(argv: Sequence[str], chunks: Iterable[bytes]) -> Result:
        lines = there if b"'schema'" in b"".join(chunks) else state
        return Result(0, "\n".join(map(json.dumps, lines)), "")

    monkeypatch.setattr(Engine, "connect", lambda: Engine(docker, errors, say))
    return {"postgis": engine}


@pytest.fixture
def around_previous_container(around_lizmap_container: Json, run_module: Run, tmp_path: Path) -> Json:
    """A Pi on which a map server was replaced, and the previous container kept."""
    folder = tmp_path / "srv" / "poppyfield" / "lizmap"
    for port in (80, 81):
        run_module(
            "lizmap_container",
            image=around_lizmap_container["lizmap"]["image"],
            projects_folder=str(folder / "projects"),
            config_folder=str(folder / "config"),
            database={"name": "gis", "user": "lizmap"},
            port=port,
            keep_previous=True,
        )
    return {}


@pytest.fixture
def both_containers(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Json:
    """A Pi on which both containers run."""
    monkeypatch.setattr(Engine, "connect", lambda: Engine(docker, errors, docker.execute))  # type: ignore[arg-type]
    monkeypatch.setattr(health, "POLL_SECONDS", 0)
    for number, service in enumerate(services.SERVICES, start=1):
        reference = f"{service.image}:trixie-arm64-{number:012d}"
        docker.add_image(reference, str(number), Behaviour(looks_until_healthy=0, log="ready\n"))
        wanted = ContainerSpec(service.container, service.name, reference, services.NETWORK)
        container_module.converge(Engine(docker, errors), wanted, DesiredState(), healthy_timeout=30)
    return {"playbook_dir": str(tmp_path / "playbooks")}


around_service_state = around_container_command = around_container_logs = both_containers
around_unused_images = around_previous_image = around_removed_containers = both_containers


@pytest.fixture
def around_container_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Json:
    """A map server with settings, and a picture on the laptop."""
    folder = tmp_path / "srv" / "lizmap"
    write(folder / "settings.ini", "[map]")
    write(tmp_path / "logo.png", "a picture")
    monkeypatch.setattr(Engine, "connect", lambda: Engine(LittleEngine(folder, str(folder)), errors))
    return {}


@pytest.fixture
def around_deleted_data(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Json:
    """The data of a database whose container is gone."""
    monkeypatch.setattr(data_folders, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(Engine, "connect", lambda: Engine(docker, errors))
    folder, variable = str(tmp_path / "srv" / "poppyfield" / "postgis" / "data"), "postgis_data_folder"
    write(Path(folder) / "1", "rows")
    data_folders.remember(folder, variable, data_folders.look(folder, variable))
    return {}


class RememberingServer(LittleServer):
    """One that knows again what was loaded into it."""

    def execute(self, container: str, user: str, argv: Sequence[str], chunks: Iterable[bytes]) -> Result:
        script = b"".join(chunks).decode(errors="ignore")
        marked = re.search(r"poppyfield\.loaded = '([^']*)'", f"{' '.join(argv)} {script}")
        assert self.look is not None
        self.look["loaded"] = marked[1] if marked else self.look["loaded"]
        return super().execute(container, user, argv, [script.encode()])


@pytest.fixture
def around_loaded_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Json:
    """A database of the Pi, and files of the office."""
    server = RememberingServer(tmp_path)
    assert server.look is not None
    server.look["relations"] = []
    server.tables = [table()]
    write(tmp_path / "etc" / "poppyfield" / "secrets" / "postgis_gis", "a password")
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "gis.dump").write_bytes(dumps.archive(dumps.entries()))
    (tmp_path / "maps" / "parcels.sql").write_text(dumps.plain())
    monkeypatch.setattr(Engine, "connect", lambda: server)
    return {}


@pytest.fixture
def around_editing_trial(monkeypatch: pytest.MonkeyPatch) -> Json:
    """A Pi whose database has no such table."""
    answer = json.dumps({"0": {"table": {"rows": {}, "written": 0}}})
    monkeypatch.setattr(Engine, "connect", lambda: Engine(None, None, lambda *_: Result(0, answer, "")))
    return {}


@pytest.fixture
def around_published_map(tmp_path: Path) -> Iterator[Json]:
    with running_map_server() as server, running_lizmap_server() as lizmap:
        write(tmp_path / "passwords" / "admin", lizmap.password)
        yield {"ansible_host": server.url.removeprefix("http://"), "lizmap_url": lizmap.url}


@pytest.fixture
def example_projects(tmp_path: Path) -> None:
    """The folder of a project."""
    layer = Layer("./meadow.geojson")
    for repository in ("fields", "nests"):
        write(tmp_path / "maps" / repository / "map.qgs", qgs([layer]))
        write(tmp_path / "maps" / repository / "map.qgs.cfg", json.dumps({"layers": {}}))
        write(tmp_path / "maps" / repository / "meadow.geojson", "{}")


@pytest.fixture
def around_published_projects(
    engine: Json, example_projects: None, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Json:
    """A map server that likes every project."""
    (tmp_path / "srv" / "poppyfield" / "lizmap" / "projects").mkdir(parents=True)
    module = library("published_projects")
    server = SimpleNamespace(know=lambda _: None, refresh=lambda: None, wait_until_refreshable=lambda: None)
    monkeypatch.setattr(module, "ProjectServer", lambda *_: server)
    monkeypatch.setattr(module, "check_projects", lambda *_, **__: (["map.qgs"], []))
    whoever = {"owner": os.getuid(), "group": os.getgid()}
    real = module.converge
    monkeypatch.setattr(module, "converge", lambda params, **given: real({**params, **whoever}, **given))
    return {}


@pytest.fixture
def around_delivered_basemaps(engine: Json, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Json:
    """Two files of tiles."""
    (tmp_path / "srv" / "poppyfield" / "lizmap" / "projects").mkdir(parents=True)
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "valley.pmtiles").write_bytes(pmtiles())
    write_mbtiles(tmp_path / "maps" / "relief.mbtiles")
    module = library("delivered_basemaps")
    whoever = {"owner": os.getuid(), "group": os.getgid()}
    real = module.converge
    monkeypatch.setattr(module, "converge", lambda params, **given: real({**params, **whoever}, **given))
    return {}


@pytest.fixture
def around_withdrawn_repositories(engine: Json, tmp_path: Path) -> Json:
    """Two repositories were published, and no map server runs."""
    projects = tmp_path / "srv" / "poppyfield" / "lizmap" / "projects"
    for name in ("fields", "woods"):
        write(projects / name / "map.qgs", qgs([]))
        (projects / ".poppyfield" / name).mkdir(parents=True)
    return {}


@pytest.fixture
def around_qgis_projects(example_projects: None) -> Json:
    return {}


@pytest.fixture
def around_recorded_archive(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Json:
    archive(tmp_path / "published.zip", lizmap_files("3.9.11"))
    write(tmp_path / "inventory" / "hosts.yml", "")
    published = (tmp_path / "published.zip").as_uri()
    opener = SimpleNamespace(open=lambda _, timeout: open_url(published, timeout=timeout))
    monkeypatch.setattr(library("recorded_archive"), "build_opener", lambda *_: opener)
    return {"inventory_dir": "/inventory"}


@pytest.fixture
def around_role_variables(tmp_path: Path) -> Json:
    (tmp_path / "roles").symlink_to(ROOT / "roles")
    (tmp_path / "playbooks").mkdir()
    return {"playbook_dir": "/playbooks"}


@pytest.fixture
def around_status_page() -> Json:
    """A run in which one Pi could not be looked at, which is no failure of the page."""
    stack = {"stack": {"failed": False, "msg": "no python3"}}
    return {"groups": {"pis": ["pi"]}, "ansible_play_hosts_all": ["pi"], "hostvars": {"pi": stack}}


@pytest.fixture
def around_secret_files(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Json:
    """The secrets belong to whoever runs the tests, who need not be root."""
    (tmp_path / "etc" / "poppyfield" / "secrets").mkdir(parents=True)
    whoever = {"user": os.getuid(), "group": os.getgid()}
    monkeypatch.setattr(library("secret_files").host_files, "_number_of", lambda name, lookup, kind, _: whoever[kind])
    return {"lizmap_admin_password": SECRET}


@pytest.fixture
def around_fleet_authority() -> Json:
    return {"inventory_dir": "/inventory", "passphrase_of_the_authority": SECRET}


@pytest.fixture
def around_tls_certificate(
    around_fleet_authority: Json, tmp_path: Path, run_module: Run, monkeypatch: pytest.MonkeyPatch, task: Json
) -> Json:
    """One that is checked has been made, and so has the authority that signs."""
    folder = tmp_path / "etc" / "poppyfield" / "secrets"
    folder.mkdir(parents=True)
    if task["tls_certificate"].get("state") == "checked":
        paths = {"certificate": str(folder / "lizmap_tls_certificate"), "key": str(folder / "lizmap_tls_key")}
        run_module("tls_certificate", **paths, names=["maps.example.org"], owner=os.getuid())
    if task["tls_certificate"].get("state") == "fleet":
        names = task["tls_certificate"]["names"]
        authority = fleet_authority.make(names, datetime.now(UTC))
        fleet_authority.write_key(tmp_path / "inventory", authority.key, SECRET)
        fleet_authority.publish(tmp_path / "inventory", authority.certificate)
    return around_fleet_authority


@pytest.fixture
def around_stack_info(around_lizmap_container: Json, run_module: Run, tmp_path: Path) -> Json:
    """A Pi that serves a map."""
    folder = tmp_path / "srv" / "poppyfield" / "lizmap"
    run_module(
        "lizmap_container",
        image=around_lizmap_container["lizmap"]["image"],
        projects_folder=str(folder / "projects"),
        config_folder=str(folder / "config"),
        database={"name": "gis", "user": "lizmap"},
    )
    return {}
