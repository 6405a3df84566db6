"""What is known of real cuts, whose machines outlive a run: the rows that were acknowledged, and what each cut left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from tests.machine import map_server
from tests.machine.reached import MACHINES, Machine
from tests.power_cuts.cutting import Row
from tests.power_cuts.database import CHECK, CLIENTS, DIGESTS

RESULTS = MACHINES.parent / "power-cuts"


class Ledger:
    """What was acknowledged, of all cuts of one card, and the picture of its map: files beside the card."""

    def __init__(self, folder: Path) -> None:
        self._rows = folder / "acknowledged"
        self._picture = folder / "picture.sha256"
        self._lock = Lock()
        text = self._rows.read_text(encoding="ascii") if self._rows.exists() else ""
        # A note that was cut off with this machine was never read by anybody.
        self._rows.write_text(text[: text.rfind("\n") + 1], encoding="ascii")

    @property
    def rows(self) -> list[str]:
        """Every row, as CLIENT/NUMBER."""
        return self._rows.read_text(encoding="ascii").split("\n")[:-1]

    @property
    def walks(self) -> int:
        """How many times clients have committed."""
        return 1 + max((int(row.partition("/")[0]) // CLIENTS for row in self.rows), default=-1)

    def note(self, row: str) -> None:
        """Note a row that was acknowledged."""
        with self._lock, self._rows.open("a", encoding="ascii") as file:
            file.write(f"{row}\n")

    def lost(self, machine: Machine) -> int:
        """Count the rows that are not there."""
        return len(set(self.rows) - set(machine.sql("SELECT client || '/' || n FROM walked").split()))

    def damage(self, machine: Machine) -> str:
        """Say what is damaged, or not as it was before; nothing where all is well."""
        damage = machine.sql(CHECK + DIGESTS).strip()
        if not self.is_as_before(machine.picture().tobytes()):
            damage += " The map is not drawn as it was before."
        return damage.strip()

    def is_as_before(self, picture: bytes) -> bool:
        """Say whether the map is drawn as it was at first."""
        digest = hashlib.sha256(picture).hexdigest()
        if not self._picture.exists():
            self._picture.write_text(digest, encoding="ascii")
        return self._picture.read_text(encoding="ascii") == digest


@dataclass(frozen=True)
class Results:
    """The cuts of a class, those of earlier runs among them; a change of what they are made of begins anew."""

    name: str
    made_of: Sequence[str]

    @property
    def state(self) -> str:
        """Name the state of the checkout."""
        return map_server.digest_of(self.made_of)

    @property
    def rows(self) -> list[Row]:
        """Every cut."""
        path = self._path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [Row(**json.loads(line)) for line in lines]

    @property
    def counting(self) -> list[Row]:
        """The cuts that lost a write that was not flushed."""
        return [row for row in self.rows if row.dropped]

    def add(self, row: Row) -> None:
        """Note a cut."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")

    @property
    def _path(self) -> Path:
        return RESULTS / f"{self.name}-{self.state}.jsonl"
