"""A disk whose writes and flushes are recorded: ext4 on a loop device, on a file that QEMU's storage daemon serves.

The daemon serves by FUSE, without a cache of its own, and logs each write before it answers. So what a program was
told is on the disk, or it stands in the log as something that was not flushed yet.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

MB = 1024 * 1024
LOG = "writes.log"
MOUNT = "mount"
DAEMON = "qemu-storage-daemon"
PATIENCE = 30
"""Seconds for the daemon to serve its file."""


class DiskError(Exception):
    """A disk can't be recorded here."""


class RecordedDisk:
    """An empty disk with ext4, mounted at `mount`; its log is there after it is closed, too."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self.bytes = megabytes * MB
        self.log = folder / LOG
        self.mount = folder / MOUNT

    @contextmanager
    def recording(self) -> Iterator[RecordedDisk]:
        """Record from its making on, as long as the context lasts."""
        if not shutil.which(DAEMON):
            raise DiskError(f"{DAEMON} is missing: python3 workshop/laptop/prepare.py power-cuts installs it.")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.mount.mkdir(exist_ok=True)
        image, served = self.folder / "disk.img", self.folder / "served.img"
        for path, size in ((image, self.bytes), (self.log, 0), (served, 0)):
            path.unlink(missing_ok=True)
            path.touch()
            os.truncate(path, size)
        with ExitStack() as cleaning:
            daemon = subprocess.Popen(command(image, self.log, served))
            cleaning.callback(daemon.wait, PATIENCE)
            cleaning.callback(daemon.terminate)
            wait_until_served(daemon, served, self.bytes)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard", served], check=True)
            cleaning.enter_context(mounted(served, self.mount))
            yield self
        image.unlink()

    @property
    def position(self) -> int:
        """Where the log ends now, in bytes."""
        return self.log.stat().st_size


def command(image: Path, log: Path, served: Path) -> list[str]:
    """Give the command of the daemon."""
    return [
        DAEMON,
        *("--blockdev", f"driver=file,node-name=image,discard=unmap,filename={image}"),
        *("--blockdev", f"driver=file,node-name=writes,filename={log}"),
        *("--blockdev", "driver=blklogwrites,node-name=disk,file=image,log=writes,log-sector-size=512"),
        *("--export", f"type=fuse,id=disk,node-name=disk,mountpoint={served},writable=on"),
    ]


def wait_until_served(daemon: subprocess.Popen[bytes], served: Path, size: int) -> None:
    """Wait until the file has the disk's size; DiskError where the daemon has ended."""
    deadline = time.monotonic() + PATIENCE
    while served.stat().st_size != size:
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise DiskError(f"{DAEMON} does not serve {served}; what it says stands above. It needs /dev/fuse.")
        time.sleep(0.05)


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """Mount an image by a loop device, as a Pi mounts its card: what the journal has is done first."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop,noatime", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def copied(image: Path, target: Path) -> Path:
    """Copy an image with its holes."""
    subprocess.run(["cp", "--sparse=always", image, target], check=True)
    return target
