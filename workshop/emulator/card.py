"""The card of the emulated Pi that is a whole machine: partitions, a boot partition of real FAT, a root file system.

Made without root's rights, of the file system of an image (`docker export`): fakeroot keeps the owners that only root
can give, mtools writes FAT, and mkfs.ext4 fills the root file system as it makes it.
"""

from __future__ import annotations

import gzip
import lzma
import re
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path

from workshop.emulator import machine_options as o

HERE = Path(__file__).resolve().parent / "machine"
BOOT_FOLDER = "boot/firmware/"
BUSYBOX = "usr/bin/busybox"
BOOT_MEGABYTES = o.BOOT_START * o.SECTOR // 1024**2
# root.tar, folder, card, where the root file system begins, its size in KiB: the owners are known to one fakeroot only.
FILL = """set -eu
tar --extract --file "$1" --directory "$2" --exclude 'boot/firmware/?*' --exclude 'dev/?*' --exclude .dockerenv
/sbin/mkfs.ext4 -q -F -L rootfs -d "$2" -E "offset=$4" "$3" "$5k"
"""


def make(root_tar: Path, card: Path) -> None:
    """Make a card of an image's file system."""
    with card.open("wb") as file:
        file.truncate(o.CARD_SECTORS * o.SECTOR)
    run("/sbin/sfdisk", "--quiet", str(card), given=o.partitions())
    run(
        *("/sbin/mkfs.vfat", "-F", "32", "-s", "4", "-n", "bootfs", "--offset", str(o.BOOT_START)),
        *(str(card), str(o.BOOT_SECTORS * o.SECTOR // 1024)),
    )
    with tempfile.TemporaryDirectory(dir=card.parent, prefix="card-") as name:
        folder = Path(name)
        boot = folder / "boot"
        boot.mkdir()
        write_boot_files(root_tar, boot)
        for path in sorted(boot.iterdir()):
            write(card, path.name, path.read_bytes())
        root = folder / "root"
        root.mkdir()
        size = (o.CARD_SECTORS - o.ROOT_START) * o.SECTOR // 1024
        start = o.ROOT_START * o.SECTOR
        run("fakeroot", "sh", "-c", FILL, "fill", str(root_tar), str(root), str(card), str(start), str(size))


def write_boot_files(root_tar: Path, boot: Path) -> None:
    """Write what the boot partition holds: the image's own files, its kernel, and an initial RAM disk."""
    with tarfile.open(root_tar) as tar:
        members = {member.name: member for member in tar}

        def content(name: str) -> bytes:
            file = tar.extractfile(members[name])
            return file.read() if file else b""

        for name, member in members.items():
            if name.startswith(BOOT_FOLDER) and member.isreg():
                (boot / name.removeprefix(BOOT_FOLDER)).write_bytes(content(name))
        kernel = next(name for name in members if re.fullmatch(r"boot/vmlinuz-.*", name))
        (boot / o.KERNEL).write_bytes(content(kernel))
        modules = f"usr/lib/modules/{kernel.partition('-')[2]}"
        order = o.modules_in_order(content(f"{modules}/modules.dep").decode(), o.MODULES)
        files = {path: lzma.decompress(content(f"{modules}/{path}")) for path in order}
        (boot / o.INITIAL_RAM_DISK).write_bytes(gzip.compress(initial_ram_disk(content(BUSYBOX), files), 1))


def initial_ram_disk(busybox: bytes, modules: dict[str, bytes]) -> bytes:
    """Return an archive, as the kernel unpacks it, of machine/init, busybox and the modules in the order to load."""
    names = {path: re.sub(r"^.*/|\.xz$", "", path) for path in modules}
    entries = [
        *(cpio_entry(name, stat.S_IFDIR | 0o755) for name in ("bin", "dev", "proc", "sys", "root", "modules")),
        # Before init mounts /dev, its own words go here.
        cpio_entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
        cpio_entry("init", stat.S_IFREG | 0o755, (HERE / "init").read_bytes()),
        cpio_entry("bin/busybox", stat.S_IFREG | 0o755, busybox),
        cpio_entry("modules/order", stat.S_IFREG | 0o644, "".join(f"{name}\n" for name in names.values()).encode()),
        *(cpio_entry(f"modules/{names[path]}", stat.S_IFREG | 0o644, content) for path, content in modules.items()),
        cpio_entry("TRAILER!!!", 0),
    ]
    return b"".join(entries)


def cpio_entry(name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """Return one file of a cpio archive of the kind "newc", root's."""
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return padded(header) + padded(content)


def padded(data: bytes) -> bytes:
    """Return data up to the next multiple of four bytes."""
    return data + bytes(-len(data) % 4)


def write(card: Path, name: str, content: bytes) -> None:
    """Put a file on the boot partition of a card that no Pi uses."""
    with tempfile.NamedTemporaryFile(dir=card.parent) as file:
        file.write(content)
        file.flush()
        run("mcopy", "-o", "-i", boot_partition(card), file.name, f"::{name}")


def read(card: Path, name: str) -> bytes:
    """Return a file of the boot partition, nothing if it is not there."""
    done = subprocess.run(["mtype", "-i", boot_partition(card), f"::{name}"], capture_output=True, check=False)
    return done.stdout


def boot_partition(card: Path) -> str:
    """Return the boot partition as mtools names it."""
    return f"{card}@@{BOOT_MEGABYTES}M"


def run(*command: str, given: str | None = None) -> None:
    """Run a program, which must succeed."""
    subprocess.run(command, input=given, text=True, check=True, stdout=subprocess.DEVNULL)
