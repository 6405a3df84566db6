"""A major upgrade with the real PostgreSQL 15 and 17: equal by content, taken back, and cut at each step.

What is killed is killed as a loss of power would, right after a step was written down. Each time the old cluster or the
new one serves afterwards, with all rows, and nothing is left that says otherwise.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.postgis import major_upgrade
from ansible.module_utils.poppyfield.postgis.upgrade_service import UpgradeService

from tests.images import building
from tests.images.postgis_server import owned_folder
from tests.images.upgrading_pi import PASSWORD, ROWS, SEEN, UpgradingPi
from tests.unit.conftest import run_module  # noqa: F401 - a fixture
from tests.unit.modules import load_module

Json = dict[str, Any]
REPORT = building.ROOT / "build" / "reports" / "major-upgrade.json"
NETWORK = f"pf-images-test-upgrade-{os.getpid()}"
DIFFERENT = """
settled = upgrade_program.settled_new
def changed(order):
    settled(order)
    upgrade_program.psql(order.new, {sql!r}, "gis")
upgrade_program.settled_new = changed
"""
CHANGES = """
UPDATE public.observations SET what = 'other' WHERE id = 7;
SELECT setval('public.numbers', 101);
REVOKE SELECT ON LARGE OBJECT 424242 FROM reader;
ALTER ROLE gis PASSWORD 'another password';
DROP INDEX public.observations_place_idx;
UPDATE pg_catalog.pg_largeobject SET data = 'x' WHERE loid = 424242 AND pageno = 1;
"""


@pytest.fixture(scope="module")
def images() -> tuple[str, str]:
    """The images with PostgreSQL 15 and 17."""
    profiles = ("bookworm", "trixie")
    old, new = (building.build(f"upgrade-{name}.json", name)["postgis"] for name in profiles)
    return old, new


@pytest.fixture(scope="module")
def network(docker_client: Any) -> Iterator[str]:
    made = docker_client.networks.create(NETWORK)
    yield NETWORK
    made.remove()


Run = Callable[..., Json]
MakePi = Callable[..., UpgradingPi]


@pytest.fixture(scope="module")
def make_pi(
    tmp_path_factory: pytest.TempPathFactory, docker_client: Any, images: tuple[str, str], network: str
) -> Iterator[MakePi]:
    """Give what makes a Pi with data; all are removed at the end."""
    made: list[UpgradingPi] = []

    def make(rows: int = ROWS) -> UpgradingPi:
        folder = tmp_path_factory.mktemp("pi")
        made.append(UpgradingPi(folder, docker_client, images, network, folder))
        made[-1].fill(rows)
        return made[-1]

    yield make
    for pi in made:
        pi.remove()
        shutil.rmtree(pi.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def pi(make_pi: MakePi) -> UpgradingPi:
    """A Pi that each test leaves with PostgreSQL 15."""
    return make_pi()


def test_the_new_server_has_all_that_the_old_one_had_and_goes_back_as_long_as_nothing_was_written(
    pi: UpgradingPi,
) -> None:
    seen = pi.sql(SEEN)
    outcome = pi.do("upgrade")
    assert (outcome["from"], outcome["to"]) == (15, 17) and outcome["objects"]["rows"] >= ROWS
    pi.is_as(17, seen)
    assert pi.server.over_network("SELECT current_setting('work_mem')", "gis", PASSWORD, "gis") == (0, "9MB")
    assert pi.sql("SELECT postgis_lib_version() = extversion FROM pg_extension WHERE extname = 'postgis'") == "t"
    empty = "SELECT pg_encoding_to_char(encoding), datcollate, datconnlimit FROM pg_database WHERE datname = 'empty'"
    assert pi.sql(empty) == "SQL_ASCII|C|3"
    assert pi.server.setting("log_min_duration_statement") == "7s"
    # A new topology gets a number that none has.
    pi.sql("BEGIN; SELECT topology.CreateTopology('another', 4326); ROLLBACK")
    assert "already" in pi.do("rehearse", fails=True)["said"]
    pi.sql("ALTER SEQUENCE topology.topology_id_seq RESTART 2")
    pi.sql("INSERT INTO observations (id, what) VALUES (-1, 'since')")
    said = pi.do("back", fails=True)["said"]
    assert "observations has 3001 rows, and had 3000" in said and pi.version == 17 and pi.map_runs
    pi.sql("DELETE FROM observations WHERE id = -1")
    pi.sql("SELECT setval('topology.topology_id_seq', 1)")
    pi.do("back")
    pi.is_as(15, seen)
    assert "no earlier cluster" in pi.do("back", fails=True)["said"]


def test_what_is_not_equal_is_noticed_and_the_old_server_serves(pi: UpgradingPi) -> None:
    seen = pi.sql(SEEN)
    sql = f"SET allow_system_table_mods = on; {CHANGES}"
    said = pi.do_otherwise("upgrade", DIFFERENT.format(sql=sql)).stdout
    assert "not equal (7)" in said and "PostgreSQL 15 serves as before" in said
    # What is told of them is the first few.
    for words in ("role gis: ", "observations has other values", "large objects has other values"):
        assert words in said
    pi.is_as(15, seen)


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", major_upgrade.STEPS)
def test_cut_at_each_step_the_old_server_serves_or_the_new_one_with_all_rows(
    pi: UpgradingPi, step: str, when: str
) -> None:
    seen = pi.sql(SEEN)
    pi.cut("upgrade", step, when)
    if when == "before":
        pi.lose_power()
    else:
        # Nobody restarted the Pi: what systemd does after a kill, or the next run of the playbook.
        pi.go()
    steps = ("nothing", *major_upgrade.STEPS)
    written = step if when == "after" else steps[steps.index(step) - 1]
    is_old = written == "nothing" or major_upgrade.undoes(written)
    pi.is_as(15 if is_old else 17, seen)
    if not is_old:
        pi.do("back")
        pi.is_as(15, seen)


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [major_upgrade.LOOKING, major_upgrade.RETURNING])
def test_cut_on_the_way_back_either_serves(pi: UpgradingPi, step: str, when: str) -> None:
    seen = pi.sql(SEEN)
    pi.do("upgrade")
    pi.cut("back", step, when)
    pi.lose_power()
    is_back = (step, when) == (major_upgrade.RETURNING, "after")
    pi.is_as(15 if is_back else 17, seen)
    if not is_back:
        pi.do("back")


@pytest.mark.long
def test_a_rehearsal_changes_nothing_also_when_it_is_cut_off(pi: UpgradingPi) -> None:
    seen, told = pi.sql(SEEN), pi.do("rehearse")
    assert told["bytes"] > 10_000_000 and told["seconds"] > 0 and "would succeed" in told["said"]
    pi.is_as(15, seen)
    stop = "upgrade_program.wait_for = lambda there: os.kill(os.getpid(), signal.SIGKILL)"
    assert pi.do_otherwise("rehearse", stop).returncode
    killed = "upgrade_program.copy = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    assert pi.do_otherwise("rehearse", killed).returncode == -9
    assert "-upgrade-new" in pi.names
    pi.go()
    pi.is_as(15, seen)


@pytest.mark.long
def test_what_cannot_be_carried_over_is_refused_before_anything_changes(pi: UpgradingPi) -> None:
    seen = pi.sql(SEEN)
    pi.sql("CREATE DATABASE set_aside ALLOW_CONNECTIONS false", "postgres")
    said = pi.do("upgrade", fails=True)["said"]
    assert "set_aside" in said and "dropdb" in said and "Nothing was changed" in said
    pi.sql("DROP DATABASE set_aside", "postgres")
    (pi.folder / "backup").mkdir()
    (pi.folder / "backup" / "restore.journal").write_text("{}")
    assert "neither kept nor taken back" in pi.do("upgrade", fails=True)["said"]
    shutil.rmtree(pi.folder / "backup")
    assert "already" in pi.do("upgrade", fails=True, image=pi.images[0])["said"]
    pi.is_as(15, seen)


@pytest.mark.long
def test_where_the_new_server_does_not_come_up_the_old_one_serves_again(pi: UpgradingPi) -> None:
    seen = pi.sql(SEEN)
    body = {**pi.body, "Env": ["POSTGIS_MEMORY_PERCENT=none"]}
    said = pi.do("upgrade", fails=True, body=body, healthy_timeout=15)["said"]
    assert "did not come up" in said and "The old one serves again" in said
    pi.is_as(15, seen)


@pytest.mark.long
def test_a_million_rows_are_equal_and_the_old_cluster_goes_when_that_is_asked(make_pi: MakePi) -> None:
    pi = make_pi(1_000_000)
    seen = pi.sql(SEEN)
    outcome = pi.do("upgrade")
    assert outcome["objects"]["rows"] > 1_000_000
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")
    pi.is_as(17, seen)
    pi.do("back")
    pi.is_as(15, seen)
    pi.do("upgrade")
    assert "still kept" in pi.do("upgrade", fails=True)["said"]
    pi.do("forget")
    assert pi.version == 17 and pi.sql(SEEN) == seen and pi.folders() == ["data"] and pi.names == ["", "-map"]
    assert "no earlier cluster" in pi.do("back", fails=True)["said"]


@pytest.mark.long
def test_by_the_modules_it_is_upgraded_once_and_taken_back(
    run_module: Run,  # noqa: F811 - the fixture
    docker_client: Any,
    images: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, network = f"pf-upgrade-{os.getpid()}-modules", f"{NETWORK}-modules"
    data, nothing = owned_folder(tmp_path / "data"), tmp_path / "no-systemd"
    (tmp_path / "units").mkdir()
    service = UpgradeService(tmp_path / "upgrade", tmp_path / "units", nothing, tmp_path / "state")
    for module in ("postgis_container", "database_upgrade"):
        monkeypatch.setattr(load_module(module), "UpgradeService", lambda: service)
    common = {"name": name, "data_folder": str(data), "map_server": "none-of-this-name", "healthy_timeout": 120}
    given = {**common, "network": network, "memory_limit_share": 0.2, "health": {"interval": 2}}

    def version() -> str:
        server = docker_client.containers.get(name)
        return str(server.exec_run(["psql", "-tAc", "SHOW server_version_num"]).output.decode()[:2])

    try:
        assert run_module("postgis_container", **given, image=images[0])["changed"]
        assert "playbooks/upgrade_database.yml" in run_module("postgis_container", **given, image=images[1])["msg"]
        assert "would succeed" in run_module("database_upgrade", **common, image=images[1], state="rehearsed")["msg"]
        wanted = {**given, "image": images[1], "upgrade": True}
        assert run_module("postgis_container", check_mode=True, **wanted)["changed"] and version() == "15"
        done = run_module("postgis_container", **wanted)
        assert "upgraded from PostgreSQL 15 to 17" in done["steps"][0] and len(done["steps"]) == 1
        assert version() == "17" and done["container"]["health"] == "healthy"
        assert not run_module("postgis_container", **wanted)["changed"]
        assert run_module("database_upgrade", **common, state="back")["changed"] and version() == "15"
        assert not run_module("postgis_container", **given, image=images[0])["changed"]
    finally:
        for found in docker_client.containers.list(all=True, ignore_removed=True):
            if found.name.startswith(name):
                found.remove(force=True)
        docker_client.networks.get(network).remove()
