"""The chores as an operator runs them, on a real engine: the real playbooks, for one Pi and for four of one inventory.

The first and the last have both containers, in the second somebody else's has the map server's name, and the third
does not answer.
What the chores did is seen from outside: containers write down in their data folders what happens to them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import container_module
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Mount
from ansible.module_utils.poppyfield.images.image_names import labels
from docker import errors

from tests.engine import tiny_image, worlds
from tests.engine.private_engine import PrivateEngine
from tests.images.map_server import wait_until
from tests.pages import steps
from tests.pages.checkout import copied
from tests.pages.steps import Step, block_of
from tests.terminal import at_a_terminal

ROOT = Path(__file__).resolve().parents[2]
IMAGE = f"{worlds.PREFIX}shell:scratch-000000000005"
VERSION = "5"
FOREIGN = "pi-2-lizmap"
OURS = ("pi-1-postgis", "pi-1-lizmap", "pi-2-postgis", "pi-4-postgis", "pi-4-lizmap")
DATA = {"postgis": "/var/lib/postgresql/data", "lizmap": "/srv/lizmap"}
AUTO_CONF = "cluster/postgresql.auto.conf"
Json = dict[str, Any]
Play = Callable[..., subprocess.CompletedProcess[str]]


class Fleet:
    """The four Pis, which are one engine."""

    def __init__(self, private: PrivateEngine, folder: Path) -> None:
        self.private = private
        self.api = private.client()
        self.folder = folder
        for name in OURS:
            self._deploy(name)
        host = self.api.create_host_config(network_mode="none")
        self.api.create_container(IMAGE, ["serve"], name=FOREIGN, host_config=host)
        self.api.start(FOREIGN)

    def _deploy(self, name: str) -> None:
        for part in ("data", f"state/{VERSION}"):
            (self.folder / name / part).mkdir(parents=True)
        (self.folder / name / "state" / VERSION / "log").write_text(f"{name} \x1b[2Jwrites\n")
        service = name.rpartition("-")[2]
        mounts = (
            Mount(f"{self.folder}/{name}/data", "/data", read_only=False),
            Mount(f"{self.folder}/{name}/state", "/state", read_only=True),
            # Where the real one has it, too.
            Mount(f"{self.folder}/{name}/data", DATA[service], read_only=False),
        )
        wanted = ContainerSpec(
            name=name,
            resource=service,
            image=IMAGE,
            network=worlds.NETWORK,
            mounts=mounts,
            stop_timeout=20,
        )
        container_module.converge(Engine(self.api, errors), wanted, DesiredState(), healthy_timeout=worlds.PATIENCE)

    def inventory(self) -> Path:
        """Write the inventory."""
        here = self._here("{{ inventory_hostname }}")
        away = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_user": "nobody"}
        return self._written("hosts.json", {"pi-1": here, "pi-2": here, "pi-3": away, "pi-4": here})

    def inventory_of_the_pages(self) -> Path:
        """Write one in which two of them are called as on the pages."""
        return self._written("pages.json", {"pi-orchard": self._here("pi-1"), "pi-marsh": self._here("pi-4")})

    def _here(self, name: str) -> Json:
        return {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "postgis_container_name": f"{name}-postgis",
            "lizmap_container_name": f"{name}-lizmap",
        }

    def _written(self, file: str, hosts: Json) -> Path:
        path = self.folder / file
        path.write_text(json.dumps({"pis": {"hosts": hosts}}))
        return path

    def runs(self) -> dict[str, bool]:
        """Give every container and whether it runs."""
        listed = self.api.containers(all=True)
        return {container["Names"][0].lstrip("/"): container["State"] == "running" for container in listed}

    def ids(self) -> dict[str, str]:
        """Give every container's id by its name."""
        return {container["Names"][0].lstrip("/"): container["Id"] for container in self.api.containers(all=True)}

    def life(self, name: str) -> list[str]:
        """Give what a container wrote down of itself."""
        return (self.folder / name / "data" / "life").read_text().split("\n")[:-1]


