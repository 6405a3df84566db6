"""Reads what a host tells of itself: its files and commands, for `stack_status`."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ansible.module_utils.poppyfield.host import card
from ansible.module_utils.poppyfield.host.stack_status import FolderOnDisk, HostAnswers

VOLTAGE_SENSOR = "rpi_volt"
LISTS_OF_SECURITY_UPDATES = "var/lib/apt/lists/*security*_InRelease"


class HostOfStack:
    """The host's files and commands."""

    def __init__(self, said_by: Callable[..., str], root: Path = Path("/")) -> None:
        """Begin; `said_by` gives what a command prints, nothing where it is missing or fails."""
        self.said_by = said_by
        self.root = root
        self.clock = time.time()
        self.busy = self._busy()

    def look(self, *, updates: bool = False) -> HostAnswers:
        """Read what the host tells."""
        busy = (self.busy, self._busy())  # before apt, which is busy itself
        upgrades, as_of = self._upgrades() if updates else (None, None)
        return HostAnswers(
            model=self._text("sys/firmware/devicetree/base/model"),
            os_release=self._text("etc/os-release"),
            kernel=platform.release(),
            architecture=self.said_by("dpkg", "--print-architecture").strip(),
            millidegrees=self._text("sys/class/thermal/thermal_zone0/temp"),
            # The kernel has a file of the same name, but reading it puts a warning with a stack trace into the
            # kernel's log, and it forgets within seconds what occurred.
            throttled=self.said_by("vcgencmd", "get_throttled"),
            voltage_alarm=self._voltage_alarm(),
            uptime=self._text("proc/uptime"),
            load=self._text("proc/loadavg"),
            memory=self._text("proc/meminfo"),
            busy=busy,
            cores=os.cpu_count(),
            clock=self.clock,
            upgrades=upgrades,
            upgrades_as_of=as_of,
        )

    def folders(self, paths: Iterable[str]) -> list[FolderOnDisk]:
        """Give the space around each path that is a folder; a mounted file is in none of its own."""
        found = []
        for path in paths:
            try:
                space = os.statvfs(path)
                device = Path(path).stat().st_dev
            except OSError:
                continue
            if Path(path).is_dir():
                total, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
                found.append(FolderOnDisk(path, device, total, free, space.f_files, space.f_favail))
        return found

    def card(self, folders: Iterable[str] = ()) -> list[str]:
        """Give the codes of what is wrong with the card, or with the disk of the folders with data."""
        # As the system sees it: for a service nearly everything may be read-only.
        mounts = self._text("proc/1/mounts")
        disk = card.root_disk(mounts)
        counted = [self._text(str(path)) for path in self.root.glob(f"sys/fs/ext4/{disk}*/errors_count")]
        return card.problems(
            self.said_by("dmesg", "--level=emerg,alert,crit,err"),
            mounts,
            next((one for one in counted if one.strip() != "0"), ""),
            self._text(f"sys/block/{disk}/device/life_time"),
            self._text(f"sys/block/{disk}/device/pre_eol_info"),
            folders=folders,
        )

    def _busy(self) -> str:
        return self._text("proc/stat").partition("\n")[0]

    def _upgrades(self) -> tuple[str | None, float | None]:
        """Ask apt what it would install. A simulation locks nothing and installs nothing."""
        lists = [path.stat().st_mtime for path in self.root.glob(LISTS_OF_SECURITY_UPDATES)]
        said = self.said_by("apt-get", "--simulate", "--quiet", "dist-upgrade") if lists else ""
        return (said, max(lists)) if said else (None, None)

    def _voltage_alarm(self) -> str:
        for name in sorted(self.root.glob("sys/class/hwmon/hwmon*/name")):
            if self._text(str(name)).strip() == VOLTAGE_SENSOR:
                return self._text(str(name.with_name("in0_lcrit_alarm")))
        return ""

    def _text(self, path: str) -> str:
        try:
            return (self.root / path).read_text("utf-8", "replace").rstrip("\0")
        except OSError:
            return ""
