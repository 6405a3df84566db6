"""previous_container as Ansible runs it, against the fake engine: what was kept goes, or comes back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import apply
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineMissingError
from docker import errors

from tests.doubles.docker_engine import Behaviour, FakeDocker
from tests.unit.converging import BESIDE, BESIDE_NEW, NEW, OLD, converge, fresh

Run = Callable[..., dict[str, Any]]
NAME = "websig-lizmap"
PREVIOUS = f"{NAME}-previous"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeDocker:
    """A Pi whose map server was replaced, and the previous container kept."""
    host = fresh()
    for image in (BESIDE, BESIDE_NEW):
        converge(host, lizmap(image), keep_previous=True)
    host.behaviours[NEW].log = "PHP Fatal error: no_such_function()"
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors, host.execute))  # type: ignore[arg-type]
    monkeypatch.setattr(apply, "LOCK_FOLDER", tmp_path)
    return host


def lizmap(wanted: Any) -> Any:
    """Give a specification as that of a map server."""
    return dataclasses.replace(wanted, name=NAME, resource="lizmap")


def test_the_one_of_before_goes(host: FakeDocker, run_module: Run) -> None:
    assert run_module("previous_container", state="absent", check_mode=True)["changed"]
    assert host.names() == {NAME: True, PREVIOUS: False}
    done = run_module("previous_container", state="absent")
    assert (done["changed"], done["msg"]) == (True, "The previous container was removed.")
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Config"]["Image"] == NEW


def test_the_one_of_before_comes_back_and_starts_with_the_host(host: FakeDocker, run_module: Run) -> None:
    before = host.named(PREVIOUS)["Id"]
    assert run_module("previous_container", state="restored", check_mode=True)["changed"]
    done = run_module("previous_container", state="restored")
    assert (done["changed"], done["msg"]) == (True, "The old container was put back and serves again.")
    assert done["log"] == "PHP Fatal error: no_such_function()"
    assert done["container"]["id"] == before and done["container"]["image"] == OLD
    assert host.names() == {NAME: True}
    host.boot()
    assert host.names() == {NAME: True}
    assert not run_module("previous_container", state="restored")["changed"]


def test_one_that_is_ill_itself_is_put_back_and_told_of(host: FakeDocker, run_module: Run) -> None:
    host.behaviours[OLD] = Behaviour(ends_with=7)
    said = "The old container was put back, but it is not healthy either: its process ended with code 7"
    done = run_module("previous_container", state="restored")
    assert done["failed"] and said in done["msg"]
    # Whoever reads the failure wants to know what was wrong with the new one.
    assert done["log"] == "PHP Fatal error: no_such_function()"
    assert done["container"]["name"] == NAME


def test_one_that_docker_does_not_put_back_is_a_failure(host: FakeDocker, run_module: Run) -> None:
    host.refuse = f"start {NAME}"
    done = run_module("previous_container", state="restored")
    assert done["failed"] and "The old container could not be put back" in done["msg"]
    done = run_module("previous_container", state="restored")
    assert not done["changed"] and host.names() == {NAME: False}


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("left", ["none", "one that was stopped"])
def test_the_only_one_is_kept(host: FakeDocker, run_module: Run, left: str, check_mode: bool) -> None:
    host.stop(NAME, 1)
    if left == "none":
        host.remove_container(NAME, v=False, force=True)
    names = host.names()
    said = run_module("previous_container", state="absent", check_mode=check_mode)
    assert said["failed"]
    assert f"No container {NAME} runs, so {PREVIOUS}, which is the only other one, was kept" in said["msg"]
    assert host.names() == names
    assert run_module("previous_container", state="restored")["changed"]
    assert host.names() == {NAME: True}


@pytest.mark.parametrize("state", ["absent", "restored"])
def test_what_is_not_ours_stays(host: FakeDocker, run_module: Run, state: str) -> None:
    host.named(PREVIOUS)["Config"]["Labels"].clear()
    assert "Poppyfield did not make" in run_module("previous_container", state=state)["msg"]
    assert host.names() == {NAME: True, PREVIOUS: False}


@pytest.mark.parametrize("state", ["absent", "restored"])
def test_where_nothing_was_kept_nothing_is_done(
    host: FakeDocker, run_module: Run, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.remove_container(PREVIOUS, v=False, force=True)
    assert not run_module("previous_container", state=state)["changed"]

    def missing() -> Engine:
        raise EngineMissingError("No Docker.")

    monkeypatch.setattr(Engine, "connect", missing)
    assert not run_module("previous_container", state=state)["changed"]
