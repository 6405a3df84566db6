"""docker-compose on the real engine: the compose of each of Debian's releases and our modules act on one container.

Each release's own docker-compose is played, the first generation and the second. What a command did is seen from
outside: in what Docker tells of the containers, and in what these write down of themselves in their data folder. After
each command our own run must find nothing to do. What was seen is written to build/reports/compose.json.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import compose, compose_file, container_module
from ansible.module_utils.poppyfield.containers.compose import ComposePlace
from ansible.module_utils.poppyfield.containers.compose_file import ComposeProject
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec
from docker import errors

from tests.engine import worlds
from tests.images.map_server import wait_until
from workshop.laptop import compose_roots

REPORT = Path(__file__).resolve().parents[2] / "build" / "reports" / "compose.json"
LIZMAP = f"{worlds.PREFIX}lizmap"
POSTGIS = worlds.NAME
MAC = "02:00:00:aa:bb:01"
Ids = dict[str, str]


def told(outcome: container_module.Outcome) -> list[str]:
    """Say why something changed."""
    result = outcome.result()
    reasons: list[str] = result["reasons"]
    assert bool(reasons) is result["changed"]
    return reasons


@dataclass
class Pi:
    """A Pi with both services, deployed by our modules, and the compose of one release."""

    api: Any
    folder: Path
    specs: tuple[ContainerSpec, ...]
    project: ComposeProject
    suite: str
    over: dict[str, str] = field(default_factory=dict)
    """What somebody has put before the commands."""

    def deploy(self, desired: DesiredState = DesiredState()) -> list[str]:  # noqa: B008 - it is frozen
        """Run as our modules do; give why something changed, nothing where nothing did."""
        engine = Engine(self.api, errors)
        done = [
            container_module.converge(
                engine, spec, desired, healthy_timeout=worlds.PATIENCE, compose=self.project, sleep=worlds.hurry
            )
            for spec in self.specs
        ]
        return [f"{spec.name}: {why}" for spec, outcome in zip(self.specs, done, strict=True) for why in told(outcome)]

    def compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run docker-compose in the project's folder, as an operator does."""
        return subprocess.run(
            [*self.project.command, *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """Give the environment of a command."""
        return {**os.environ, "HOME": str(self.folder.parent), "PYTHONWARNINGS": "ignore", **self.over}

    def ids(self) -> Ids:
        """Give every container of ours by its name."""
        found = self.api.containers(all=True, filters={"label": worlds.LABEL})
        return {entry["Names"][0].lstrip("/"): entry["Id"] for entry in found}

    def state(self, name: str) -> dict[str, Any]:
        """Give the state of a container, nothing where there is none."""
        try:
            found: dict[str, Any] = self.api.inspect_container(name)["State"]
        except errors.NotFound:
            return {}
        return found

    def starts(self) -> int:
        """Count how often a server started on the data folder."""
        return (self.folder.parent / "data" / "life").read_text().split().count("started")


@pytest.fixture(params=["trixie", pytest.param("bookworm", marks=pytest.mark.long)])
def suite(request: pytest.FixtureRequest) -> str:
    """Return a release."""
    return str(request.param)


@pytest.fixture
def pi(real: worlds.RealWorld, wanted: ContainerSpec, tmp_path: Path, suite: str) -> Pi:
    """Return the Pi, deployed."""
    (tmp_path / "bin").mkdir()
    folder = tmp_path / f"{worlds.PREFIX}pi"
    command = compose_roots.write_command(suite, tmp_path / "bin")
    place = ComposePlace(str(folder), first_generation=compose_roots.first_generation(suite))
    project = ComposeProject(place, (str(command),))
    # What begins like a variable of compose, and must not be one.
    postgis = replace(wanted, environment={**wanted.environment, "NOTE": "${HOME} costs $5"})
    lizmap = replace(
        wanted,
        name=LIZMAP,
        resource="lizmap",
        network_aliases=("lizmap",),
        mounts=wanted.mounts[:1],
        exclusive_folders=(),
        hardware_address=MAC,
        capabilities=("SETUID", "SETGID"),
        command=(),
    )
    found = Pi(real.api, folder, (replace(postgis, ports=()), lizmap), project, suite)
    assert found.deploy()
    assert found.deploy() == []
    return found


# The short form -----------------------------------------------------------------------------------------------------


def test_compose_and_our_modules_tell_the_same(pi: Pi) -> None:
    ids = pi.ids()
    assert set(ids) == {POSTGIS, LIZMAP}
    up = pi.compose("up", "-d")
    assert up.returncode == 0, up.stderr
    assert pi.ids() == ids and pi.starts() == 1
    pull = pi.compose("pull")
    assert compose.WORDS in pull.stdout + pull.stderr
    assert pi.ids() == ids

    (pi.folder.parent / "data" / "kept").write_text("data")
    down = pi.compose("down")
    assert down.returncode == 0, down.stderr
    assert pi.ids() == {} and pi.api.networks(names=[worlds.NETWORK])
    up = pi.compose("up", "-d")
    assert up.returncode == 0, up.stderr
    made = pi.ids()
    assert set(made) == {POSTGIS, LIZMAP} and not set(made.values()) & set(ids.values())
    assert pi.deploy() == []
    assert pi.ids() == made and pi.starts() == 2
    assert (pi.folder.parent / "data" / "kept").read_text() == "data"

    refused = pi.compose("up", "-d", "--scale", "postgis=2")
    assert refused.returncode != 0
    assert pi.ids() == made and pi.starts() == 2
    assert pi.deploy() == []


def test_a_container_of_other_settings_is_one_for_both(pi: Pi) -> None:
    pi.specs = (pi.specs[0], replace(pi.specs[1], environment={"WORKERS": "2"}))
    before = pi.ids()
    assert pi.deploy()
    ids = pi.ids()
    assert ids[POSTGIS] == before[POSTGIS] and ids[LIZMAP] != before[LIZMAP]
    assert pi.compose("up", "-d").returncode == 0
    assert pi.ids() == ids


@pytest.mark.long
def test_beside_a_previous_container_compose_refuses_until_the_deployment_is_over(pi: Pi) -> None:
    pi.specs = (pi.specs[0], replace(pi.specs[1], environment={"WORKERS": "2"}))
    before = pi.ids()
    assert pi.deploy(DesiredState(keep_previous=True))
    ids = pi.ids()
    previous = f"{LIZMAP}-previous"
    assert ids[previous] == before[LIZMAP] and ids[LIZMAP] != before[LIZMAP]

    # Both are containers of one service, of which compose would remove one, whichever.
    for words in ("up -d", "down", "restart lizmap"):
        refused = pi.compose(*words.split())
        assert refused.returncode != 0 and f"{previous} waits until" in refused.stderr, refused.stderr
    assert pi.ids() == ids and pi.state(LIZMAP)["Running"] and not pi.state(previous)["Running"]

    # What the sentence says, where there is no laptop.
    pi.api.remove_container(previous)
    pi.over = {"DEPLOYMENT_IS_OVER": ""}
    for words in ("up -d", "down", "up -d"):
        done = pi.compose(*words.split())
        assert done.returncode == 0, done.stderr
    assert set(pi.ids()) == {POSTGIS, LIZMAP}
    pi.over = {}
    assert pi.compose("up", "-d").returncode != 0
    assert pi.deploy() and pi.deploy() == []
    assert pi.compose("up", "-d").returncode == 0


def test_the_generation_is_told_by_the_program(suite: str) -> None:
    assert compose_file.is_python(compose_roots.program(suite)) is compose_roots.first_generation(suite)


# Every command ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A command as the tutorial teaches it, what was seen of it, and the command that undoes it."""

    words: str
    look: Callable[[Pi, Ids, str], str]
    """Give the effect in words; assert that it is there. Gets the ids of before and what was printed."""
    undone_by: str = ""
    then: str = ""
    fails: bool | None = False
    """Whether its exit status tells so; None where the generations differ."""


def same(pi: Pi, ids: Ids, _said: str) -> str:
    assert pi.ids() == ids
    assert all(pi.state(name)["Running"] for name in ids)
    return "the same two containers run"


def says(*words: str) -> Callable[[Pi, Ids, str], str]:
    def look(pi: Pi, ids: Ids, said: str) -> str:
        assert all(word in said for word in words), said
        same(pi, ids, said)
        return f"prints {', '.join(words)}; the same two containers run"

    return look


def of_lizmap(what: str, **state: Any) -> Callable[[Pi, Ids, str], str]:
    def look(pi: Pi, ids: Ids, _said: str) -> str:
        found = pi.state(LIZMAP)
        assert {name: found[name] for name in state} == state
        assert pi.ids() == ids and pi.state(POSTGIS)["Running"]
        return what

    return look


def gone(*names: str) -> Callable[[Pi, Ids, str], str]:
    def look(pi: Pi, ids: Ids, _said: str) -> str:
        assert set(pi.ids()) == set(ids) - set(names)
        assert pi.api.networks(names=[worlds.NETWORK])
        return f"{' and '.join(names)} gone; the data and the network stay"

    return look


def restarted(pi: Pi, ids: Ids, _said: str) -> str:
    # Docker has started it before it has written that down.
    life = pi.folder.parent / "data" / "life"
    wait_until(lambda: life.read_text().endswith("1 stopping\n1 stopped\n1 started\n"), "ended cleanly, and started")
    assert pi.ids() == ids
    return "the same container ended cleanly and started"


def created(pi: Pi, ids: Ids, _said: str) -> str:
    assert set(pi.ids()) == {POSTGIS, LIZMAP}
    assert pi.state(LIZMAP)["Status"] == "created"
    return "a container is made, not started"


def image_stays(pi: Pi, ids: Ids) -> None:
    assert pi.api.inspect_image(worlds.OLD)["Id"] == pi.api.inspect_container(POSTGIS)["Image"]
    assert pi.ids() == ids


def brings_nothing(pi: Pi, ids: Ids, said: str) -> str:
    assert compose.WORDS in said, said
    image_stays(pi, ids)
    return f"the image stays; it says: {compose.WORDS}"


def tells_where(pi: Pi, ids: Ids, said: str) -> str:
    assert compose.WHERE_IMAGES_COME_FROM in said, said
    image_stays(pi, ids)
    return f"builds nothing, and says: {compose.WHERE_IMAGES_COME_FROM}"


def back(pi: Pi, _ids: Ids, _said: str) -> str:
    assert set(pi.ids()) == {POSTGIS, LIZMAP}
    assert all(pi.state(name)["Running"] for name in (POSTGIS, LIZMAP))
    return "both containers run"


def one_each(pi: Pi, ids: Ids, _said: str) -> str:
    assert pi.ids() == ids and pi.state(POSTGIS)["Running"]
    return "refused; one container for each data folder"


COMMANDS = (
    Command("version", says("version")),
    Command("help", says("Commands"), fails=None),
    Command("config", says("postgis", "lizmap", "external: true")),
    Command("-f docker-compose.yml ps", says(POSTGIS, LIZMAP)),
    Command("ps", says(POSTGIS, LIZMAP)),
    Command("up -d", same),
    Command("logs postgis", says("a line of the log")),
    Command("port lizmap 8080", says("127.0.0.1:")),
    Command("pause lizmap", of_lizmap("its processes stand still", Paused=True), "unpause lizmap"),
    Command("stop lizmap", of_lizmap("it ended", Running=False), "start lizmap"),
    Command("kill lizmap", of_lizmap("it was ended at once", Running=False), "up -d"),
    Command("restart postgis", restarted),
    Command("rm --stop --force lizmap", gone(LIZMAP), "up -d"),
    Command("rm -s -f lizmap", gone(LIZMAP), "create lizmap", "start lizmap"),
    Command("run --rm --no-deps -T lizmap busybox echo from-within", says("from-within")),
    Command("scale postgis=2", one_each, fails=True),
    Command("up -d --scale lizmap=2", one_each, fails=True),
    Command("-p other up -d", one_each, fails=True),
    # The first generation asks a registry, which has none of that name.
    Command("pull", brings_nothing, fails=None),
    Command("build", tells_where, fails=True),
    Command("down", gone(POSTGIS, LIZMAP), "up -d"),
)
AFTER = {
    "unpause lizmap": of_lizmap("its processes go on", Paused=False, Running=True),
    "start lizmap": back,
    "create lizmap": created,
}


@pytest.fixture
def report() -> Iterator[list[dict[str, Any]]]:
    """Add rows to the report."""
    rows: list[dict[str, Any]] = []
    yield rows
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(REPORT.read_text())["commands"] if REPORT.exists() else []
    suites = {row["release"] for row in rows}
    kept = [row for row in before if row["release"] not in suites]
    REPORT.write_text(json.dumps({"commands": [*kept, *rows]}, indent=2) + "\n")


@pytest.mark.long
def test_every_command_of_the_tutorial(pi: Pi, wanted: ContainerSpec, report: list[dict[str, Any]]) -> None:
    state = pi.folder.parent / "state" / worlds.IMAGES[worlds.OLD]
    (state / "log").write_text("a line of the log\n")
    pi.compose("restart")
    wrong = {}
    for command in COMMANDS:
        try:
            play(pi, command, report)
        except AssertionError as error:
            # All that is wrong is told at once; each command begins from the same.
            wrong[command.words] = str(error)
            pi.compose("unpause")
            pi.deploy()
    report.append(events(pi))
    assert wrong == {}


def play(pi: Pi, command: Command, report: list[dict[str, Any]]) -> None:
    """Play a command, look, play what undoes it, and let our own run look whether it finds anything to do."""
    ids = pi.ids()
    done = pi.compose(*command.words.split())
    assert command.fails in (None, done.returncode != 0), f"{done.stdout}{done.stderr}"
    seen = command.look(pi, ids, done.stdout + done.stderr)
    rows = [{"command": command.words, "exit_code": done.returncode, "effect": seen}]
    for words in filter(None, (command.undone_by, command.then)):
        undone = pi.compose(*words.split())
        assert undone.returncode == 0, f"{words}: {undone.stdout}{undone.stderr}"
        seen = AFTER.get(words, back)(pi, ids, "")
        rows.append({"command": words, "exit_code": 0, "effect": seen})
    # The health check of one that was paused may have failed meanwhile.
    wait_until(lambda: all(pi.state(name)["Health"]["Status"] == "healthy" for name in (POSTGIS, LIZMAP)), "healthy")
    changed = pi.deploy()
    assert changed == [], command.words
    report += [{**row, "next_run_changed": len(changed), "release": pi.suite} for row in rows]


def events(pi: Pi) -> dict[str, Any]:
    """Follow the events while a container is restarted."""
    with (pi.folder.parent / "events").open("w") as told:
        following = subprocess.Popen(
            [*pi.project.command, "events"],
            cwd=pi.folder,
            env=pi.environment(),
            stdout=told,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + worlds.PATIENCE
            while "stop" not in (said := (pi.folder.parent / "events").read_text()) and time.monotonic() < deadline:
                pi.compose("restart", "lizmap")
        finally:
            os.killpg(following.pid, signal.SIGKILL)
            following.wait()
    assert "stop" in said
    return {
        "command": "events",
        "exit_code": 0,
        "effect": "tells what happens to a container while it happens",
        "next_run_changed": len(pi.deploy()),
        "release": pi.suite,
    }
