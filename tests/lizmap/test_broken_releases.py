"""Broken releases are deployed by the role: each is caught, its cause named, and the previous map is served again.

build/reports/broken-releases.json tells of each what caught it, what was said, and the seconds without a map. A good
release is not reported when the Pi is only slow.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from tests.images import projects
from tests.images.map_server import PREFIX, wait_until
from tests.lizmap.conftest import Query
from tests.lizmap.releases.broken import BAD_PROJECTS, BROKEN, READER, Broken
from tests.lizmap.releases.pi import NAME, TABLE, Pi, trees, write_project

REPORT = Path(__file__).resolve().parents[2] / "build" / "reports" / "broken-releases.json"
STATE_MEGABYTES = 200
PERIOD, QUOTA = 100_000, 25_000
"""Microseconds: a quarter of one processor."""
STALL_SECONDS = 8
FOR_EACH_CHANGE = {
    "guard missing",
    "secret unreadable",
    "port taken",
    "layer's table dropped",
    "layer without a table",
}
"""One of each kind: of the program, the settings, the Pi, the data. The others are played by make test-all."""
RELEASES, PROJECTS = (
    [pytest.param(one, id=one.name, marks=[] if one.name in FOR_EACH_CHANGE else pytest.mark.long) for one in releases]
    for releases in (BROKEN, BAD_PROJECTS)
)


@pytest.fixture(scope="module")
def pi(lizmap_image: str, network: str, query: Query, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pi]:
    """Return a Pi with a good release, whose map draws."""
    query(f"SET ROLE gis; {TABLE}", "gis")
    query("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'not a secret'", "gis")
    folder = tmp_path_factory.mktemp("pi")
    pi = Pi(folder, lizmap_image, network, lambda sql: query(sql, "gis"))
    pi.write_secret("postgis_reader", "not a secret")
    with small_disk(pi.config):
        try:
            done = pi.deploy("good")
            assert done.succeeded, done.output
            assert pi.draws()
            yield pi
        finally:
            pi.remove()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Let a folder be on a disk of its own, which can be filled."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={STATE_MEGABYTES}m", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def report() -> Callable[[dict[str, Any]], None]:
    """Return what adds an entry to the report."""
    entries: list[dict[str, Any]] = []
    REPORT.parent.mkdir(parents=True, exist_ok=True)

    def add(entry: dict[str, Any]) -> None:
        entries.append(entry)
        REPORT.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n", "utf-8")

    return add


@pytest.mark.parametrize("release", RELEASES)
def test_a_broken_release_is_caught_and_the_one_of_before_serves(
    pi: Pi, release: Broken, report: Callable[[dict[str, Any]], None]
) -> None:
    before = pi.container()
    with pi.watched() as watch:
        with release.fault(pi) as variables:
            done = pi.deploy(release.image, **release.variables, **variables)
        restored = pi.container() == before
    report(
        {
            "name": release.name,
            "caught": not done.succeeded,
            "by": done.task,
            "message": done.message,
            "restored": restored,
            "seconds_without_map": round(watch.seconds, 1),
        }
    )
    assert not done.succeeded, done.output
    assert release.says in done.message, done.output
    assert release.then in done.message, done.output
    assert restored, done.output
    assert pi.containers() == [NAME]


@contextmanager
def slow_processor(pi: Pi) -> Iterator[None]:
    """Let new containers have a part of one processor only."""
    with each_new_container(pi, lambda container: container.update(cpu_period=PERIOD, cpu_quota=QUOTA)):
        yield


@contextmanager
def stalls(pi: Pi) -> Iterator[None]:
    """Let each new container, and the database, stand still for a while, as when the SD card is busy."""
    database = pi.client.containers.get(f"{PREFIX}postgis")

    def stall(container: Any) -> None:
        for stalled in (container, database):
            wait_until(partial(pause, stalled), "it stands still")
        threading.Event().wait(STALL_SECONDS)
        for stalled in (container, database):
            stalled.unpause()

    with each_new_container(pi, stall):
        yield


def pause(container: Any) -> bool:
    """Let a container stand still; Docker refuses as long as it is not quite there."""
    try:
        container.pause()
    except APIError:
        return False
    return True


@contextmanager
def each_new_container(pi: Pi, act: Callable[[Any], None]) -> Iterator[None]:
    """Do something with each container of the map server that is created meanwhile."""
    events = pi.client.events(decode=True, filters={"type": "container", "event": "create"})

    def watch() -> None:
        for event in events:
            if event["Actor"]["Attributes"]["name"].startswith(NAME):
                act(pi.client.containers.get(event["id"]))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        events.close()
        watcher.join(timeout=60)


@pytest.mark.long
@pytest.mark.parametrize(("slow", "target"), [(slow_processor, "again"), (stalls, "good")])
def test_a_good_release_is_not_reported_when_the_pi_is_only_slow(
    pi: Pi, slow: Callable[[Pi], Any], target: str
) -> None:
    with slow(pi):
        done = pi.deploy(target)
    assert done.succeeded, done.output
    assert pi.container()[1] == pi.image(target)
    assert pi.containers() == [NAME]
    assert pi.draws()


def test_a_release_with_a_layer_that_could_never_be_edited_stays(pi: Pi) -> None:
    """It is warned of with PostgreSQL's own words, and no reason to roll back unless that is asked for."""
    layers = [trees(), projects.geojson(pi.maps)]
    write_project(pi.maps, "meadow", layers, layers[:1])
    pi.query("REVOKE INSERT ON trees FROM gis")
    try:
        done = pi.deploy("again")
        assert done.succeeded, done.output
        said = " ".join(done.output.split())
        assert "fields/meadow, layer 'trees': nobody can add a feature, for PostgreSQL says: permission denied" in said
        assert "editing was not tried in Lizmap, for anybody without logging in may not edit 'trees'" in said
        assert pi.container()[1] == pi.image("again")
        assert pi.containers() == [NAME] and pi.draws()
        refused = pi.deploy("good", lizmap_verify_editing="required")
        assert "permission denied for table trees" in refused.message, refused.output
        assert pi.container()[1] == pi.image("again") and pi.draws()
    finally:
        pi.query("GRANT INSERT ON trees TO gis")
        write_project(pi.maps, "meadow", layers)


@pytest.mark.long
def test_a_release_that_breaks_the_editing_of_a_layer_is_put_back(pi: Pi) -> None:
    """The other role may read the table alone."""
    layers = [trees(), projects.geojson(pi.maps)]
    write_project(pi.maps, "meadow", layers, layers[:1])
    pi.query("GRANT SELECT ON trees TO reader")
    before = pi.container()
    try:
        done = pi.deploy("good", **READER)
        assert not done.succeeded, done.output
        assert "fields/meadow, layer 'trees': nobody can add a feature, for PostgreSQL says: permission" in done.message
        assert "Before this release people could." in done.message
        assert pi.container() == before and pi.draws()
    finally:
        pi.query("REVOKE SELECT ON trees FROM reader")
        write_project(pi.maps, "meadow", layers)


@pytest.mark.parametrize("release", PROJECTS)
def test_a_bad_project_is_withheld_and_the_others_are_served(pi: Pi, release: Broken) -> None:
    with release.fault(pi) as variables:
        done = pi.deploy(release.image, **variables)
        assert pi.draws()
    assert not done.succeeded, done.output
    assert release.says in done.message, done.output
    assert release.then in done.message, done.output
    assert pi.containers() == [NAME]
