"""A major upgrade: what is decided about it, and its program on a host where everything answers as Docker would.

The real PostgreSQL is in tests/images/test_major_upgrade.py.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup import map_server, restoring, room
from ansible.module_utils.poppyfield.backup.comparison import differences
from ansible.module_utils.poppyfield.backup.settings import BackupError
from ansible.module_utils.poppyfield.backup.this_pi import read, write
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.host import folder_exchange, host_files, requirements
from ansible.module_utils.poppyfield.postgis import major_upgrade, upgrade_program
from ansible.module_utils.poppyfield.postgis.upgrade_service import UNIT, UpgradeService, UpgradeServiceError

from tests.doubles.systemd import Systemd
from tests.unit.test_requirements import NEEDS, PI

Json = dict[str, Any]
MARKER = "/srv/data/cluster/PG_VERSION"
CONTENT: Json = {
    "tables": {"public.seen": [3, "77"]},
    "sequences": {"public.ids": [4, 4]},
    "rights": ["table public.seen is owned by gis"],
    "properties": {"encoding": "UTF8"},
    "extensions": {"postgis": "3.3"},
    "of_extensions": [],
    "counted": {"indexes": 2},
    "numbers": {"topology.ids": [3, True]},
}


def made_by(version: str) -> dict[str, dict[str, str]]:
    return {MARKER: {"sha256": hashlib.sha256(f"{version}\n".encode()).hexdigest()}}


@pytest.mark.parametrize(
    ("found", "profile", "upgraded", "words"),
    [
        ("15", "trixie", False, "playbooks/upgrade_database.yml upgrades it"),
        ("15", "trixie", True, ""),
        ("17", "trixie", False, ""),
        ("17", "bookworm", True, "no way to an earlier version"),
        ("of somebody", "trixie", False, ""),
    ],
)
def test_the_preflight_names_the_playbook_that_upgrades(found: str, profile: str, upgraded: bool, words: str) -> None:
    cluster = {"folder": "/srv/data", "marker": MARKER, "upgraded": upgraded}
    wanted, facts = replace(NEEDS, profile=profile, cluster=cluster), replace(PI, files=made_by(found))
    said = " ".join(requirements.problems(facts, wanted))
    assert (words in said) if words else not said
    assert requirements.upgrades(facts, wanted) is (upgraded and found == "15")
    # A stage that writes nothing does not ask.
    assert not requirements.problems(facts, replace(wanted, cluster={}))


def test_what_a_newer_version_adds_by_itself_is_no_difference_and_all_else_is() -> None:
    recorded: Json = {"roles": [], "files": {}, "databases": {"gis": CONTENT}}
    found = copy.deepcopy(recorded)
    content = found["databases"]["gis"]
    content["rights"] += ["table public.seen: gis has MAINTAIN", "sequence topology.ids: everybody has SELECT"]
    content["sequences"]["topology.ids"] = [1, 1]
    content["of_extensions"] = ["sequence topology.ids"]

    def said(old: int = 15) -> list[str]:
        new = major_upgrade.comparable(found, recorded, old, 17)
        return [*differences(recorded, new), *major_upgrade.further_differences(recorded, new)]

    assert said() == []
    assert len(said(old=17)) == 1
    content["rights"].append("table public.seen: reader has SELECT")
    content["sequences"]["public.more"] = [1, 1]
    content["properties"] = {"encoding": "LATIN1"}
    content["extensions"] = {}
    content["counted"] = {"indexes": 1}
    content["numbers"] = {"topology.ids": [1, False]}
    for words in (
        "it has 1 indexes, and had 2",
        "reader has SELECT",
        "public.more",
        "encoding",
        "extension postgis",
        "sequence topology.ids",
    ):
        assert [line for line in said() if words in line], words
    assert major_upgrade.further_differences(recorded, {"databases": {}}) == []


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({}, ""),
        ({"version": 17}, "already"),
        ({"closed": ["a__before_1"]}, "dropdb"),
        ({"tablespaces": ["disk"]}, "tablespaces"),
        ({"closed": [f"d{n}" for n in range(9)]}, "and 4 more"),
    ],
)
def test_what_cannot_be_carried_over_is_said_with_its_remedy(seen: Json, words: str) -> None:
    said = major_upgrade.problem({"version": 15, "closed": [], "tablespaces": [], **seen}, 17)
    assert (words in said) if words else not said


# The program on a host ------------------------------------------------------------------------------------------------


class Host:
    """A host with Docker, whose servers hold what is in their data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.containers: dict[str, Json] = {}
        self.numbers = itertools.count()
        self.contents: dict[str, Json] = {"gis": copy.deepcopy(CONTENT)}
        self.ill: set[str] = set()
        """Images whose servers never become healthy."""
        self.ended = 0
        """The status of the program's last run, which systemd sees."""
        self.lost: Callable[[Json], object] = lambda _: None
        """What happens to what is carried over."""
        self.closed: list[str] = []
        self.extensions = "{}"
        self.make_cluster(self.data, 15)
        self.first = self.run("websig-postgis", "old", policy="always")
        self.run("websig-lizmap", "map", policy="always")
        self.order = upgrade_program.Order(
            what="upgrade",
            data_folder=str(self.data),
            postgis="websig-postgis",
            lizmap="websig-lizmap",
            image="new",
            body={"Image": "new"},
            old_body={"Image": "old"},
            fresh=True,
            state_folder=str(folder / "state"),
            run_folder=str(folder / "run"),
            backup_state_folder=str(folder / "backup"),
        )

    @staticmethod
    def make_cluster(data: Path, version: int) -> None:
        (data / "cluster" / "global").mkdir(parents=True)
        (data / "cluster" / "PG_VERSION").write_text(f"{version}\n")
        (data / "cluster" / "postgresql.auto.conf").write_text("work_mem = '9MB'\n")
        (data / "cluster" / "global" / "pg_control").write_text("at rest")

    def run(self, name: str, image: str, policy: str = "no") -> str:
        identity = f"id{next(self.numbers)}-{name}"
        self.containers[identity] = {
            "Id": identity,
            "Name": f"/{name}",
            "Image": image,
            "State": {"Running": True},
            "policy": policy,
        }
        return identity

    def found(self, name: str) -> Json:
        return next(one for one in self.containers.values() if name in (one["Id"], one["Name"][1:]))

    def do(self, command: Sequence[str], *, given: bytes = b"") -> str:
        """Answer for the command docker, and for psql in a container."""
        del given
        match list(command):
            case ["docker", "inspect", "--type", _, name]:
                try:
                    return json.dumps([self.found(name)])
                except StopIteration:
                    raise BackupError("there is none") from None
            case ["docker", "inspect", *_, name]:
                health = "unhealthy" if self.found(name)["Image"] in self.ill else "healthy"
                return f"running {health}"
            case ["docker", "image", "inspect", *_, image]:
                return {"new": "17\n", "old": "15\n"}.get(image, "<no value>\n")
            case ["docker", "ps", *_]:
                return "".join(f"{one['Name'][1:]} {one['Image']}\n" for one in self.containers.values())
            case ["docker", "start", name]:
                self.found(name)["State"]["Running"] = True
            case ["docker", "stop", *_, name]:
                self.found(name)["State"]["Running"] = False
            case ["docker", "rm", *_, name]:
                del self.containers[self.found(name)["Id"]]
            case ["docker", "rename", name, new]:
                self.found(name)["Name"] = f"/{new}"
            case ["docker", "update", "--restart", policy, name]:
                self.found(name)["policy"] = policy
            case ["docker", "run", *_]:
                name = command[list(command).index("--name") + 1]
                image = "new" if name.endswith("-new") else "old"
                self.run(name, image)
                if image == "new":
                    self.make_cluster(self.folder / "upgrading" / "data", 17)
        return "{}"

    def psql(self, settings: Any, script: str, database: str = "postgres", *, tolerant: bool = False) -> str:
        """Answer for a server."""
        del database, tolerant
        if script == upgrade_program.AVAILABLE:
            return '["postgis"]'
        if script == upgrade_program.EXTENSIONS:
            return self.extensions
        if script != upgrade_program.LOOK:
            return ""
        running = self.found(settings.postgis)["Image"]
        names = [*upgrade_program.MADE_FIRST, "gis"]
        version = {"old": 15, "new": 17}[running]
        seen = {"version": version, "bytes": 1000, "databases": names, "closed": self.closed, "tablespaces": []}
        return json.dumps(seen)

    @property
    def names(self) -> list[str]:
        return [one["Name"][1:] for one in self.containers.values()]

    @property
    def serving(self) -> tuple[str, str]:
        """The image whose container serves by its name, and the version of the data that it finds."""
        found = self.found("websig-postgis")
        assert found["State"]["Running"] and found["policy"] == "always"
        assert self.found("websig-lizmap")["State"]["Running"]
        return found["Image"], (self.data / "cluster" / "PG_VERSION").read_text().strip()

    def write_order(self, what: str = "upgrade", **other: Any) -> None:
        order = replace(self.order, what=what, **other)
        write(order.file(major_upgrade.ORDER), order.__dict__)

    def go(self, what: str = "", **other: Any) -> Json:
        """Run the program, with an order where one is given."""
        if what:
            self.write_order(what, **other)
        self.ended = upgrade_program.main(["--state", self.order.state_folder, "go"])
        return read(self.order.file(major_upgrade.OUTCOME))


