"""The chores that bring files out and in, remove containers and delete data: real playbooks, on the real engine.

Two Pis are this machine, with containers of their own each, made as ours are. What a chore did is seen from outside: on
the disk, in the containers, and by somebody else's container that has one of our names.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Mount, container_body, network_body
from ansible.module_utils.poppyfield.host import data_folders
from docker import errors

from tests.engine import worlds
from tests.terminal import at_a_terminal

ROOT = Path(__file__).resolve().parents[2]
OWNER, GROUP = 4321, 4322
QUESTION = "or only press Enter:"
# The records of data folders, the lock and the trail are the test's own, and nothing is made in this machine's folders.
SCRIPT = """
mount -t tmpfs tmpfs "$1/layer"
for folder in /etc /var/lib /run; do
    own="$1/layer$folder"
    mkdir -p "$own/upper" "$own/work"
    if test "$folder" != /run; then
        mount -t overlay overlay -o "lowerdir=$folder,upperdir=$own/upper,workdir=$own/work" "$folder"
    fi
    mkdir -p "$folder/poppyfield" && mount --bind "$1$folder" "$folder/poppyfield"
done
shift
exec "$@"
"""


@dataclass(frozen=True)
class LocalPi:
    """One of the Pis that this machine stands for."""

    name: str
    folder: Path

    @property
    def network(self) -> str:
        return f"{worlds.PREFIX}{self.name}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def container(self, service: str) -> str:
        return f"{worlds.PREFIX}{self.name}-{service}"

    def variables(self) -> dict[str, Any]:
        return {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "postgis_container_name": self.container("postgis"),
            "lizmap_container_name": self.container("lizmap"),
            "postgis_network": self.network,
            "lizmap_network": self.network,
            "postgis_data_folder": str(self.data),
            "lizmap_folder": str(self.folder / "lizmap"),
        }


class Fleet:
    """The Pis, and running playbooks for them."""

    def __init__(self, api: Any, folder: Path) -> None:
        self.project = ROOT
        self.engine = Engine(api, errors)
        self.api = api
        self.folder = folder
        self.orchard, self.marsh = (LocalPi(name, folder / name) for name in ("pi-orchard", "pi-marsh"))
        self.ours: tuple[LocalPi, ...] = (self.orchard, self.marsh)
        hosts = {pi.name: pi.variables() for pi in self.ours}
        (folder / "hosts.json").write_text(json.dumps({"pis": {"hosts": hosts}}))
        for name in ("etc", "var/lib", "run", "layer"):
            (folder / name).mkdir(parents=True)

    def deploy(self, pi: LocalPi, service: str = "postgis", image: str = worlds.OLD) -> str:
        """Run a container that is made as ours are; give its name."""
        if not pi.data.exists():
            (pi.data / "cluster").mkdir(parents=True)
            (pi.data / "cluster" / "rows").write_text(f"the rows of {pi.name}")
            os.chown(pi.data, OWNER, GROUP)
        if self.engine.network(pi.network) is None:
            self.engine.create_network(network_body(pi.network))
        found = self.engine.image(image)
        assert found is not None
        mounts = (Mount(str(pi.data), "/data", read_only=service != "postgis"), Mount("/srv", "/srv", read_only=True))
        spec = ContainerSpec(
            pi.container(service), service, image, pi.network, command=("serve",), mounts=mounts, stop_timeout=5
        )
        self.engine.start(self.engine.create_container(spec.name, container_body(spec, found)))
        return spec.name

    def put_foreign(self, name: str) -> str:
        """Run a container of somebody else's; give its id."""
        made = self.api.create_container(worlds.OLD, ["serve"], name=name, labels={"org.example": "mine"})
        self.api.start(made["Id"])
        return str(made["Id"])

    def command(self, playbook: str, *options: str, **given: Any) -> list[str]:
        """Give the command that runs a chore, with the test's own /etc/poppyfield in the place of this machine's."""
        ansible = str(Path(sys.executable).with_name("ansible-playbook"))
        return [
            *("unshare", "--mount", "sh", "-euc", SCRIPT, "sh", str(self.folder)),
            *(ansible, "-i", str(self.folder / "hosts.json"), f"playbooks/{playbook}.yml"),
            *("--extra-vars", json.dumps(given)),
            *options,
        ]

    def run(self, playbook: str, *options: str, fails: bool = False, **given: Any) -> str:
        """Run a chore as an operator does; give what it prints, in one line."""
        done = subprocess.run(
            self.command(playbook, *options, **given),
            cwd=self.project,
            env=environment(self.project),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, said
        return " ".join(said.split())

    def run_typing(self, answer: str, playbook: str, *options: str) -> str:
        """Run a chore in a terminal, and type the same answer to each of its questions; give what it prints."""
        command = self.command(playbook, *options)
        _, said = at_a_terminal(command, environment(self.project), self.project, {QUESTION: answer})
        return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", said).split())

    def remember_data(self, pi: LocalPi) -> None:
        """Let the Pi remember its data folder, as a deployment does."""
        data_folders.remember(
            str(pi.data), "postgis_data_folder", data_folders.look(str(pi.data), "postgis_data_folder")
        )

    def runs(self, name: str) -> bool:
        found = self.engine.container(name)
        return found is not None and bool(found["State"]["Running"])


def environment(project: Path) -> dict[str, str]:
    return {**os.environ, "ANSIBLE_CONFIG": str(project / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "200"}


def state_of(folder: Path) -> dict[str, str]:
    """Give every file of a folder by its content, but for what the tiny server writes about itself."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "life"
    }


@pytest.fixture
def fleet(api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """Return two Pis without containers."""
    monkeypatch.setattr(data_folders, "RECORDS", tmp_path / "etc" / "data-folders")
    worlds.clean(api)
    yield Fleet(api, tmp_path)
    worlds.clean(api)


def test_files_come_out_to_a_folder_for_each_pi(fleet: Fleet, tmp_path: Path) -> None:
    for pi in (fleet.orchard, fleet.marsh):
        fleet.deploy(pi)
    (fleet.orchard.data / "cluster" / "passwords").symlink_to("/etc/shadow")
    before = state_of(fleet.orchard.data)
    given: dict[str, Any] = {"service": "postgis", "path": "/data/cluster", "to": str(tmp_path / "to")}
    said = fleet.run("fetch", **given)
    for pi in (fleet.orchard, fleet.marsh):
        fetched = tmp_path / "to" / pi.name / "cluster" / "rows"
        assert fetched.read_text() == f"the rows of {pi.name}"
        assert fetched.stat().st_mode & 0o777 == 0o600
        assert f"{pi.name}: 1 files (0.0 MB) fetched to {tmp_path}/to/{pi.name}" in said
    assert "left out, since no files: cluster/passwords" in said
    assert state_of(fleet.orchard.data) == before
    (tmp_path / "to" / "pi-marsh" / "cluster" / "rows").write_text("mine")
    again = fleet.run("fetch", fails=True, **given)
    assert f"pi-orchard: all 1 files are in {tmp_path}/to/pi-orchard already" in again
    assert "pi-marsh: Nothing was copied: these are in" in again
    assert (tmp_path / "to" / "pi-marsh" / "cluster" / "rows").read_text() == "mine"


def test_a_file_is_put_where_the_container_can_be_written_to(fleet: Fleet, tmp_path: Path) -> None:
    name = fleet.deploy(fleet.orchard)
    picture = tmp_path / "logo.png"
    picture.write_bytes(os.urandom(100_000))
    picture.chmod(0o666)
    given: dict[str, Any] = {"service": "postgis", "file": str(picture)}
    only = ("--limit", "pi-orchard")
    said = fleet.run("put", *only, **given, path="/data/pictures/")
    assert f"pi-orchard: 1 files put into /data/pictures of {name}." in said
    put = fleet.orchard.data / "pictures" / "logo.png"
    assert put.read_bytes() == picture.read_bytes()
    assert (put.stat().st_uid, put.stat().st_gid, put.stat().st_mode & 0o777) == (OWNER, GROUP, 0o644)
    # As the container itself sees it.
    seen = subprocess.run(
        ["docker", "exec", name, "busybox", "sha256sum", "/data/pictures/logo.png"], capture_output=True, check=True
    )
    assert seen.stdout.decode().split()[0] == hashlib.sha256(picture.read_bytes()).hexdigest()
    refused = fleet.run("put", *only, fails=True, **given, path="/srv/")
    assert f"Nothing can be put into /srv of {name}. These folders of it can be written to: /data." in refused


def test_removing_leaves_the_data_and_what_is_not_ours(fleet: Fleet) -> None:
    name = fleet.deploy(fleet.orchard)
    foreign = fleet.put_foreign(fleet.orchard.container("lizmap"))
    before = state_of(fleet.orchard.data)
    only = ("--limit", "pi-orchard")
    assert "Where nobody can answer, add -e confirmed=true." in fleet.run("remove", *only, fails=True)
    assert f"would be removed: {name}" in fleet.run("remove", *only, "--check")
    assert fleet.runs(name)
    said = fleet.run("remove", *only, confirmed=True)
    assert f"pi-orchard: removed: {name}, network {fleet.orchard.network}; the data stay." in said
    assert f"{fleet.orchard.container('lizmap')} stays, since Poppyfield did not make it." in said
    assert fleet.engine.container(name) is None and fleet.engine.network(fleet.orchard.network) is None
    assert fleet.runs(foreign)
    assert state_of(fleet.orchard.data) == before


def test_data_go_only_where_the_name_is_right(fleet: Fleet) -> None:
    names = {pi.name: fleet.deploy(pi) for pi in (fleet.orchard, fleet.marsh)}
    fleet.remember_data(fleet.orchard)
    before = {pi.name: state_of(pi.data) for pi in (fleet.orchard, fleet.marsh)}

    def untouched() -> bool:
        states = {pi.name: state_of(pi.data) for pi in (fleet.orchard, fleet.marsh)}
        return states == before and all(map(fleet.runs, names.values()))

    said = fleet.run("delete_data", fails=True, delete_data_of="pi-orchrad", service="postgis")
    assert "Nothing was deleted. delete_data_of must be exactly the name of one of these Pis" in said
    assert untouched()
    said = fleet.run("delete_data", "--check", delete_data_of="pi-orchard", service="postgis")
    assert f"pi-orchard: would be deleted: {fleet.orchard.data}." in said
    assert untouched()
    # With nobody to type it.
    fleet.run("delete_data", fails=True, service="postgis")
    assert untouched()

    said = fleet.run_typing("pi-orchard", "delete_data", "--extra-vars", "service=postgis")
    assert f"pi-orchard: deleted: {fleet.orchard.data}." in said
    assert "pi-marsh: nothing was deleted, since its name was not typed." in said
    assert not fleet.orchard.data.exists()
    assert not list((fleet.folder / "etc" / "data-folders").iterdir())
    assert fleet.engine.container(names["pi-orchard"]) is None
    assert state_of(fleet.marsh.data) == before["pi-marsh"] and fleet.runs(names["pi-marsh"])


def test_data_that_others_use_stay(fleet: Fleet) -> None:
    name = fleet.deploy(fleet.orchard)
    fleet.remember_data(fleet.orchard)
    reader = put_reader(fleet, fleet.orchard.data)
    before = state_of(fleet.orchard.data)
    said = fleet.run("delete_data", fails=True, delete_data_of="pi-orchard", service="postgis")
    assert f"is used by the container {worlds.PREFIX}reader" in said
    assert fleet.runs(reader) and fleet.runs(name)
    assert state_of(fleet.orchard.data) == before


def put_reader(fleet: Fleet, folder: Path) -> str:
    """Run a container of somebody else's that reads a folder; give its id."""
    host = fleet.api.create_host_config(binds=[f"{folder}:/read:ro"])
    made = fleet.api.create_container(
        worlds.OLD, ["serve"], name=f"{worlds.PREFIX}reader", host_config=host, labels={"org.example": "mine"}
    )
    fleet.api.start(made["Id"])
    return str(made["Id"])


# What is built, brought and deployed has tests of its own; here it only says what it would do.
STAGES = {
    "preflight": {"ansible.builtin.fail": {"msg": "no disk"}, "when": "inventory_hostname == refused | default('')"},
    "build": {"ansible.builtin.debug": {"msg": "builds"}},
    "deliver": {"ansible.builtin.debug": {"msg": "delivers"}},
    "release": {
        "ansible.builtin.debug": {
            "msg": "{{ inventory_hostname }} deploys {{ lizmap_image | default('what was built') }}"
        }
    },
}


@pytest.fixture
def without_stages(fleet: Fleet, tmp_path: Path) -> Fleet:
    """Return the fleet with a copy of the project, in which the stages do nothing."""
    fleet.project = tmp_path / "project"
    for name in ("playbooks", "library", "module_utils", "plugins", "roles"):
        shutil.copytree(ROOT / name, fleet.project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "ansible.cfg", fleet.project)
    for name, task in STAGES.items():
        play = {"hosts": "pis", "gather_facts": False, "tasks": [task]}
        (fleet.project / "playbooks" / "plays" / f"{name}.yml").write_text(json.dumps([play]))
    return fleet


def test_a_rebuild_removes_only_where_all_is_ready_and_then_deploys(without_stages: Fleet) -> None:
    fleet = without_stages
    names = [fleet.deploy(pi) for pi in (fleet.orchard, fleet.marsh)]
    before = state_of(fleet.orchard.data)
    said = fleet.run("rebuild", fails=True, refused="pi-marsh")
    assert fleet.engine.container(names[0]) is None and fleet.runs(names[1])
    assert "pi-orchard deploys what was built" in said and "pi-marsh deploys" not in said
    assert f"pi-orchard: rebuilt, its maps draw (removed: {names[0]}, network {fleet.orchard.network};" in said
    assert "pi-marsh: it was not rebuilt; what is wrong is told above." in said
    assert state_of(fleet.orchard.data) == before


def test_a_rollback_deploys_the_image_that_was_there_before(without_stages: Fleet) -> None:
    fleet = without_stages
    for pi, image in ((fleet.orchard, worlds.NEW), (fleet.marsh, worlds.OLD)):
        for service in ("postgis", "lizmap"):
            fleet.deploy(pi, service, image)
    refused = fleet.run("rollback", fails=True, service="lizmap")
    assert "Where nobody can answer, add -e confirmed=true." in refused
    assert "pi-orchard deploys" not in refused
    said = fleet.run("rollback", fails=True, service="lizmap", confirmed=True)
    assert f"pi-orchard deploys {worlds.OLD}" in said and "pi-marsh deploys" not in said
    assert f"pi-orchard: went back from {worlds.NEW} to {worlds.OLD}." in said
    assert f"pi-marsh: {worlds.OLD} stays: no version from before it is on this Pi." in said


@pytest.fixture
def four(without_stages: Fleet) -> Fleet:
    """Return a fleet of four, of which one does not answer, and one has somebody else's container by our name."""
    fleet = without_stages
    heath = LocalPi("pi-heath", fleet.folder / "pi-heath")
    hosts = {pi.name: pi.variables() for pi in (fleet.orchard, fleet.marsh, heath)}
    hosts["pi-gone"] = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_user": "nobody"}
    (fleet.folder / "hosts.json").write_text(json.dumps({"pis": {"hosts": hosts}}))
    fleet.ours = (fleet.orchard, heath)
    return fleet


@pytest.mark.long
def test_on_four_what_is_not_ours_outlives_what_takes_away_and_makes_again(four: Fleet) -> None:
    fleet = four
    for pi in fleet.ours:
        fleet.deploy(pi, "postgis", worlds.NEW)
        fleet.deploy(pi, "lizmap")
        fleet.remember_data(pi)
    ours = {pi.container(service) for pi in fleet.ours for service in ("postgis", "lizmap")}
    fleet.deploy(fleet.marsh, "lizmap")
    foreign = fleet.put_foreign(fleet.marsh.container("postgis"))
    everybody = ("pi-gone", "pi-heath", "pi-marsh", "pi-orchard")
    before = {pi.name: state_of(pi.data) for pi in (*fleet.ours, fleet.marsh)}

    said = fleet.run("rollback", fails=True, service="postgis", confirmed=True)
    assert all(f"{pi.name}: went back from {worlds.NEW} to {worlds.OLD}." in said for pi in fleet.ours), said
    assert f"container named {fleet.marsh.container('postgis')} exists that Poppyfield did not make" in said
    assert told(said) == everybody and fleet.runs(foreign) and all(map(fleet.runs, ours))

    said = fleet.run("rebuild", fails=True)
    assert "pi-orchard deploys what was built" in said and "pi-gone deploys" not in said
    assert fleet.runs(foreign) and not any(map(fleet.engine.container, ours))
    assert told(said) == everybody and before == {pi.name: state_of(pi.data) for pi in (*fleet.ours, fleet.marsh)}

    said = fleet.run_typing("pi-heath", "delete_data", "--extra-vars", "service=postgis")
    assert told(said) == everybody and fleet.runs(foreign)
    assert [pi.name for pi in (*fleet.ours, fleet.marsh) if pi.data.exists()] == ["pi-orchard", "pi-marsh"]


def told(said: str) -> tuple[str, ...]:
    """Give the Pis that the summary tells of."""
    return tuple(sorted(set(re.findall(r"(pi-[a-z]+): ", said.rpartition("TASK [Summary]")[2]))))


@pytest.fixture
def without_roles(without_stages: Fleet) -> Fleet:
    """Return the fleet with the real stages, whose roles do nothing; the preflight takes the lock, and no more."""
    fleet = without_stages
    playbooks = fleet.project / "playbooks"
    shutil.rmtree(playbooks / "plays")
    shutil.copytree(ROOT / "playbooks" / "plays", playbooks / "plays")
    locking = {"hosts": "pis", "gather_facts": False, "tasks": [{"run_lock": {"state": "taken"}}]}
    (playbooks / "plays" / "preflight.yml").write_text(json.dumps([locking]))
    shutil.rmtree(fleet.project / "roles")
    for path in ROOT.glob("roles/*/tasks/*.yml"):
        stand_in = fleet.project / path.relative_to(ROOT)
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        stand_in.write_text(json.dumps([{"ansible.builtin.set_fact": {"lizmap_application": {}}}]))
    return fleet


@pytest.mark.parametrize(
    ("playbook", "file"),
    [
        ("build", "lizmap/tasks/application.yml"),
        ("provision", "docker_engine/tasks/main.yml"),
        ("deliver", "arm_images/tasks/deliver.yml"),
        ("deploy", "lizmap/tasks/main.yml"),
        ("verify", "lizmap/tasks/verify.yml"),
        ("site", "lizmap/tasks/verify.yml"),
    ],
)
def test_a_run_that_fails_lets_go_of_the_pi_and_tells_what_was_wrong(
    without_roles: Fleet, playbook: str, file: str
) -> None:
    failing = {"name": "Do it", "ansible.builtin.fail": {"msg": "The card is full."}}
    (without_roles.project / "roles" / file).write_text(json.dumps([failing]))
    (without_roles.folder / "run").mkdir(exist_ok=True)
    said = without_roles.run(playbook, fails=True)
    assert not (without_roles.folder / "run" / "run.json").exists()
    assert "The card is full." in said and "unreachable=0 failed=1" in said
    table = said.partition("PIS *")[2]
    assert not table or table.count("Do it: The card is full.") == 2, said


LOCKED_BY_ANNE = {
    **{"by": "anne@heron", "playbook": "site.yml", "commit": "", "since": "2026-11-29 08:00 UTC"},
    **{"machine": "heron", "process": "7-1"},
}


def lock_of_anne(fleet: Fleet) -> Path:
    """Let somebody else work on both Pis, which are one machine."""
    path = fleet.folder / "run" / "run.json"
    path.write_text(json.dumps({**LOCKED_BY_ANNE, "seen": time.monotonic()}))
    return path


def test_a_chore_is_refused_while_somebody_else_works_on_the_pi(fleet: Fleet) -> None:
    name = fleet.deploy(fleet.orchard)
    path = lock_of_anne(fleet)
    given: dict[str, Any] = {"state": "stopped", "service": "postgis"}
    refused = fleet.run("service", "--limit", "pi-orchard", fails=True, **given)
    assert "anne@heron has been working on this Pi since 2026-11-29 08:00 UTC (site.yml, last sign 1 minute" in refused
    assert "-e take_lock=true" in refused and fleet.runs(name)
    assert json.loads(path.read_text())["by"] == "anne@heron"
    # Who only looks is not held up.
    fleet.run("history", "--limit", "pi-orchard")
    fleet.run("service", "--limit", "pi-orchard", take_lock=True, **given)
    assert not fleet.runs(name) and not path.exists()


@pytest.fixture
def with_a_map_server(without_stages: Fleet) -> Fleet:
    """Return the fleet with a release that is a map server's container, deployed by the real module, and no more."""
    fleet = without_stages
    looking: list[dict[str, Any]] = [
        {
            "role_variables": {"roles_folder": str(ROOT / "roles")},
            "register": "inventory_check",
            "run_once": True,
        },
        {"host_requirements": {"allow_amd64": True, "memory_mb": 1, "run": "{{ inventory_check.run }}"}},
    ]
    release = {
        "name": "{{ lizmap_container_name }}",
        "network": "{{ lizmap_network }}",
        "image": "{{ lizmap_image }}",
        "projects_folder": "{{ lizmap_folder }}/projects",
        "config_folder": "{{ lizmap_folder }}/config",
        "bind_address": "127.0.0.1",
        "port": "{{ lizmap_port }}",
        "database": {"name": "gis", "user": "gis"},
        "prove_beside": "never",
        "host_files": {},
        "healthy_timeout": 60,
        "run": "{{ ansible_facts.poppyfield_pi.run }}",
    }
    letting_go = {"ansible.builtin.import_tasks": "../tasks/report.yml"}
    plays = {"preflight": looking, "deploy": [{"lizmap_container": release}]}
    plays["release"] = [*plays["deploy"], letting_go]
    for name, tasks in plays.items():
        play = {"hosts": "pis", "gather_facts": False, "tasks": tasks}
        (fleet.project / "playbooks" / "plays" / f"{name}.yml").write_text(json.dumps([play]))
    settings = Path("images", "lizmap", "web-client")
    shutil.copytree(ROOT / settings, fleet.project / settings)
    for folder in ("projects", "config"):
        (fleet.orchard.folder / "lizmap" / folder).mkdir(parents=True)
    return fleet


def answer(fleet: Fleet, container: str) -> str:
    """Ask a map server which release it is."""
    script = ["busybox", "sh", "-c", "echo $VERSION"]
    return str(fleet.engine.execute(container, "0", script, []).output).strip()


@pytest.mark.long
def test_a_rollback_brings_the_earlier_release_itself_back_and_is_in_the_trail(with_a_map_server: Fleet) -> None:
    fleet = with_a_map_server
    fleet.deploy(fleet.orchard, "postgis")
    with socket.create_server(("127.0.0.1", 0)) as server:
        given = {"lizmap_port": server.getsockname()[1], "lizmap_web_client": "none", "service": "lizmap"}
    orchard = ("--limit", "pi-orchard")
    name = fleet.orchard.container("lizmap")
    for image, version in ((worlds.OLD, "1"), (worlds.NEW, "2")):
        fleet.run("deploy", *orchard, lizmap_image=image, postgis_image=worlds.OLD, **given)
        assert answer(fleet, name) == version

    asked = fleet.run("rollback", *orchard, fails=True, **given)
    about_state = "so does Lizmap's state, its users and settings. A Lizmap that is older than its"
    assert about_state in asked
    assert answer(fleet, name) == "2"
    done = fleet.run("rollback", *orchard, confirmed=True, **given)
    assert about_state in done.partition("TASK [lizmap_container]")[0]
    assert answer(fleet, name) == "1"
    assert f"pi-orchard: went back from {worlds.NEW} to {worlds.OLD}." in done
    assert not (fleet.folder / "run" / "run.json").exists()

    told = fleet.run("history", *orchard, service="lizmap", lines=2)
    now, before = re.findall(r"UTC lizmap deployed (\S+) \(\w+\) by \S+@\S+ (\S+\.yml)", told)
    assert (now, before) == ((worlds.OLD, "rollback.yml"), (worlds.NEW, "deploy.yml"))
    assert "pi-orchard: 2 of its deployments, the newest first." in told
