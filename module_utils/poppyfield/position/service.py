"""Keeps the program of the position on a host, and what gpsd and chrony are to do for it; or takes it away again."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.host import (
    atomic_file,
    firmware_settings,
    host_files,
    program_folder,
    systemd,
)
from ansible.module_utils.poppyfield.host.host_files import HostFileAction, HostFileChange
from ansible.module_utils.poppyfield.position import program
from ansible.module_utils.poppyfield.position.program import BUNDLE, CHRONY, CLOCK, CLOCKS_APART, FOLDER

Json = dict[str, Any]

USER = "poppyfield-position"
UNIT = f"{USER}.service"
BLOCK = "position_rtc"
OURS = "poppyfield.conf"

USER_TEXT = f"""# Managed by Poppyfield.
u {USER} - "Poppyfield's program for the Pi's position"
"""

UNIT_TEXT = f"""# Managed by Poppyfield.
[Unit]
Description=Where this Pi is, for its map, and what time it is there, for chrony
Wants=chrony.service gpsd.socket
After=chrony.service gpsd.socket
# Whatever ends it, it is started again.
StartLimitIntervalSec=0

[Service]
User={USER}
ExecStart=/usr/bin/python3 -I -B {{program}}
# Is taken away when it ends: a position that nobody keeps is none.
RuntimeDirectory={Path(FOLDER).relative_to("/run")}
RuntimeDirectoryMode=0755
StateDirectory={Path(CLOCK).parent.relative_to("/var/lib")}
Restart=always
RestartSec=5
WatchdogSec=30
CPUWeight=20
MemoryMax=96M
TasksMax=8
CapabilityBoundingSet=
PrivateDevices=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=yes
NoNewPrivileges=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectHostname=yes
# chrony sets it.
ProtectClock=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET
IPAddressDeny=any
IPAddressAllow=localhost