class Session:
    """A session that finds what its server holds."""

    def __init__(self, host: Host, settings: Any, database: str) -> None:
        self.snapshot = "1-1"
        image = host.found(settings.postgis)["Image"]
        self.content = copy.deepcopy(host.contents["gis"])
        if image == "new" and settings.postgis.endswith("-new") and database == "gis":
            host.lost(self.content)

    def next_values(self) -> Json:
        return {}

    def close(self) -> None:
        """It has nothing to end."""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host(tmp_path)
    engine = SimpleNamespace(create_container=lambda name, body: _stopped(found, name, body["Image"]))
    for module in (upgrade_program, map_server):
        monkeypatch.setattr(module, "do", found.do)
    for module in (upgrade_program, restoring):
        monkeypatch.setattr(module, "psql", found.psql)
    monkeypatch.setattr(upgrade_program, "roles_of", lambda _: [])
    monkeypatch.setattr(upgrade_program, "wait_for", lambda _: None)
    monkeypatch.setattr(upgrade_program, "DatabaseSession", lambda settings, name: Session(found, settings, name))
    monkeypatch.setattr(upgrade_program, "described", lambda session, _: session.content)
    monkeypatch.setattr(upgrade_program, "pour", lambda *_: None)
    monkeypatch.setattr(Engine, "connect", lambda: engine)
    monkeypatch.setattr(major_upgrade, "ROOM_BYTES", 0)
    monkeypatch.setattr(room, "SPARE_BYTES", 0)
    return found


