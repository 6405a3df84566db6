"""What the emulated Pi that is a whole machine is started with: the kernel's line, and the commands. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workshop.emulator.options import ADDRESS, Pi

# The card, as pi-gen lays it out: a boot partition of FAT, then the root file system. In sectors of 512 bytes.
SECTOR = 512
BOOT_START = 8192
BOOT_SECTORS = 512 * 1024 * 2
ROOT_START = BOOT_START + BOOT_SECTORS
CARD_SECTORS = 16 * 1024 * 1024 * 2
# Both partitions are found by it: cmdline.txt and /etc/fstab.
DISK_ID = "4e639091"

CPU = "cortex-a72"
CPUS = 2
# QEMU keeps what it has translated of the machine's code; with little room it throws all of it away again and again.
TRANSLATED_MB = 1024
# The files of a Pi, in its folder, where QEMU and the disk are started: a socket's path may have 107 characters only.
CARD = "card.img"
# What the Pi writes between power-on and power-off: as it reads it, and as a log.
SESSION = "session.qcow2"
WRITES = "writes.log"
EVENTS_SOCKET = "events.sock"
MONITOR_SOCKET = "monitor.sock"
CONSOLE = "console.log"
KERNEL = "kernel8.img"
INITIAL_RAM_DISK = "initramfs8"
COMMAND_LINE = "cmdline.txt"
# A Pi has no clock that runs without power: systemd moves on from here to the time that the card was last used at.
CLOCK_AT_POWER_ON = "1970-01-01T00:00:00"
# What a Pi's firmware puts before cmdline.txt, of what concerns any kernel.
FIRMWARE = "cgroup_disable=memory numa_policy=interleave"
# The firmware writes the name of the serial port that the model has. There is no screen: without its console, what goes
# to the last one named goes to the serial port.
SERIAL = ("console=serial0,", "console=ttyAMA0,")
SCREEN = "console=tty1"
# What the kernel needs to see the card; crc32c_generic is what modules.softdep says of ext4.
MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
REBOOT = "guest-reset"


def kernel_line(cmdline: str) -> str | None:
    """Return what the kernel is started with, None where the first line of cmdline.txt names no root file system.

    The kernel of a Pi takes the later word: `cgroup_enable=memory` in cmdline.txt undoes the firmware's. Debian's knows
    no such word, so it stands for leaving out the firmware's.
    """
    line = next(iter(cmdline.splitlines()), "").strip()
    words = line.split()
    if not any(word.startswith("root=") for word in words):
        return None
    firmware = [word for word in FIRMWARE.split() if word.replace("disable", "enable") not in words]
    return " ".join([*firmware, *(word.replace(*SERIAL) for word in words if word != SCREEN)])


def card_options() -> list[str]:
    """Return QEMU's options of the card and its electronics: card_cache.py tells what becomes of the files.

    What is flushed need not reach this machine's own disk: it is the Pi's power that is cut.
    """
    session = f"driver=qcow2,node-name=session,cache.no-flush=on,file.driver=file,file.filename={SESSION}"
    writes = f"driver=file,node-name=writes,cache.no-flush=on,filename={WRITES}"
    logged = f"driver=blklogwrites,node-name=card,file=session,log=writes,log-sector-size={SECTOR}"
    # A discard of the whole card would be a log of the whole card. Requests that QEMU merges have as many parts as one
    # call of this machine takes, and the log adds two to each: the Pi would see errors of its card.
    device = "virtio-blk-pci,drive=card,request-merging=off,write-cache=on,discard=off,write-zeroes=off"
    return ["-blockdev", session, "-blockdev", writes, "-blockdev", logged, "-device", device]


def machine_command(pi: Pi, append: str) -> list[str]:
    """Return QEMU's command. It ends when the Pi reboots: what starts next is the firmware's business."""
    forwarded = [f"hostfwd=tcp:{ADDRESS}:{out}-:{inside.removesuffix('/tcp')}" for inside, out in pi.ports.items()]
    return [
        *("qemu-system-aarch64", "-name", pi.name, "-no-user-config", "-nodefaults", "-no-reboot", "-display", "none"),
        *("-machine", "virt,dtb-randomness=off", "-cpu", CPU, "-smp", str(CPUS), "-m", pi.memory),
        *("-accel", f"tcg,thread=multi,tb-size={TRANSLATED_MB}"),
        *("-kernel", KERNEL, "-initrd", INITIAL_RAM_DISK, "-append", append),
        *("-rtc", f"base={CLOCK_AT_POWER_ON}"),
        *card_options(),
        *("-netdev", ",".join(["user", "id=lan", *forwarded]), "-device", "virtio-net-pci,netdev=lan,romfile="),
        *("-device", "virtio-rng-pci"),
        *("-chardev", f"file,id=console,path={CONSOLE},append=on", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=events,path={EVENTS_SOCKET}", "-mon", "chardev=events,mode=control"),
        # Where a stick is plugged in.
        *("-device", "qemu-xhci"),
        *("-chardev", f"socket,id=monitor,path={MONITOR_SOCKET},server=on,wait=off"),
        *("-mon", "chardev=monitor,mode=control"),
    ]


def partitions() -> str:
    """Return what sfdisk reads."""
    return (
        f"label: dos\nlabel-id: 0x{DISK_ID}\nunit: sectors\n"
        f"start={BOOT_START}, size={BOOT_SECTORS}, type=c\nstart={ROOT_START}, type=83\n"
    )


def modules_in_order(dependencies: str, names: Iterable[str]) -> list[str]:
    """Return the files to load for these modules, by the kernel's modules.dep; what is built in needs none."""
    needed_by = dict(line.split(":", 1) for line in dependencies.splitlines())
    files = {re.sub(r"^.*/|\.ko.*$", "", path).replace("-", "_"): path for path in needed_by}
    order: list[str] = []
    for path in (files[name] for name in names if name in files):
        # A line names the nearest first, and of what these need, all.
        order += [*reversed(needed_by[path].split()), path]
    return list(dict.fromkeys(order))