@pytest.fixture(scope="module")
def fleet(api: Any, engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Return the fleet, on an engine of the tests' own, whose other images the chores may remove."""
    own = {**labels(VERSION), worlds.LABEL: "true"}
    tiny_image.build(IMAGE, target="shell", labels=own, version=VERSION)
    client = engine.client()
    client.load_image(b"".join(api.get_image(IMAGE)))
    api.remove_image(IMAGE)
    folder = tmp_path_factory.mktemp("fleet")
    folder.chmod(0o755)
    yield Fleet(engine, folder)
    for container in client.containers(all=True):
        client.remove_container(container["Id"], force=True)


@pytest.fixture
def play(fleet: Fleet) -> Play:
    """Run a chore."""

    def run(name: str, *options: str, limit: str = "all") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(fleet, name, *options, limit=limit),
            cwd=ROOT,
            env=environment(fleet),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def command(fleet: Fleet, name: str, *options: str, limit: str) -> list[str]:
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    return [program, "-i", str(fleet.inventory()), f"playbooks/{name}.yml", "--limit", limit, *options]


def environment(fleet: Fleet) -> dict[str, str]:
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "DOCKER_HOST": fleet.private.base_url,
    }


def summary(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Give the lines of the summary."""
    told = done.stdout.partition("TASK [Summary]")[2].partition('"msg": [')[2].partition("]")[0]
    lines: list[str] = json.loads(f"[{told}]")
    return lines


def test_the_fleet_is_stopped_and_started_but_what_is_not_ours_goes_on(fleet: Fleet, play: Play) -> None:
    ids = fleet.ids()
    foreign = fleet.api.inspect_container(FOREIGN)["State"]["Pid"]

    predicted = play("service", "-e", "state=stopped", "--check", limit="pi-1")
    assert predicted.returncode == 0, predicted.stdout
    assert summary(predicted)[0].startswith("pi-1: pi-1-lizmap would be stopped; pi-1-postgis would be stopped.")
    assert all(fleet.runs().values())

    stopped = play("service", "-e", "state=stopped")
    assert stopped.returncode != 0
    first, second, third, fourth = summary(stopped)
    assert first.startswith("pi-1: pi-1-lizmap stopped; pi-1-postgis stopped. What is stopped stays so")
    assert f"pi-2: A container named {FOREIGN} exists that Poppyfield did not make" in second
    assert third == "pi-3: it does not answer, so nothing was done."
    recap = [line for line in stopped.stdout.splitlines() if "unreachable=" in line]
    assert fourth.startswith("pi-4: pi-4-lizmap stopped; pi-4-postgis stopped.")
    assert ["failed=1" in line or "unreachable=1" in line for line in recap] == [False, True, True, False]
    stays = ("pi-2-postgis", FOREIGN)
    assert fleet.runs() == {name: name in stays for name in (*OURS, FOREIGN)}
    assert fleet.api.inspect_container(FOREIGN)["State"]["Pid"] == foreign
    assert fleet.life("pi-1-postgis") == [f"{VERSION} {what}" for what in ("started", "stopping", "stopped")]

    # As when the Pi restarts.
    fleet.private.restart()
    assert not fleet.runs()["pi-1-postgis"] and fleet.runs()["pi-2-postgis"]

    started = play("service", "-e", "state=started", limit="pi-1")
    assert started.returncode == 0, started.stdout
    assert summary(started) == ["pi-1: pi-1-postgis started, healthy; pi-1-lizmap started, healthy."]
    assert fleet.runs()["pi-1-postgis"] and fleet.runs()["pi-1-lizmap"] and not fleet.runs()["pi-4-postgis"]
    assert play("service", "-e", "state=started", limit="pi-4").returncode == 0

    restarted = play("service", "-e", "state=restarted", "-e", "service=postgis", limit="pi-1,pi-2")
    assert restarted.returncode == 0, restarted.stdout
    assert fleet.life("pi-1-postgis")[-3:] == [f"{VERSION} {what}" for what in ("stopping", "stopped", "started")]
    assert len(fleet.life("pi-1-lizmap")) == 4
    assert fleet.ids() == ids


def test_a_command_runs_by_whom_it_should_and_its_exit_status_counts(fleet: Fleet, play: Play) -> None:
    done = play("exec", "-e", "service=postgis", "-e", "command=id -un; pwd | wc -l", limit="pi-1")
    assert done.returncode == 0, done.stdout
    assert '"postgres"' in done.stdout and summary(done) == ["pi-1: pi-1-postgis ended with 0."]
    as_root = ("-e", "service=lizmap", "-e", "as_root=true", "-e", "seconds=1", "-e", "command=id -un; sleep 599")
    failed = play("exec", *as_root)
    assert failed.returncode != 0 and '"root"' in failed.stdout
    first, second, third, fourth = summary(failed)
    assert first.startswith("pi-1: pi-1-lizmap ended with 1") and fourth.startswith("pi-4: pi-4-lizmap ended with 1")
    assert "did not make" in second and third == "pi-3: it does not answer, so nothing was done."
    # busybox's timeout has the command in its arguments, and stays a few seconds longer to kill what did not end.
    wait_until(lambda: "sleep 599" not in str(fleet.api.top("pi-1-lizmap")), "the command is gone")


def test_logs_are_collected_and_harmless(fleet: Fleet, play: Play, tmp_path: Path) -> None:
    done = play("logs", "-e", "since=1h", "-e", "lines=1", "-e", f"folder={tmp_path}")
    assert done.returncode != 0 and "did not make" in summary(done)[1]
    names = [f"{name.replace('-lizmap', '.lizmap').replace('-postgis', '.postgis')}.log" for name in sorted(OURS)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        (line,) = (tmp_path / name).read_text().splitlines()
        assert line.endswith(f"Z {name.removesuffix('.log').replace('.', '-')} writes") and "\x1b" not in line


def versions(fleet: Fleet) -> set[str]:
    """Make older and newer versions of the image in use, and somebody else's image; give the tags that there are."""
    made = fleet.api.create_container(IMAGE, ["serve"])["Id"]
    repository, tag = IMAGE.split(":")
    for number in ("1", "2", "3"):
        fleet.api.commit(made, repository, f"{tag[:-1]}{number}", conf={"Labels": labels(number)})
    other = {"fr.poppyfield.managed": "", "fr.poppyfield.resource": ""}
    fleet.api.commit(made, repository, "somebody-elses", conf={"Labels": other})
    fleet.api.remove_container(made)
    return tags(fleet)


def tags(fleet: Fleet) -> set[str]:
    listed = fleet.api.images(name=IMAGE.partition(":")[0])
    return {reference.rpartition("-")[2].lstrip("0") for image in listed for reference in image["RepoTags"]}


@pytest.mark.long
def test_images_that_nothing_uses_go_once_somebody_says_yes(fleet: Fleet, play: Play) -> None:
    assert versions(fleet) == {"1", "2", "3", "5", "elses"}
    listed = play("images")
    assert [line.partition(":")[0] for line in summary(listed)] == ["pi-1", "pi-2", "pi-3", "pi-4"]
    assert listed.stdout.count(f"{IMAGE}  ") == 3 and "elses" not in listed.stdout
    refused = play("images", "-e", "remove_unused=true", limit="pi-1")
    assert f"{IMAGE}  " in refused.stdout and "used by pi-1-lizmap, pi-1-postgis" in refused.stdout
    assert refused.returncode != 0 and "Nothing was done, because the answer was not yes" in refused.stdout
    assert tags(fleet) == {"1", "2", "3", "5", "elses"}

    asking = command(fleet, "images", "-e", "remove_unused=true", limit="pi-1")
    status, said = at_a_terminal(asking, environment(fleet), ROOT, {"Type yes to go on": "yes"})
    assert status == 0 and "removed " in said and tags(fleet) == {"2", "3", "5", "elses"}
    assert fleet.runs()["pi-1-postgis"]


@pytest.mark.long
def test_files_go_in_and_come_out_on_one_and_on_four(fleet: Fleet, play: Play, tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"a picture")
    given = ("-e", "service=postgis", "-e", f"file={tmp_path}/logo.png", "-e", "path=/data/")
    (one,) = summary(play("put", *given, limit="pi-1"))
    assert one.startswith("pi-1: ") and not (fleet.folder / "pi-4-postgis" / "data" / "logo.png").exists()
    first, second, third, fourth = summary(play("put", *given))
    assert third == "pi-3: it does not answer, so nothing was done." and "already" in first, first
    for line, name in ((first, "pi-1"), (second, "pi-2"), (fourth, "pi-4")):
        assert line.startswith(f"{name}: ")
        assert (fleet.folder / f"{name}-postgis" / "data" / "logo.png").read_bytes() == b"a picture"
    given = ("-e", "service=postgis", "-e", "path=/data/logo.png", "-e", f"to={tmp_path}/fetched")
    assert play("fetch", *given, limit="pi-4").returncode == 0
    assert [path.name for path in (tmp_path / "fetched").iterdir()] == ["pi-4"]
    assert len(summary(play("fetch", *given))) == 4
    assert sorted(path.name for path in (tmp_path / "fetched").iterdir()) == ["pi-1", "pi-2", "pi-4"]


@pytest.mark.long
def test_the_trail_of_one_and_of_four_is_read(play: Play) -> None:
    assert [line.partition(":")[0] for line in summary(play("history", limit="pi-4"))] == ["pi-4"]
    assert [line.partition(":")[0] for line in summary(play("history"))] == ["pi-1", "pi-2", "pi-3", "pi-4"]


@pytest.fixture
def shown(fleet: Fleet, tmp_path: Path) -> Callable[[Step], str]:
    """Run a block of the French page of chores as it stands there, in a copy of this checkout, and answer yes."""
    checkout = copied(tmp_path / "poppyfield")
    (checkout / "logo.png").write_bytes(b"a picture")

    def run(step: Step) -> str:
        ours = {
            "ANSIBLE_CONFIG": str(checkout / "ansible.cfg"),
            "ANSIBLE_INVENTORY": str(fleet.inventory_of_the_pages()),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        typed = ["bash", "-euo", "pipefail", "-c", block_of(step).text]
        status, said = at_a_terminal(typed, {**environment(fleet), **ours}, checkout, {"Type yes to go on": "yes"})
        assert status == 0, said
        return said

    return run


@pytest.mark.long
def test_what_the_page_of_chores_shows_can_be_typed(fleet: Fleet, shown: Callable[[Step], str], tmp_path: Path) -> None:
    before = len(fleet.life("pi-4-postgis"))
    shown(steps.SERVICE)
    assert all(fleet.runs()[name] for name in OURS)
    assert fleet.life("pi-4-postgis")[before:] == [f"{VERSION} {what}" for what in ("stopping", "stopped", "started")]

    logs = tmp_path / "poppyfield" / "build" / "logs"
    shown(steps.LOGS)
    assert "pi-1-postgis writes" in (logs / "pi-orchard.postgis.log").read_text()

    versions(fleet)
    shown(steps.IMAGES)
    assert "1" not in tags(fleet) and VERSION in tags(fleet)

    for name in ("pi-1-postgis", "pi-4-postgis"):
        (fleet.folder / name / "data" / "cluster").mkdir()
        (fleet.folder / name / "data" / AUTO_CONF).write_text(name)
    shown(steps.FETCH)
    fetched = tmp_path / "poppyfield" / "fetched"
    found = {path.parent.name: path.read_text() for path in fetched.glob("*/postgresql.auto.conf")}
    assert found == {"pi-orchard": "pi-1-postgis", "pi-marsh": "pi-4-postgis"}

    shown(steps.PUT)
    for name in ("pi-1-lizmap", "pi-4-lizmap"):
        assert (fleet.folder / name / "data" / "logo.png").read_bytes() == b"a picture"

    assert "pi-orchard: " in shown(steps.HISTORY)


# Last: nothing of ours is left.
def test_containers_are_removed_on_one_and_on_four_but_not_what_is_not_ours(fleet: Fleet, play: Play) -> None:
    foreign = fleet.ids()[FOREIGN]
    assert play("remove", "-e", "confirmed=true", limit="pi-4").returncode == 0
    assert set(fleet.ids()) == {*OURS, FOREIGN} - {"pi-4-postgis", "pi-4-lizmap"}
    removed = play("remove", "-e", "confirmed=true")
    assert removed.returncode != 0
    first, second, third, fourth = summary(removed)
    assert "pi-1-postgis" in first and FOREIGN in second and fourth.startswith("pi-4: ")
    assert third == "pi-3: it does not answer, so nothing was done."
    assert fleet.ids()[FOREIGN] == foreign and not {"pi-1-postgis", "pi-1-lizmap"} & set(fleet.ids())
    for name in OURS:
        assert (fleet.folder / name / "data" / "life").exists()