def _stopped(host: Host, name: str, image: str) -> str:
    identity = host.run(name, image)
    host.containers[identity]["State"]["Running"] = False
    return identity


def test_the_new_server_serves_goes_back_and_is_kept_for_good(host: Host) -> None:
    assert not host.go("upgrade")["failed"]
    assert host.serving == ("new", "17")
    assert host.found("websig-postgis-before-upgrade")["policy"] == "no"
    # The old one, which docker-compose knows, is gone for one that it does not.
    assert sorted(host.names) == ["websig-lizmap", "websig-postgis", "websig-postgis-before-upgrade"]
    assert host.first not in host.containers
    assert "still kept" in host.go("upgrade")["said"]
    assert "went back" in host.go("back")["said"]
    assert host.serving == ("old", "15") and not host.order.file(major_upgrade.DONE).exists()
    host.go("upgrade")
    host.contents["gis"]["tables"]["public.seen"] = [4, "78"]
    assert "has 4 rows, and had 3" in host.go("back")["said"]
    assert host.serving == ("new", "17")
    assert "deleted" in host.go("forget")["said"]
    assert len(host.containers) == 2 and not list(host.folder.glob("data.before*"))
    assert "no earlier cluster" in host.go("back")["said"]


def test_an_order_of_before_a_restart_begins_nothing(host: Host) -> None:
    said = host.go("upgrade", boot="another start of this host")["said"]
    assert "cut off before anything was changed" in said and host.serving == ("old", "15")


def test_what_is_not_equal_never_serves(host: Host) -> None:
    host.lost = lambda content: content["tables"].update({"public.seen": [2, "5"]})
    assert "has 2 rows, and had 3" in host.go("upgrade")["said"] and host.ended == 1
    assert host.serving == ("old", "15") and not host.order.staging.exists()


def test_a_server_that_does_not_come_up_gives_way_to_the_old_one(host: Host) -> None:
    host.ill.add("new")
    assert "The old one serves again" in host.go("upgrade")["said"]
    assert host.serving == ("old", "15") and len(host.containers) == 2


