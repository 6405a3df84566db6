"""The database is brought from PostgreSQL 15 to 17 on a card whose power goes: the old one serves, or the new one.

What Docker knows of containers is not on that card. After a cut there are those that the last step that was written
down had left: a step is written down when all that it did, Docker's part too, was flushed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import docker
from ansible.module_utils.poppyfield.backup.this_pi import read, write
from ansible.module_utils.poppyfield.postgis import major_upgrade

from tests.images import building
from tests.images.upgrading_pi import SEEN, UpgradingPi
from tests.power_cuts.backups import emptied
from tests.power_cuts.classes import Found, Promise
from tests.power_cuts.database import CHECK, DatabaseError
from tests.power_cuts.recorded_disk import RecordedDisk

NETWORK = "pf-bench-power-cut"
UPGRADED = "upgraded"
ROWS = 2000


@cache
def old_image() -> str:
    """Build the image with PostgreSQL 15; give its reference."""
    return building.build("upgrade-bookworm.json", "bookworm")["postgis"]


class Upgrades:
    """An upgrade is cut off."""

    name = "upgrade"

    def record(self, image: str, disk: RecordedDisk, seconds: float) -> tuple[int, list[Promise]]:
        del seconds
        with self._pi(image, disk.mount, emptied(disk.folder / "memory")) as pi:
            pi.fill(ROWS)
            (disk.folder / "seen.json").write_text(json.dumps(pi.sql(SEEN)), encoding="utf-8")
            pi.sql("CHECKPOINT")
            os.sync()
            begin = disk.position
            pi.do("upgrade")
            return begin, [Promise(UPGRADED, disk.position)]

    def look(self, image: str, folder: Path, due: Collection[str]) -> Found:
        seen = json.loads((folder.parent / "seen.json").read_text(encoding="utf-8"))
        with self._pi(image, folder, emptied(folder.parent / "memory-of-the-cut")) as pi:
            self._make_containers(pi)
            try:
                pi.lose_power()
                version, found = pi.version, pi.sql(SEEN)
                damage = pi.sql(CHECK).strip()
            except AssertionError as error:
                raise DatabaseError(str(error)) from error
        lost = found != seen or (UPGRADED in due and version != 17)
        return Found(int(lost), damage or (f"PostgreSQL {version} has {found}, not {seen}" if lost else ""))

    @staticmethod
    def _make_containers(pi: UpgradingPi) -> None:
        """Make the containers that Docker had when the power went."""
        pi.make_containers()
        path = pi.state / major_upgrade.JOURNAL
        known = read(path) or read(pi.state / major_upgrade.DONE)
        step = known.get("step", "kept" if known else "begun")
        old = pi.client.containers.get(pi.name)
        if major_upgrade.STEPS.index(step) < major_upgrade.STEPS.index("created"):
            new = ""
        else:
            new = pi.client.api.create_container_from_config(pi.body, f"{pi.name}-candidate")["Id"]
        if step in major_upgrade.left_to_do("created"):
            old.update(restart_policy={"Name": "no"})
        if step in ("renamed", *major_upgrade.left_to_do("renamed")):
            old.rename(f"{pi.name}{major_upgrade.SET_ASIDE}")
            pi.client.api.rename(new, pi.name)
        if step in ("started", *major_upgrade.left_to_do("started")):
            pi.client.api.update_container(new, restart_policy={"Name": "always"})
        if path.exists():
            # Docker would know them by these.
            write(path, {**known, "old_id": old.id, **({"new_id": new} if new else {})})

    @staticmethod
    @contextmanager
    def _pi(image: str, card: Path, memory: Path) -> Iterator[UpgradingPi]:
        """Give a Pi, whose containers are removed at the end."""
        client = docker.from_env(timeout=120)
        network = client.networks.create(NETWORK)
        pi = UpgradingPi(card, client, (old_image(), image), NETWORK, memory)
        try:
            yield pi
        finally:
            pi.remove()
            network.remove()
            client.close()
