"""Data is kept on a file system that keeps it: the folder's own, wherever the system itself is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host import requirements
from ansible.module_utils.poppyfield.host.file_systems import FileSystem, holding, parse, unfit

from tests.unit.test_requirements import NEEDS, PI

MOUNTS = """\
1 0 0:2 / / rw - rootfs rootfs rw
20 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw
21 20 0:21 / /proc rw,nosuid - proc proc rw
22 20 179:1 / /boot/firmware rw,relatime shared:40 master:2 - vfat /dev/mmcblk0p1 rw,fmask=0022,errors=remount-ro
30 20 8:1 / /srv/data rw - ext4 /dev/sda1 rw
31 20 0:40 / /srv/disk\\040of\\040été rw - ext4 /dev/disk\\134x rw
32 20 0:41 / /srv/locked ro,relatime - ext4 /dev/sdb1 rw
33 20 0:42 / /srv/broken rw - ext4 /dev/sdc1 ro,errors=remount-ro
34 20 0:43 / /srv/old rw - ext4 /dev/sdd1 rw
35 34 0:44 / /srv/old/deep rw - ext4 /dev/sdd2 rw
36 34 0:45 / /srv/old rw - tmpfs tmpfs rw
a line that the kernel never writes
"""


def test_a_folder_is_on_the_nearest_mount_that_nothing_hides() -> None:
    mounts = parse(MOUNTS)
    found = {
        path: (system.kind, system.point)
        for path in (
            "/srv/poppyfield/postgis/data",
            "/srv/data",
            "/srv/data/not/yet",
            "/srv/database",
            "/boot/firmware/data",
            "/srv/disk of été/data",
            "/srv/old/deep/data",
        )
        if (system := holding(path, mounts))
    }
    assert found == {
        "/srv/poppyfield/postgis/data": ("ext4", "/"),
        "/srv/data": ("ext4", "/srv/data"),
        "/srv/data/not/yet": ("ext4", "/srv/data"),
        "/srv/database": ("ext4", "/"),
        "/boot/firmware/data": ("vfat", "/boot/firmware"),
        "/srv/disk of été/data": ("ext4", "/srv/disk of été"),
        # Mounted over what was there: a longer path below it is hidden with it.
        "/srv/old/deep/data": ("tmpfs", "/srv/old"),
    }
    assert holding("/srv/disk of été", mounts) == FileSystem(
        "/srv/disk of été", "ext4", "/srv/disk of été", "/dev/disk\\x"
    )


def test_what_the_kernel_does_not_tell_is_not_judged() -> None:
    assert holding("/srv", parse("")) is None
    assert holding("/srv", parse("7 6 0:1 / /srv rw - tmpfs tmpfs rw\n")) is None


def test_a_root_that_is_its_own_parent_ends_the_walk() -> None:
    system = holding("/srv", parse("1 1 0:1 / / rw - overlay overlay rw\n"))
    assert system is not None
    assert system.kind == "overlay"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        *((kind, "in memory") for kind in ("tmpfs", "ramfs", "devtmpfs")),
        *((kind, "raspi-config") for kind in ("overlay", "aufs")),
        *((kind, "no owners") for kind in ("vfat", "msdos", "exfat", "fuseblk", "fuse.sshfs", "ntfs3", "cifs")),
        *((kind, "nothing can be written") for kind in ("squashfs", "iso9660", "erofs")),
        *((kind, "") for kind in ("ext4", "ext3", "xfs", "btrfs", "f2fs", "zfs", "nfs4", "bcachefs")),
    ],
)
def test_each_kind(kind: str, why: str) -> None:
    said = unfit(FileSystem("/srv", kind, "/"))
    assert bool(said) is bool(why)
    assert why in said
    assert not why or "Choose a folder on a disk" in said or "or choose a folder on a disk" in said


@pytest.mark.parametrize("folder", ["/srv/locked/data", "/srv/broken/data"])
def test_a_mount_for_reading_only(folder: str) -> None:
    system = holding(folder, parse(MOUNTS))
    assert system is not None
    assert "mounted read-only" in unfit(system)


@pytest.mark.field("B6", "the data folder is on tmpfs or an overlay")
def test_every_data_folder_is_refused_by_name_with_the_remedy() -> None:
    folders = (
        {"path": "/srv/pg", "variable": "postgis_data_folder"},
        {"path": "/srv/pg/cluster", "variable": "postgis_data_folder"},
        {"path": "/srv/lizmap", "variable": "lizmap_folder"},
        {"path": "/srv/lizmap/projects", "variable": "lizmap_folder"},
        {"path": "/srv/lizmap/config", "variable": "lizmap_folder"},
    )
    found = (
        FileSystem("/srv/pg", "tmpfs", "/srv/pg"),
        FileSystem("/srv/pg/cluster", "tmpfs", "/srv/pg"),
        FileSystem("/srv/lizmap", "ext4", "/"),
        FileSystem("/srv/lizmap/projects", "vfat", "/srv/lizmap/projects"),
    )
    told = requirements.problems(
        dataclasses.replace(PI, file_systems=found), dataclasses.replace(NEEDS, folders=folders)
    )
    assert [sentence.partition(", which")[0] for sentence in told] == [
        "/srv/pg (postgis_data_folder) is on tmpfs, mounted at /srv/pg",
        "/srv/lizmap/projects (lizmap_folder) is on vfat, mounted at /srv/lizmap/projects",
    ]
    assert all("Choose a folder on a disk" in sentence for sentence in told)


def test_the_module_follows_links_and_reads_this_machines_mounts(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = library("host_requirements")
    assert [system.folder for system in module.file_systems(["/proc/not/yet", "/"])] == ["/proc/not/yet", "/"]
    assert module.file_systems(["/proc/not/yet"])[0].kind == "proc"
    (tmp_path / "link").symlink_to("/srv/old")
    monkeypatch.setattr(module, "text_of", lambda path: MOUNTS)
    (found,) = module.file_systems([str(tmp_path / "link" / "data")])
    assert (found.folder, found.kind) == (str(tmp_path / "link" / "data"), "tmpfs")


def test_the_module_refuses_it(run_module: Any, library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = library("host_requirements")
    monkeypatch.setattr(module, "text_of", lambda path: MOUNTS if path.endswith("mountinfo") else "")
    result = run_module("host_requirements", folders=[{"path": "/boot/firmware/pg", "variable": "postgis_data_folder"}])
    assert any("/boot/firmware/pg (postgis_data_folder) is on vfat" in sentence for sentence in result["problems"])
    assert result["failed"]