def test_one_that_was_started_by_somebody_meanwhile_is_not_replaced(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = host.data / "cluster" / "global" / "pg_control"
    policy = upgrade_program.set_policy

    def start(container: str, wanted: str) -> None:
        if wanted == "no":
            control.write_text("a server has worked on it")
        policy(container, wanted)

    monkeypatch.setattr(upgrade_program, "set_policy", start)
    assert "may have written" in host.go("upgrade")["said"]
    assert host.serving == ("old", "15")


class PowerCutError(BaseException):
    """The program ends here."""


@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", [*major_upgrade.STEPS, major_upgrade.LOOKING, major_upgrade.RETURNING])
def test_cut_at_each_step_one_of_both_serves(
    host: Host, monkeypatch: pytest.MonkeyPatch, step: str, early: bool
) -> None:
    what = "upgrade" if step in major_upgrade.STEPS else "back"
    if what == "back":
        host.go("upgrade")
    note = upgrade_program.Journal.note
    noted: list[str] = []

    def cut(self: Any, done: str, **more: Any) -> None:
        if done == step and early:
            raise PowerCutError
        note(self, done, **more)
        noted.append(done)
        if done == step:
            raise PowerCutError

    with monkeypatch.context() as patched, pytest.raises(PowerCutError):
        patched.setattr(upgrade_program.Journal, "note", cut)
        host.go(what)
    host.go()
    # Otherwise systemd would tell of a unit that failed, long after all is well.
    assert host.ended == 0
    if what == "upgrade":
        is_old = not noted or major_upgrade.undoes(noted[-1])
    else:
        is_old = noted[-1:] == [major_upgrade.RETURNING]
    assert host.serving == (("old", "15") if is_old else ("new", "17"))
    assert not host.order.file(major_upgrade.JOURNAL).exists()
    assert not host.order.file(major_upgrade.ORDER).exists()
    assert not host.order.staging.exists()


@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
def test_cut_while_the_old_container_makes_room_for_its_like(
    host: Host, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    remove = upgrade_program.remove

    def cut(*names: str) -> None:
        if host.first in names and early:
            raise PowerCutError
        remove(*names)
        if host.first in names:
            raise PowerCutError

    with monkeypatch.context() as patched, pytest.raises(PowerCutError):
        patched.setattr(upgrade_program, "remove", cut)
        host.go("upgrade")
    host.go()
    assert host.serving == ("new", "17")
    assert sorted(host.names) == ["websig-lizmap", "websig-postgis", "websig-postgis-before-upgrade"]
    host.go("back")
    assert host.serving == ("old", "15")


def test_a_rehearsal_leaves_nothing_and_one_that_was_cut_off_neither(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = host.go("rehearse")
    assert "Nothing was changed" in told["said"] and told["seconds"] >= 0
    assert host.serving == ("old", "15") and len(host.containers) == 2 and not host.order.staging.exists()

    def cut(*_: Any) -> None:
        raise PowerCutError

    with monkeypatch.context() as patched, pytest.raises(PowerCutError):
        patched.setattr(upgrade_program, "clear", cut)
        host.go("rehearse")
    host.go()
    assert len(host.containers) == 2 and not host.order.staging.exists()


@pytest.mark.parametrize("what", ["upgrade", "rehearse"])
def test_it_is_refused_before_anything_is_changed(host: Host, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = sorted(host.containers)

    def refused(words: str, **other: Any) -> None:
        said = host.go(what, **other)["said"]
        assert words in said and "Nothing was changed" in said
        assert sorted(host.containers) == before

    refused("does not tell which PostgreSQL", image="of somebody")
    refused("already", image="old")
    host.closed = ["gis__before_1"]
    refused("dropdb")
    host.closed = []
    with monkeypatch.context() as patched:
        patched.setattr(major_upgrade, "ROOM_BYTES", 1 << 60)
        refused("MB are missing on the disk")
    with monkeypatch.context() as patched:
        patched.setattr(folder_exchange, "RENAME_EXCHANGE", 1 << 20)
        refused("can't let folders change places")
    (host.folder / "backup").mkdir()
    (host.folder / "backup" / "restore.journal").write_text("{}")
    refused("neither kept nor taken back")
    (host.folder / "backup" / "restore.journal").unlink()
    host.found("websig-postgis")["State"]["Running"] = False
    refused("does not run")


def test_extensions_that_the_new_image_lacks_are_named(host: Host) -> None:
    host.extensions = '{"tiger": "3.3"}'
    assert "lacks extensions" in host.go("upgrade")["said"]
    assert host.serving == ("old", "15")


def test_what_one_command_prints_goes_to_another_one_and_either_failure_is_told() -> None:
    upgrade_program.pour("gis", ["echo", "rows"], ["grep", "--quiet", "rows"])
    for producer, consumer in ((["sh", "-c", "echo gone >&2; exit 1"], ["cat"]), (["echo"], ["sh", "-c", "exit 1"])):
        with pytest.raises(BackupError, match="the database gis could not be carried over"):
            upgrade_program.pour("gis", producer, consumer)


# The module, and the orders -------------------------------------------------------------------------------------------


class FakeProgram(Systemd):
    """A host with systemd, whose unit answers with what it is told."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        (folder / "units").mkdir()
        self.outcome: Json = {}
        self.orders: list[Json] = []
        self.service = UpgradeService(folder / "upgrade", folder / "units", folder, folder / "state", self.run)

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Answer as the unit does."""
        done = super().run(command)
        order = read(self.service.state / major_upgrade.ORDER)
        if UNIT in command and "start" in command and self.outcome:
            self.orders.append(order)
            answer = {"what": order.get("what"), **self.outcome}
            (self.service.state / major_upgrade.OUTCOME).write_text(json.dumps(answer))
        return done


Run = Callable[..., Json]


@pytest.fixture
def fake(library: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeProgram:
    found = FakeProgram(tmp_path)
    for name in ("database_upgrade", "postgis_container"):
        monkeypatch.setattr(library(name), "UpgradeService", lambda: found.service)
    numbers = {"user": os.getuid(), "group": os.getgid()}
    monkeypatch.setattr(host_files, "_number_of", lambda name, lookup, kind, _: numbers[kind])
    return found


def test_the_program_is_installed_once(run_module: Run, fake: FakeProgram) -> None:
    assert run_module("database_upgrade", check_mode=True)["changed"] and not fake.done
    assert run_module("database_upgrade")["changed"]
    assert f"systemctl enable --quiet {UNIT}" in fake.done
    assert not run_module("database_upgrade")["changed"]
    unit = (fake.service.units / UNIT).read_text()
    # When the host starts it is asked for nothing, unless an upgrade was cut off.
    assert f"ConditionPathExists={fake.service.state}/order.json" in unit and "ExecStopPost" in unit


def test_a_rehearsal_is_told_and_changes_nothing(run_module: Run, fake: FakeProgram) -> None:
    fake.outcome = {"failed": False, "said": "it would succeed.", "seconds": 7.0, "bytes": 5, "objects": {"rows": 2}}
    result = run_module("database_upgrade", state="rehearsed", image="new")
    assert not result["changed"] and result["seconds"] == 7.0 and result["msg"] == "it would succeed."
    assert fake.orders[0]["what"] == "rehearse" and fake.orders[0]["fresh"]
    assert (
        "would be rehearsed" in run_module("database_upgrade", check_mode=True, state="rehearsed", image="new")["msg"]
    )
    fake.outcome = {"failed": True, "said": "No room."}
    assert run_module("database_upgrade", state="rehearsed", image="new")["msg"] == "No room."


@pytest.mark.parametrize("state", ["back", "forgotten"])
def test_there_is_no_way_back_where_nothing_was_upgraded(run_module: Run, fake: FakeProgram, state: str) -> None:
    assert "no earlier cluster" in run_module("database_upgrade", state=state)["msg"]
    done = {"version": 15, "new": 17, "folder": "/srv/data.before-upgrade-15"}
    (fake.service.state / major_upgrade.DONE).write_text(json.dumps(done))
    assert "15" in run_module("database_upgrade", check_mode=True, state=state)["msg"] and not fake.orders
    fake.outcome = {"failed": False, "said": "done."}
    assert run_module("database_upgrade", state=state)["changed"]


def test_what_was_cut_off_is_brought_to_an_end_first_and_no_other_order_is_taken_for_ones_own(
    fake: FakeProgram,
) -> None:
    fake.service.state.mkdir()
    assert fake.service.settle() == ""
    (fake.service.state / major_upgrade.JOURNAL).write_text("{}")
    fake.outcome = {"failed": True, "said": "It was cut off."}
    assert fake.service.settle() == "It was cut off."
    fake.outcome = {"failed": False, "said": "rehearsed", "what": "rehearse"}
    with pytest.raises(UpgradeServiceError, match="still at work"):
        fake.service.give({"what": "upgrade"})
    fake.outcome = {}
    (fake.service.state / major_upgrade.JOURNAL).unlink()
    with pytest.raises(UpgradeServiceError, match="Run this again"):
        fake.service.give({"what": "upgrade"})
    without = replace(fake.service, booted=fake.service.state / "none")
    with pytest.raises(UpgradeServiceError, match="was ended"):
        without.give({"what": "upgrade"})
    assert " go" in fake.done[-1]
