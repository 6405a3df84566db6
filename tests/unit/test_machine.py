"""What rules a laptop out, and what is installed on it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from workshop.emulator import whole_machine
from workshop.laptop import prepare
from workshop.laptop.machine import PACKAGE_OF_COMMAND, Machine, missing_packages, problems

READY = Machine(
    os_id="debian",
    release=12,
    architecture="x86_64",
    python=(3, 11),
    free_disk_gb=40,
    memory_gb=8,
    commands=frozenset({*PACKAGE_OF_COMMAND, "qemu-aarch64-static"}),
    installed=frozenset(),
    available=frozenset(),
    has_venv=True,
    is_root=True,
)


def test_a_ready_machine_needs_nothing() -> None:
    assert problems(READY) == []
    assert missing_packages(READY, "demo") == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"os_id": "fedora", "release": 44.0}, "Debian 12"),
        ({"release": 11.0}, "Debian 12"),
        ({"os_id": "ubuntu", "release": 22.04}, "Ubuntu 24.04"),
        ({"architecture": "riscv64"}, "riscv64"),
        ({"python": (3, 9)}, "3.11"),
        ({"free_disk_gb": 3.0}, "15 GB"),
        ({"memory_gb": 1.0}, "memory"),
    ],
)
def test_each_shortcoming_is_named(change: dict[str, object], word: str) -> None:
    found = problems(dataclasses.replace(READY, **change))  # type: ignore[arg-type]
    assert len(found) == 1
    assert word in found[0]


def test_without_root_sudo_is_needed() -> None:
    nobody = dataclasses.replace(READY, is_root=False, commands=READY.commands - {"sudo"})
    assert "sudo" in problems(nobody)[0]


@pytest.mark.parametrize(
    ("user", "members", "joins"), [("ann", [], True), ("ann", ["ann"], False), ("root", [], False)]
)
def test_who_prepares_a_laptop_may_build(
    monkeypatch: pytest.MonkeyPatch, user: str, members: list[str], *, joins: bool
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setenv("SUDO_USER", user)
    monkeypatch.setattr("grp.getgrnam", lambda name: SimpleNamespace(gr_mem=members))
    monkeypatch.setattr("subprocess.run", lambda command, **_: calls.append(command))
    prepare.let_build()
    assert bool(calls) is joins and all(user in command for command in calls)


def test_an_arm_machine_needs_no_emulator() -> None:
    bare = dataclasses.replace(READY, commands=READY.commands - {"qemu-aarch64-static"})
    assert missing_packages(bare, "demo") == ["qemu-user-static"]
    assert missing_packages(dataclasses.replace(bare, architecture="aarch64"), "demo") == []


def test_what_the_distribution_splits_from_docker_is_installed_where_it_exists() -> None:
    split = dataclasses.replace(READY, available=frozenset({"docker-cli", "docker-buildx"}))
    assert missing_packages(split, "demo") == ["docker-cli", "docker-buildx"]
    assert missing_packages(dataclasses.replace(split, installed=split.available), "demo") == []


def test_only_tests_and_benchmarks_need_the_busybox_that_their_image_is_made_of() -> None:
    assert missing_packages(READY, "demo") == []
    needed = ["busybox-static", "dosfstools", "exfat-fuse", "exfatprogs", "faketime", "fdisk", "gdal-bin", "mtools"]
    needed += ["restic"]
    assert missing_packages(READY, "test") == needed
    assert missing_packages(READY, "bench") == ["busybox-static"]
    has_it = dataclasses.replace(READY, installed=frozenset(needed))
    assert missing_packages(has_it, "test") == []


def test_only_the_tests_of_lizmap_need_browsers() -> None:
    assert missing_packages(READY, "lizmap") == ["chromium", "firefox-esr"]


def test_only_the_attacks_need_scanners() -> None:
    assert missing_packages(READY, "attacks") == ["busybox-static", "sqlmap", "wapiti"]


def test_only_a_whole_machine_needs_qemu_for_machines_and_what_makes_its_root() -> None:
    packages = missing_packages(READY, "machine")
    assert {"qemu-system-arm", "qemu-utils", "mtools", "dosfstools", "fakeroot", "fdisk"} <= set(packages)
    # An image of a card is also what tests write into.
    others = {*missing_packages(READY, "test"), *missing_packages(READY, "demo")}
    assert set(packages) & others == {"mtools", "dosfstools", "fdisk"}
    # What is looked for before a card is made is what is installed.
    assert set(whole_machine.PROGRAMS.values()) == set(packages)


def test_each_purpose_has_an_environment_and_a_link_of_its_own() -> None:
    purposes = list(prepare.REQUIREMENTS)
    assert len({prepare.environment_folder(purpose) for purpose in purposes}) == len(purposes)
    linked = set(purposes) - {"runner"}
    assert set(prepare.LINKS) == linked and len(set(prepare.LINKS.values())) == len(linked)
