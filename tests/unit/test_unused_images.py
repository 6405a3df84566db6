"""unused_images: ours that nothing uses go, but for those to go back to; those of others and those in use never."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.images import unused_images
from docker import errors
from requests import Response

from tests.doubles.docker_engine import FakeDocker
from tests.unit.converging import BESIDE, BESIDE_NEW, NEW, OLD, THIRD, changed, converge, fresh

Run = Callable[..., dict[str, Any]]
FOURTH = "poppyfield/postgis:trixie-arm64-000000000004"
OTHER = "somebody/postgis:trixie-arm64-000000000001"
MAPS = "poppyfield/lizmap:trixie-arm64-000000000001"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A Pi with four versions of the database, of which the newest runs, one of the map server, and somebody else's."""
    host = fresh()
    for number, reference in enumerate((THIRD, FOURTH, MAPS), start=3):
        host.add_image(reference, str(number))
    host.add_image(OTHER)
    converge(host, changed(image=FOURTH))
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors, host.execute))  # type: ignore[arg-type]
    return host


def test_the_newest_two_stay_and_so_does_what_is_not_ours(host: FakeDocker, run_module: Run) -> None:
    listed = run_module("unused_images")
    assert not listed["changed"] and [row["reference"] for row in listed["images"] if row["unused"]] == [OLD, NEW]
    assert OTHER not in {row["reference"] for row in listed["images"]}
    assert listed["msg"].startswith("5 images of ") and "2 of them unused (" in listed["msg"]
    predicted = run_module("unused_images", remove=True, check_mode=True)
    assert predicted["msg"] == f"would remove {OLD}, {NEW}." and OLD in host.images_by_reference
    done = run_module("unused_images", remove=True)
    assert done["changed"] and done["removed"] == [OLD, NEW]
    assert set(host.images_by_reference) == {THIRD, FOURTH, MAPS, OTHER}
    again = run_module("unused_images", remove=True)
    assert not again["changed"] and again["msg"].endswith("none of them unused.")


def test_what_a_container_is_made_of_stays_also_when_it_does_not_run(host: FakeDocker, run_module: Run) -> None:
    host.create_container_from_config({"Image": OLD, "HostConfig": {"NetworkMode": "poppyfield"}}, "somebody-elses")
    done = run_module("unused_images", remove=True)
    assert done["removed"] == [NEW]
    lines = [line for line in done["lines"] if line.startswith(OLD)]
    assert lines and lines[0].endswith("used by somebody-elses")


def test_the_image_of_a_container_that_was_kept_stays(monkeypatch: pytest.MonkeyPatch, run_module: Run) -> None:
    host = fresh()
    converge(host, BESIDE)
    converge(host, BESIDE_NEW, keep_previous=True)
    for number, reference in enumerate((THIRD, FOURTH), start=3):
        host.add_image(reference, str(number))
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors, host.execute))  # type: ignore[arg-type]
    assert not run_module("unused_images", remove=True)["changed"]


def test_only_the_images_of_one_service_are_looked_at(host: FakeDocker, run_module: Run) -> None:
    done = run_module("unused_images", remove=True, repositories=["poppyfield/lizmap"])
    assert [row["reference"] for row in done["images"]] == [MAPS] and not done["changed"]


def test_one_that_docker_says_is_in_use_by_then_stays(host: FakeDocker, run_module: Run) -> None:
    answer = Response()
    answer.status_code = 409

    def refuse(_reference: str) -> None:
        raise errors.APIError("conflict", response=answer)

    host.remove_image = refuse  # type: ignore[method-assign, assignment]
    assert not run_module("unused_images", remove=True)["changed"]


def test_an_image_that_lost_its_name_goes_unless_it_is_used() -> None:
    def image(identity: str, *references: str, tagged: str = "") -> dict[str, Any]:
        labels = {"fr.poppyfield.managed": "true", "fr.poppyfield.resource": "image", "fr.poppyfield.digest": "v1:1"}
        return {
            **{"Id": identity, "RepoTags": list(references), "Size": 3_000_000, "Created": "2026-01-01T00:00:00Z"},
            **{"Config": {"Labels": labels}, "Metadata": {"LastTagTime": tagged}},
        }

    images = [image("a"), image("b"), image("c", OLD, tagged="2026-01-03T00:00:00Z")]
    containers = [{"Id": "1" * 64, "ImageID": "b", "Names": ["/x"]}]
    rows = unused_images.describe(images, containers, datetime(2026, 1, 4, tzinfo=UTC))
    assert [(row["reference"], row["unused"], row["days"]) for row in rows] == [
        ("a", True, 3),
        ("b", False, 3),
        (OLD, False, 1),
    ]
    assert [unused_images.row_words(row) for row in rows] == [
        "a  3 MB  3 days old  unused",
        "b  3 MB  3 days old  used by x",
        f"{OLD}  3 MB  1 day old  kept",
    ]
    assert unused_images.summary(rows) == (
        "3 images of 9 MB, 1 of them unused (3 MB): -e remove_unused=true removes what is unused."
    )
    assert unused_images.describe([], [], datetime.now(tz=UTC)) == []
