"""The database goes from PostgreSQL 15 to 17 and back, by the playbook alone: no row is lost, the map is as it was.

The tests go one after the other, on one Pi, as its operator would.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from ansible.module_utils.poppyfield.postgis import major_upgrade
from testinfra.host import Host

from emulated_pi import ROOT, ansible_playbook, count_of_a_run, power_cut, sql, wait_until_healthy
from sample_map import OBSERVE, PROJECTS, picture

PLAYBOOK = "playbooks/upgrade_database.yml"
SAMPLE = {"repository": "sample", "folder": str(ROOT / "workshop" / "demo" / "sample" / "projects" / "sample")}
# The QGIS Server of bookworm is older than the QGIS that saved the sample.
OLD = ("-e", json.dumps({"arm_images_profile": "bookworm", "lizmap_projects": [{**SAMPLE, "accept_newer_qgis": True}]}))
"""For a run with the images of PostgreSQL 15; without it those of 17 are meant."""
CONFIRMED = ("-e", "confirmed=true")
DATA = "/srv/poppyfield/postgis"
KEPT = major_upgrade.kept_folder(f"{DATA}/data", 15)
JOURNAL = f"{major_upgrade.STATE_FOLDER}/{major_upgrade.JOURNAL}"
BEGUN = "'until grep -qE \"stopped|copied\" %s; do sleep 0.1; done'"
SETTLED = "'while test -e %s; do sleep 1; done'"
CONTAINERS = "docker ps -aq | xargs docker inspect -f '{{.Id}} {{.Name}} {{.State.StartedAt}}'"
VERSION = "SELECT current_setting('server_version_num')::int / 10000"
ROWS = "SELECT count(*) || md5(string_agg(o::text, ',' ORDER BY id)) FROM sample.observations o"
# Runs on a Pi that is emulated by a machine with something else to do.
pytestmark = pytest.mark.timeout(60 * 60)


class Seen(NamedTuple):
    """What people have entered, and what they see of it."""

    rows: str
    photo: str
    picture: bytes


class Serving(NamedTuple):
    """What must not change where nothing is done."""

    version: str
    containers: str
    folders: str
    seen: Seen


def seen(pi: Host) -> Seen:
    """Look at what people have entered."""
    photo = pi.check_output("sha256sum %s/sample/photo.jpg", PROJECTS)
    return Seen(sql(pi, ROWS), photo, picture().tobytes())


def serving(pi: Host) -> Serving:
    """Look at what serves, and what there is beside it."""
    folders = pi.check_output("ls %s", DATA)
    return Serving(sql(pi, VERSION), pi.check_output(CONTAINERS), folders, seen(pi))


def said(run: subprocess.CompletedProcess[str]) -> str:
    """Give what a run printed, in one line as in the file that it comes from."""
    return re.sub(r"\s+", " ", run.stdout.replace("\\n", " ") + run.stderr)


def upgrade_database(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook, and answer what it asks."""
    return ansible_playbook(*arguments, *CONFIRMED, playbook=PLAYBOOK)


def upgraded(*arguments: str) -> str:
    """Run the playbook, which must succeed; return what it said."""
    run = upgrade_database(*arguments)
    assert run.returncode == 0, run.stdout + run.stderr
    return said(run)


def changes_nothing(folder: Path) -> None:
    """See that a run of site.yml finds all as it should be."""
    counted = count_of_a_run(folder)
    assert counted["changed"] == 0, counted["output"]


@pytest.fixture(scope="module")
def before(pi: Host) -> Iterator[Seen]:
    """Return what people have entered on a Pi with PostgreSQL 15."""
    run = ansible_playbook(*OLD)
    assert run.returncode == 0, run.stdout + run.stderr
    sql(pi, OBSERVE)
    pi.check_output("head -c 100000 /dev/urandom > %s/sample/photo.jpg", PROJECTS)
    assert sql(pi, VERSION) == "15"
    yield seen(pi)


def test_site_alone_refuses_and_names_the_playbook(pi: Host, before: Seen) -> None:
    there = serving(pi)
    run = ansible_playbook()
    assert run.returncode != 0
    assert f"{major_upgrade.PLAYBOOK} upgrades it" in said(run), run.stdout
    assert serving(pi) == there and there.seen == before


def test_a_rehearsal_tells_seconds_and_bytes_and_changes_nothing(pi: Host, before: Seen) -> None:
    there = serving(pi)
    told = upgraded("-e", "rehearsal=true")
    assert re.search(r"demo-pi: an upgrade from PostgreSQL 15 to 17 would succeed: .* in \d+ seconds, \d+ MB", told)
    assert serving(pi) == there and there.seen == before


def test_cut_off_by_a_loss_of_power_the_old_server_serves_by_itself(pi: Host, before: Seen) -> None:
    with ThreadPoolExecutor() as pool:
        run = pool.submit(upgrade_database)
        pi.check_output(f"timeout 1800 sh -c {BEGUN}", JOURNAL)
        power_cut()
        pi.check_output(f"timeout 1800 sh -c {SETTLED}", JOURNAL)
        wait_until_healthy(pi)
        assert sql(pi, VERSION) == "15" and seen(pi) == before
        assert run.result().returncode != 0


def test_the_upgrade_carries_all_over_and_leaves_site_nothing_to_do(pi: Host, before: Seen, tmp_path: Path) -> None:
    told = upgraded()
    assert "demo-pi: its database is upgraded, its maps draw." in told
    assert sql(pi, VERSION) == "17" and seen(pi) == before
    changes_nothing(tmp_path)
    assert sql(pi, VERSION) == "17"


def test_the_old_server_serves_again_as_long_as_nothing_was_written(pi: Host, before: Seen) -> None:
    assert "demo-pi: went back from PostgreSQL 17 to 15." in upgraded("-e", "back=true")
    wait_until_healthy(pi)
    assert sql(pi, VERSION) == "15" and seen(pi) == before
    refused = ansible_playbook()
    assert refused.returncode != 0 and f"{major_upgrade.PLAYBOOK} upgrades it" in said(refused), refused.stdout
    # With the old profile again, it is as before the upgrade.
    run = ansible_playbook(*OLD)
    assert run.returncode == 0, run.stdout + run.stderr
    assert sql(pi, VERSION) == "15" and seen(pi) == before


def test_a_rollback_is_refused_once_something_was_written(pi: Host, before: Seen) -> None:
    upgraded()
    assert seen(pi) == before
    sql(pi, OBSERVE)
    there = serving(pi)
    run = upgrade_database("-e", "back=true")
    assert run.returncode != 0
    assert "sample.observations" in said(run) and "Nothing was changed" in said(run), run.stdout
    assert serving(pi) == there


def test_the_old_database_is_deleted_when_that_is_asked(pi: Host, tmp_path: Path) -> None:
    there = seen(pi)
    taken = "du --summarize --bytes %s | cut -f 1"
    room, kept = (int(pi.check_output(taken, folder)) for folder in (DATA, KEPT))
    assert "demo-pi: the cluster of PostgreSQL 15 was deleted" in upgraded("-e", "forget=true")
    assert int(pi.check_output(taken, DATA)) < room - kept / 2
    assert major_upgrade.SET_ASIDE not in pi.check_output("ls %s; docker ps --all --format {{.Names}}", DATA)
    assert sql(pi, VERSION) == "17" and seen(pi) == there
    changes_nothing(tmp_path)
