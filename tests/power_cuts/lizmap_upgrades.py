"""Lizmap is upgraded on a card whose power goes: what people made and set stays, whichever release serves then.

What Docker knows of containers is not on that card. After a cut there are those that belong to what is on the card: the
one of the older release until the newer one has written there, then both, of which Docker starts the newer one, and
that one alone once the upgrade was acknowledged.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import docker
from ansible.module_utils.poppyfield.containers import health
from ansible.module_utils.poppyfield.containers.spec import ALWAYS, network_body
from requests import RequestException

from tests.doubles.lizmap_web_client import archive
from tests.images import building, projects
from tests.images.map_server import PASSWORD
from tests.images.postgis_server import owned_folder
from tests.lizmap.lizmap import ACCOUNTS_PASSWORD
from tests.lizmap.upgrading_pi import WANTED, Json, Pi, seen, version_of
from tests.power_cuts.classes import Found, Promise
from tests.power_cuts.database import Database, DatabaseError
from tests.power_cuts.recorded_disk import RecordedDisk
from tests.unit.modules import run_as_ansible

NETWORK = "pf-bench-power-cut"
UPGRADED = "upgraded"
PATIENCE = 300
"""Seconds for a map server that is to serve."""
FILL = (
    ("postgres", f"CREATE ROLE lizmap LOGIN PASSWORD '{ACCOUNTS_PASSWORD}'"),
    ("postgres", "CREATE DATABASE lizmap OWNER lizmap"),
    ("postgres", f"CREATE ROLE gis LOGIN PASSWORD '{PASSWORD}'"),
    ("postgres", "CREATE DATABASE gis OWNER gis"),
    ("gis", "CREATE EXTENSION postgis"),
    ("gis", f"SET ROLE gis; {projects.POSTGIS_SQL}"),
)


@cache
def releases() -> tuple[str, str]:
    """Build the older and the newer release, which are the stand-in's; give the references of their images."""
    first = archive.variables(building.NOTES, building.PROFILE, number=1)
    second = archive.variables(building.NOTES, building.PROFILE)
    return (
        building.build("images-before.json", **first)["lizmap"],
        building.build("images-with-stand-in.json", **second)["lizmap"],
    )


class LizmapUpgrades:
    """An upgrade of Lizmap is cut off; the accounts are in SQLite, or in PostGIS, which is on the same card."""

    def __init__(self, name: str, accounts: str) -> None:
        self.name = name
        self._accounts = accounts

    def record(self, image: str, disk: RecordedDisk, seconds: float) -> tuple[int, list[Promise]]:
        del seconds
        before, after = releases()
        owned_folder(disk.mount / "data")
        with self._database(image, disk.mount) as database:
            for name, sql in FILL:
                database.sql(sql, name)
            with self._pi(disk.mount) as pi:
                done(pi.deploy(before))
                pi.keep_accounts()
                pi.change_a_setting()
                database.sql("CHECKPOINT")
                os.sync()
                begin = disk.position
                done(pi.deploy(after))
                promise = Promise(UPGRADED, disk.position)
                # People go on.
                assert looked_at(pi) == {**WANTED, "version": version_of(after)}
                hollow = sorted(hollow_files(pi))
                (disk.folder / "hollow.json").write_text(json.dumps(hollow), encoding="utf-8")
                return begin, [promise]

    def look(self, image: str, folder: Path, due: Collection[str]) -> Found:
        hollow = set(json.loads((folder.parent / "hollow.json").read_text(encoding="utf-8")))
        _, after = releases()
        with self._database(image, folder), self._pi(folder) as pi:
            make_containers(pi, is_upgraded=bool(due))
            start(pi)
            came_up = looked_at(pi)
            changed = done(pi.deploy(after))["changed"]
            went_on = looked_at(pi)
            problems = [
                *differences(came_up, WANTED),
                *differences(went_on, {**WANTED, "version": version_of(after)}),
                *(f"{name} has nothing but zeros" for name in sorted(hollow_files(pi) - hollow)),
            ]
            if due and changed:
                problems.append("the upgrade was done again")
        return Found(int(bool(problems)), "; ".join(problems))

    @contextmanager
    def _database(self, image: str, card: Path) -> Iterator[Database]:
        """Run the database of the projects, and perhaps of the accounts, in the network of the map server."""
        client = docker.from_env(timeout=120)
        network = client.networks.create(NETWORK, labels=network_body("")["Labels"])
        try:
            with Database(image, card / "data").running() as database:
                network.connect(database.container, aliases=["postgis"])
                yield database
        finally:
            network.remove()
            client.close()

    @contextmanager
    def _pi(self, card: Path) -> Iterator[Pi]:
        """Give a Pi, whose map servers are removed at the end."""
        pi = Pi(card, NETWORK, self._accounts, run_as_ansible, prove_beside="never")
        try:
            yield pi
        finally:
            pi.remove()


def done(result: Json) -> Json:
    """Give what a module did; DatabaseError where it failed."""
    if result.get("failed"):
        raise DatabaseError(str(result["msg"]))
    return result


def make_containers(pi: Pi, *, is_upgraded: bool) -> None:
    """Make the containers that Docker had when the power went; the one in place starts with the Pi."""
    before, after = releases()
    state = pi.folder / "state"
    has_begun = any((state / name).exists() for name in (".new", ".new-is-ready", version_of(after)))
    if not is_upgraded:
        done(pi.deploy(before, state="stopped"))
    if has_begun and not is_upgraded:
        # As lizmap_container sets it aside, but by a name that it does not look at while it makes the other one.
        pi.server.container.rename(f"{pi.name}-aside")
    if has_begun or is_upgraded:
        done(pi.deploy(after, state="stopped"))
    if has_begun and not is_upgraded:
        client = docker.from_env()
        client.containers.get(f"{pi.name}-aside").rename(f"{pi.name}-previous")
        client.close()
    pi.server.container.update(restart_policy={"Name": ALWAYS})


def start(pi: Pi) -> None:
    """Let Docker start what it starts with the Pi; DatabaseError where that does not become healthy."""
    container = pi.server.container
    container.start()

    def inspect() -> Any:
        container.reload()
        return container.attrs

    found = health.wait(inspect, PATIENCE, clock=time.monotonic, sleep=time.sleep)
    if found.verdict is not health.Verdict.HEALTHY:
        raise DatabaseError(f"Lizmap does not serve: {found.why}\n{pi.server.log()[-2000:]}")


def looked_at(pi: Pi) -> Json:
    """Say what people see; DatabaseError where they see nothing."""
    try:
        return {**seen(pi.server), "version": pi.server.metadata()["info"]["version"]}
    except (AssertionError, RequestException) as error:
        raise DatabaseError(f"Lizmap does not answer: {error}") from error


def differences(found: Json, wanted: Json) -> list[str]:
    """Say what is not as it is wanted."""
    return [f"{name}: {found[name]}, not {value}" for name, value in wanted.items() if found[name] != value]


def hollow_files(pi: Pi) -> set[str]:
    """Name the files of Lizmap's state that are empty, or have nothing but zeros."""
    state = pi.folder / "state"
    files = (path for path in state.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(state)) for path in files if not path.read_bytes().strip(b"\0")}
