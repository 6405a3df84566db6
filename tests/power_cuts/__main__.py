"""`python -m tests.power_cuts [--cuts 200] [--class NAME] [--seed N]`: cuts of power while people commit.

The writes of a disk are recorded once for each class, at full speed. Each cut is a disk that has what was flushed until
some moment, and of what was written since, some part. The product's container starts on it, and is looked at:

- commits: five clients commit, with a checkpoint each second
- first-start: the container makes its database
- backup: backups are made on a stick; after the cut the next is made, and each that was complete comes back
- restore: a backup is put in place and kept; after the cut there is all of the one or all of the other
- take-back: a backup is put in place and taken back; after the cut there is what was before
- upgrade: the database is brought from PostgreSQL 15 to 17; after the cut there is all of the one or all of the other
- lizmap-upgrade: the module lizmap_container puts a newer Lizmap in the place of an older one; after the cut what was
  there serves, and when the module has run again, the newer one with all of it; lizmap-upgrade-postgis: the same with
  the accounts in PostGIS
- images: the module delivered_image loads an image; after the cut it is run again, and each file is as it should be
- machine: as commits, on a whole machine that is emulated, whose power is cut for real: machine.py; by its name alone
- site: such a machine, while site.yml runs, in each of its stages: site_runs.py; by its name alone
- control: as commits, but PostgreSQL does not flush. This one must lose rows, or the others prove nothing.

Writes build/reports/power-cuts.json; the exit status is 0 where nothing was lost but in the control. The same seeds
play the same cuts of the same recording; `--recorded` takes that of the last run, from build/power-cuts. Needs root.

`--class machine --cuts 20` goes on with what its earlier runs did, until there are 20, with `--machines 2` on two
machines side by side, and `--class site` with the stages that are left; other runs count these, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.progress import track

from tests.images import building
from tests.power_cuts import machine, site_runs
from tests.power_cuts.backups import Backups, Restores
from tests.power_cuts.classes import CONTROL, Class, Commits, FirstStart, Recording, kept, recorded
from tests.power_cuts.cutting import Cutter, Row
from tests.power_cuts.image_loads import ImageLoads
from tests.power_cuts.lizmap_upgrades import LizmapUpgrades
from tests.power_cuts.machine import MACHINE
from tests.power_cuts.recorded_disk import DiskError
from tests.power_cuts.site_runs import SITE
from tests.power_cuts.upgrades import Upgrades

REPORT = building.ROOT / "build" / "reports" / "power-cuts.json"
RECORDINGS = building.ROOT / "build" / "power-cuts"
SHARES = {
    "commits": 0.5,
    "first-start": 0.1,
    "backup": 0.05,
    "restore": 0.07,
    "take-back": 0.05,
    "upgrade": 0.05,
    "lizmap-upgrade": 0.05,
    "lizmap-upgrade-postgis": 0.05,
    "images": 0.05,
    "control": 0.03,
}
"""Of all cuts, by class."""
REAL = {MACHINE: machine.RESULTS, SITE: site_runs.RESULTS}
"""What is known of the real cuts, which are no share."""
CLASSES: tuple[Class, ...] = (
    Commits("commits"),
    FirstStart(),
    Backups(),
    Restores("restore", "finish"),
    Restores("take-back", "take-back"),
    Upgrades(),
    LizmapUpgrades("lizmap-upgrade", "sqlite"),
    LizmapUpgrades("lizmap-upgrade-postgis", "postgis"),
    ImageLoads(),
    Commits(CONTROL, sync=False),
)


def main() -> int:
    """Play the cuts that are asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="tests.power_cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=220, help="of all classes together (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="that clients commit (default: %(default)s)")
    parser.add_argument("--class", dest="name", choices=[*SHARES, *REAL], help="this class alone")
    parser.add_argument("--seed", type=int, default=0, help="the first one (default: %(default)s)")
    parser.add_argument("--machines", type=int, choices=[1, 2], default=1, help="side by side (default: %(default)s)")
    parser.add_argument("--recorded", action="store_true", help="take the recordings of the last run")
    given = parser.parse_args()
    chosen = [kind for kind in CLASSES if given.name in (None, kind.name)]
    try:
        if given.name == MACHINE:
            machine.play(given.cuts, given.seed, given.machines)
        elif given.name == SITE:
            site_runs.play(given.seed)
        rows = others(REPORT) if given.name in REAL else rows_of_all(chosen, given)
    except (DiskError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    rows += [row for results in REAL.values() for row in results.counting]
    found = report(rows)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(*(f"{name}: {value}" for name, value in found.items() if name != "rows"), f"Every cut: {REPORT}", sep="\n")
    return 1 if wrong(rows, {kind.name for kind in chosen}) else 0


def others(path: Path) -> list[Row]:
    """Give the rows of the other classes in the report of an earlier run, if there is one."""
    found = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return [row for row in (Row(**one) for one in found) if row.name not in REAL]


def rows_of_all(kinds: Sequence[Class], given: argparse.Namespace) -> list[Row]:
    """Give the rows of some classes."""
    image = building.images("images.json")["postgis"]
    return [row for kind in kinds for row in rows_of(kind, image, given)]


def rows_of(kind: Class, image: str, given: argparse.Namespace) -> list[Row]:
    """Record a class, or take its last recording, and play its cuts."""
    folder = RECORDINGS / kind.name
    recording: Recording = kept(folder) if given.recorded else recorded(kind, image, folder, given.seconds)
    count = given.cuts if given.name else max(1, round(given.cuts * SHARES[kind.name]))
    cutter = Cutter(kind, recording, image)
    cuts = cutter.cuts(range(given.seed, given.seed + count))
    return list(track(cutter.play(cuts), kind.name, total=len(cuts), disable=not sys.stderr.isatty()))


def report(rows: Sequence[Row]) -> dict[str, object]:
    """Sum up the cuts: those of the control apart."""
    real = [row for row in rows if row.name != CONTROL]
    return {
        "cuts": len(real),
        "real_cuts": sum(row.name in REAL for row in rows),
        "by_class": {name: sum(row.name == name for row in rows) for name in (*SHARES, *REAL)},
        "acknowledged": sum(row.acknowledged for row in real),
        "lost": sum(row.lost for row in real),
        "not_up_again": sum(not row.up for row in real),
        "damaged": sum(bool(row.damage) for row in real),
        "control_lost": sum(row.lost for row in rows if row.name == CONTROL),
        "rows": [asdict(row) for row in rows],
    }


def wrong(rows: Sequence[Row], names: set[str]) -> bool:
    """Say whether a cut lost something that it must not, or the control nothing."""
    lost = any(row.lost or row.damage or not row.up for row in rows if row.name != CONTROL)
    return lost or (CONTROL in names and not any(row.lost for row in rows if row.name == CONTROL))


if __name__ == "__main__":
    sys.exit(main())
