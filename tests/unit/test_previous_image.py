"""previous_image as Ansible runs it, against the fake engine: what was delivered before, and never what is newer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine
from docker import errors

from tests.doubles.docker_engine import FakeDocker
from tests.unit.converging import BESIDE, NEW, OLD, THIRD, converge, fresh

Run = Callable[..., dict[str, Any]]
NAMES = {"postgis": "websig-postgis", "lizmap": "websig-lizmap"}
LIZMAP = "fr.poppyfield.version.lizmap-web-client"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A Pi that got three versions of an image, one after the other."""
    host = fresh()
    host.add_image(THIRD, "3" * 64)
    for number, reference in enumerate((OLD, NEW, THIRD)):
        image = host.images_by_reference[reference]
        # Built in another order than they were delivered.
        image |= {"Created": f"2020-01-0{9 - number}", "Metadata": {"LastTagTime": f"2026-01-0{number + 1}"}}
        image["RepoTags"] = [reference]
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors))
    return host


def deploy(host: FakeDocker, image: str) -> None:
    for service, name in NAMES.items():
        wanted = dataclasses.replace(BESIDE, name=name, resource=service, image=image, ports=(), mounts=(), proof=None)
        converge(host, wanted)


def look(run_module: Run) -> dict[str, Any]:
    return run_module("previous_image", containers=NAMES, service="lizmap")


@pytest.mark.parametrize(("now", "before"), [(THIRD, NEW), (NEW, OLD), (OLD, "")])
def test_the_one_that_was_delivered_before_is_named(host: FakeDocker, run_module: Run, now: str, before: str) -> None:
    deploy(host, now)
    done = look(run_module)
    assert (done["changed"], done["found"]) == (False, bool(before))
    assert done["images"] == {"postgis": now, "lizmap": before or now}
    assert done["msg"].startswith(f"from {now} to {before}." if before else f"{now} stays: no version from before it")


def test_what_others_made_is_no_version(host: FakeDocker, run_module: Run) -> None:
    deploy(host, NEW)
    host.images_by_reference[OLD]["Config"]["Labels"] = {}
    assert not look(run_module)["found"]


def test_which_lizmap_that_is_is_told(host: FakeDocker, run_module: Run) -> None:
    for reference, version in {OLD: "3.9.1", NEW: "3.10.0"}.items():
        host.images_by_reference[reference]["Config"]["Labels"][LIZMAP] = version
    deploy(host, NEW)
    assert look(run_module)["msg"].endswith("(lizmap-web-client 3.10.0 -> 3.9.1).")


@pytest.mark.parametrize("what", ["none", "of others"])
def test_without_a_container_of_ours_nothing_is_rolled_back(host: FakeDocker, run_module: Run, what: str) -> None:
    if what == "of others":
        deploy(host, NEW)
        host.named(NAMES["lizmap"])["Config"]["Labels"].clear()
    done = look(run_module)
    said = "There is no container websig-postgis" if what == "none" else "A container named websig-lizmap exists"
    assert done["failed"] and said in done["msg"]