[Install]
WantedBy=multi-user.target
"""

GPSD_TEXT = """# Managed by Poppyfield: options of gpsd, over those in /etc/default/gpsd.
# It reads the receiver before anybody asks, so that the clock is set.
GPSD_OPTIONS="-n"
DEVICES="{device}"
# No other adapter is taken for a receiver.
USBAUTO="false"
"""
GPSD_UNIT_TEXT = """# Managed by Poppyfield.
[Service]
EnvironmentFile=-{gpsd}
"""
# Debian's listens by IPv6, too, and not at all where the kernel has none.
GPSD_SOCKET_TEXT = """# Managed by Poppyfield.
[Socket]
ListenStream=
ListenStream=/run/gpsd.sock
ListenStream=127.0.0.1:2947
"""

CHRONY_TEXT = f"""# Managed by Poppyfield.
# What the GPS receiver says, once its date was found to be possible. It comes some tenths of a second late.
refclock SOCK {CHRONY} refid GPS precision 1e-1 offset 0.2 delay 0.5 poll 2
# Who is in the Pi's own network may ask it for the time, also where nobody has set it.
local stratum 10
allow 10.0.0.0/8
allow 172.16.0.0/12
allow 192.168.0.0/16
allow fc00::/7
allow fe80::/10
"""
# Without a battery a Pi would begin each time when its system was made: it goes on when it last knew the time. A clock
# with a battery knows better, unless that is empty: so the latest of all counts. chronyd -s would believe an empty one.
CHRONY_UNIT_TEXT = f"""# Managed by Poppyfield.
[Service]
ExecStartPre=-+/bin/sh -c 'latest=$$(date +%%s); \
for known in $$(stat --format=%%Y {CLOCK}; cat /sys/class/rtc/rtc*/since_epoch); do \
[ $$known -le $$latest ] || latest=$$known; done 2> /dev/null; \
[ $$latest -le $$(date +%%s) ] || date --utc --set=@$$latest'
# The program is a user of its own, who may give chrony the time, and nothing else.
ExecStartPost=-+/bin/sh -c 'chgrp {USER} {CHRONY} && chmod 0770 {CHRONY}'
"""


class PositionError(Exception):
    """Nothing was changed, in a sentence."""


@dataclass(frozen=True)
class PositionService:
    """Where the files are, and how commands are run."""

    program: Path = Path("/usr/local/lib/poppyfield/position")
    settings: Path = Path("/etc/poppyfield/position")
    units: Path = Path("/etc/systemd/system")
    users: Path = Path("/etc/sysusers.d")
    chrony: Path = Path("/etc/chrony/conf.d")
    firmware: Path = Path("/boot/firmware/config.txt")
    clock: Path = Path(CLOCK)
    bundle: Path = Path(BUNDLE)
    booted: Path = Path("/run/systemd/system")
    """Is there where systemd runs."""
    run: systemd.Run = systemd.run

    def texts(self, name: str, device: str) -> dict[Path, str]:
        """Give all files that are ours alone."""
        return {**self._program_texts(name), **self._other_texts(device)}

    def _program_texts(self, name: str) -> dict[Path, str]:
        return {
            **program_folder.program_files(self.program, program),
            self.program / "settings.json": json.dumps({"name": name}) + "\n",
        }

    def _other_texts(self, device: str) -> dict[Path, str]:
        gpsd = self.settings / "gpsd"
        return {
            self.users / f"{USER}.conf": USER_TEXT,
            self.units / UNIT: UNIT_TEXT.format(program=self.program),
            gpsd: GPSD_TEXT.format(device=device),
            **{
                self.units / f"{unit}.service.d" / OURS: GPSD_UNIT_TEXT.format(gpsd=gpsd)
                for unit in ("gpsd", "gpsdctl@")
            },
            self.units / "gpsd.socket.d" / OURS: GPSD_SOCKET_TEXT,
            self.units / "chrony.service.d" / OURS: CHRONY_UNIT_TEXT,
            self.chrony / OURS: CHRONY_TEXT,
        }

    def wanted(self, name: str, device: str) -> Json:
        """Give the folders and files, as host_files takes them."""
        texts = self.texts(name, device)
        owned = {"owner": "root", "group": "root"}
        inner = {folder for path in texts for folder in path.parents if self.program in (folder, *folder.parents)}
        inner |= {path.parent for path in texts if path.parent not in (self.units, self.chrony)}
        return {
            "folders": [{"path": str(path), "mode": "0755", **owned} for path in sorted(inner)],
            "files": [
                {"path": str(path), "content": text, "mode": "0644", **owned} for path, text in sorted(texts.items())
            ],
        }

    def converge(self, name: str, device: str, rtc: str, *, check_mode: bool) -> list[HostFileChange]:
        """Set it up; say what was done. Raises PositionError, SystemdError, HostFileError or OSError."""
        firmware = self._firmware(rtc)
        changes = host_files.converge(self.wanted(name, device), check_mode=check_mode)
        changes += self._of_the_future(check_mode=check_mode)
        if not check_mode:
            self._write_firmware(firmware)
            self._have_run({change.path for change in changes if change.is_new})
        return [*changes, *self._firmware_changes(firmware)]

    def remove(self, *, check_mode: bool) -> list[HostFileChange]:
        """Take it away, but for the packages; say what was done. Raises SystemdError or OSError.

        The unit goes last: while it is there, a run that is cut off is made good by the next one.
        """
        firmware, unit = self._firmware(""), self.units / UNIT
        others = [path for path in self._other_texts("") if path != unit]
        paths = [path for path in (self.program, self.clock, *others, unit) if path.exists()]
        if not check_mode:
            self._write_firmware(firmware)
        if paths and not check_mode:
            if self.booted.is_dir() and unit in paths:
                systemd.do(self.run, "systemctl", "disable", "--quiet", "--now", UNIT)
            for path in paths:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            self._remove_empty(path.parent for path in paths)
            self._let_others_go_on()
        removed = [HostFileChange(path, HostFileAction.REMOVE, "file") for path in paths]
        return [*removed, *self._firmware_changes(firmware)]

    def _remove_empty(self, folders: Iterable[Path]) -> None:
        """Remove folders in which nobody has put anything else."""
        for folder in set(folders) - {self.units, self.users, self.chrony, self.program.parent}:
            with suppress(OSError):
                folder.rmdir()

    def _of_the_future(self, *, check_mode: bool) -> list[HostFileChange]:
        """No date is believed before these files: put those right that a wrong clock has written."""
        latest = time.time() + CLOCKS_APART.total_seconds()
        wrong = []
        for path in (self.program / "settings.json", self.bundle):
            with suppress(OSError):
                wrong += [path] if path.stat().st_mtime > latest else []
        if not check_mode:
            for path in wrong:
                os.utime(path)
        return [HostFileChange(path, HostFileAction.CORRECT, "file") for path in wrong]

    def _have_run(self, renewed: set[Path]) -> None:
        """Have gpsd and chrony started again where what they read is new, and then the program."""
        if not self.booted.is_dir():
            return
        if any(self.program not in path.parents for path in renewed):
            systemd.do(self.run, "systemd-sysusers", str(self.users / f"{USER}.conf"))
            self._have_others_run()
        if renewed or not systemd.is_active(self.run, UNIT):
            systemd.start(self.run, UNIT)

    def _have_others_run(self) -> None:
        systemd.do(self.run, "systemctl", "daemon-reload")
        systemd.do(self.run, "systemctl", "restart", "chrony.service")
        # A socket is not opened again while what it starts runs; who asks starts that.
        systemd.do(self.run, "systemctl", "stop", "gpsd.service", "gpsd.socket")
        systemd.do(self.run, "systemctl", "start", "gpsd.socket")

    def _let_others_go_on(self) -> None:
        """Have gpsd and chrony go on with their own settings, where they are still installed."""
        if self.booted.is_dir():
            systemd.do(self.run, "systemctl", "daemon-reload")
            self.run(["systemctl", "stop", "gpsd.service", "gpsd.socket"])
            self.run(["systemctl", "try-restart", "chrony.service"])

    def _firmware(self, rtc: str) -> tuple[str, str]:
        """Give config.txt before and after; twice nothing where there is none. Raises PositionError."""
        try:
            before = self.firmware.read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            if rtc:
                raise PositionError(
                    f"Nothing was changed. position_rtc needs {self.firmware}, which is not there: this is not "
                    f"Raspberry Pi OS, or its boot partition is not mounted"
                ) from None
            return "", ""
        lines = [f"dtoverlay=i2c-rtc,{rtc}"] if rtc else []
        return before, firmware_settings.with_block(before, BLOCK, lines)

    def _write_firmware(self, firmware: tuple[str, str]) -> None:
        before, after = firmware
        if after != before:
            atomic_file.write(self.firmware, after.encode("utf-8", "surrogateescape"))

    def _firmware_changes(self, firmware: tuple[str, str]) -> list[HostFileChange]:
        before, after = firmware
        return [HostFileChange(self.firmware, HostFileAction.RENEW, "file")] if after != before else []
