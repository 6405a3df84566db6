"""The build tools: what they build is what emulation builds, twice the same, and exactly what a lock asks for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible.module_utils.poppyfield.containers.engine import EngineError

from image_contents import comparison
from image_contents.archive import RECORD, read
from image_contents.builds import Builds, Ways, own_architecture, prepared, ways

FOREIGN = {"amd64": "arm64", "arm64": "amd64"}


@pytest.fixture(scope="module")
def trial() -> Iterator[Builds]:
    """Return builds of the default profile, whose tools exist in every way."""
    with prepared("trixie") as builds:
        yield builds


@pytest.fixture(scope="module")
def in_ways(trial: Builds) -> Ways:
    """Return the ways to build for another architecture than this machine's."""
    found = ways(own_architecture(), FOREIGN[own_architecture()])
    for way in (found.plain, found.assisted):
        trial.make_tools(way)
    return found


@pytest.mark.long
def test_the_base_system_is_the_same_as_built_under_emulation_and_when_built_again(
    trial: Builds, in_ways: Ways
) -> None:
    found = comparison.of_builds(trial, in_ways, "base")
    assert found["differing"] == {}
    assert found["rebuild_digests_equal"]
    assert found["compared"] > 2000


@pytest.mark.long
def test_a_lock_gives_the_same_packages_again_or_says_which_it_cannot_give(trial: Builds, in_ways: Ways) -> None:
    first = trial.build(in_ways.assisted, "base")
    record = read(trial.save(first)).files.texts[RECORD].decode()
    lock = trial.context("base") / "packages" / "lock"
    try:
        lock.write_text(record)
        locked = trial.build(in_ways.assisted, "base", name="base locked")
        lock.write_text(record.replace(hash_of("dash", record), "0" * 64))
        with pytest.raises(EngineError) as other_content:
            trial.build(in_ways.assisted, "base", name="base refused")
        lock.write_text("".join(line for line in record.splitlines(keepends=True) if not line.startswith("sed\t")))
        with pytest.raises(EngineError) as not_listed:
            trial.build(in_ways.assisted, "base", name="base refused")
    finally:
        lock.unlink()
    assert trial.layers(locked) == trial.layers(first)
    assert "not as the lock says: dash" in str(other_content.value)
    assert "not as the lock says: sed" in str(not_listed.value)


def hash_of(package: str, record: str) -> str:
    """Return what the record says of a package's file."""
    return next(line.split("\t")[3] for line in record.splitlines() if line.startswith(f"{package}\t"))


@pytest.mark.long
def test_a_base_of_bookworm_is_built_on_a_machine_of_its_own_architecture() -> None:
    """Its debconf is set up before the image has Perl's modules, and there is no foreign tool that brings its own."""
    own = own_architecture()
    with prepared("bookworm") as builds:
        native = ways(own, FOREIGN[own]).native
        builds.make_tools(native)
        record = read(builds.save(builds.build(native, "base"))).files.texts[RECORD].decode()
    assert hash_of("debconf", record) and hash_of("perl-base", record)
