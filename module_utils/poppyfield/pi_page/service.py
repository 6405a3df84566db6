"""Keeps the programs of the Pi's pages on a host: their files, a timer of systemd, and the operator's sockets."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.host import host_files, program_folder, systemd
from ansible.module_utils.poppyfield.host.host_files import HostFileAction, HostFileChange
from ansible.module_utils.poppyfield.pi_page import (
    data_check,
    guard,
    operator_login,
    operator_page,
    operator_units,
    order_helper,
    program,
)
from ansible.module_utils.poppyfield.pi_page.program import FOLDER, WORK_FOLDER
from ansible.module_utils.poppyfield.postgis.data_pages import STATE
from ansible.module_utils.poppyfield.runs import lock

Json = dict[str, Any]

UNIT = "poppyfield-page"
TIMER = f"{UNIT}.timer"
DATA_CHECK = "poppyfield-data-check"
DATA_TIMER = f"{DATA_CHECK}.timer"
GUARD = "poppyfield-guard.service"
GUARD_TIMER = "poppyfield-guard.timer"
# Ansible brings to a Pi what is imported, and nothing else.
PROGRAMS = tuple(one.__name__.rpartition(".")[2] for one in (program, operator_page, order_helper, data_check, guard))
"""The first is run where none is named."""
MODULES = [f"{program_folder.OURS}.pi_page.{name}" for name in PROGRAMS]
MAIN_TEXT = f"""# Managed by Poppyfield.
import sys
from importlib import import_module

name = sys.argv.pop(1) if sys.argv[1:2] and sys.argv[1] in {PROGRAMS} else "{PROGRAMS[0]}"
sys.exit(import_module("{program_folder.OURS}.pi_page." + name).main())
"""

# All are in memory. The role lizmap, which has the first mounted into the map server, says the same of it.
FOLDERS_TEXT = f"""# Managed by Poppyfield.
d {FOLDER} 0755 root root
d {WORK_FOLDER} 0700 root root
d {lock.FOLDER} 0700 root root
"""

MAP_FIRST = """# The map comes first.
Nice=19
IOSchedulingClass=idle
CPUWeight=10
"""
READS_ONLY = """ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
NoNewPrivileges=yes
"""
"""What these services may do: nothing can be written to but what follows it."""
SERVICE_TEXT = f"""# Managed by Poppyfield.
[Unit]
Description=Poppyfield's look at this Pi, for its page
After=docker.service

[Service]
Type=oneshot
# What Python compiles is kept in memory, too.
ExecStart=/usr/bin/python3 -I -X pycache_prefix={WORK_FOLDER}/python {{program}}
{MAP_FIRST}# Nothing but these two can be written to.
{READS_ONLY}ReadWritePaths={FOLDER} {WORK_FOLDER}
# It runs all the time: the journal would fill with nothing else.
LogLevelMax=notice
# What the program writes is an error.
SyslogLevel=err
TimeoutStartSec=10min
# A look that a shutdown or the next version cuts short is no failure.
SuccessExitStatus=SIGTERM
"""

TIMER_TEXT = """# Managed by Poppyfield.
[Unit]
Description=When Poppyfield looks at this Pi

[Timer]
OnActiveSec=1s
# A card that turns read-only is to be told within a minute.
OnUnitInactiveSec=40s
AccuracySec=5s

[Install]
WantedBy=timers.target
"""

DATA_SERVICE_TEXT = f"""# Managed by Poppyfield.
[Unit]
Description=Poppyfield's look for damage at each page of the database
After=docker.service

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I -X pycache_prefix={WORK_FOLDER}/python {{program}} data_check
{MAP_FIRST}# It reads the data, and can't write to them.
{READS_ONLY}ReadWritePaths={WORK_FOLDER}
StateDirectory={Path(STATE).parent.relative_to("var/lib")}
# What the program writes is an error.
SyslogLevel=err
TimeoutStartSec=12h
"""

DATA_TIMER_TEXT = """# Managed by Poppyfield.
[Unit]
Description=When Poppyfield looks at each page of the database

[Timer]
OnCalendar=Sun 02:00
RandomizedDelaySec=2h
# A Pi that is off at night looks when it is on again.
Persistent=true

[Install]
WantedBy=timers.target
"""

GUARD_TEXT = f"""# Managed by Poppyfield.
[Unit]
Description=Poppyfield's guard of containers that Docker could not start, or that are not well
After=docker.service

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I -X pycache_prefix={WORK_FOLDER}/python {{program}} guard
{READS_ONLY}ReadWritePaths={WORK_FOLDER} {lock.FOLDER}
# It runs every few minutes: the journal would fill with that.
LogLevelMax=notice
# What it says is what it did.
SyslogLevel=warning
TimeoutStartSec=15min

[Install]
WantedBy=docker.service
"""

GUARD_TIMER_TEXT = """# Managed by Poppyfield.
[Unit]
Description=When Poppyfield looks whether the containers are well

[Timer]
OnActiveSec=5min
OnUnitInactiveSec=5min
AccuracySec=30s

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True)
class PiPageService:
    """Where the files are, and how commands are run."""

    program: Path = Path("/usr/local/lib/poppyfield/page")
    units: Path = Path("/etc/systemd/system")
    folders: Path = Path("/etc/tmpfiles.d")
    booted: Path = Path("/run/systemd/system")
    """Is there where systemd runs."""
    run: systemd.Run = systemd.run

    users: Path = Path("/etc/sysusers.d")
    password: Path = Path("/etc/poppyfield/operator/password")
    """What is kept of the operator's password, which is not the password."""
    random: Callable[[int], bytes] = secrets.token_bytes

    def wanted(self, settings: Mapping[str, Any], kept_password: str) -> Json:
        """Give the folders and files, as host_files takes them."""
        texts = {self.program / name: text for name, text in program_folder.files(MODULES).items()}
        texts |= {
            self.program / "__main__.py": MAIN_TEXT,
            self.program / "settings.json": json.dumps(settings, indent=1, sort_keys=True) + "\n",
            self.folders / f"{UNIT}.conf": FOLDERS_TEXT,
            self.units / f"{UNIT}.service": SERVICE_TEXT.format(program=self.program),
            self.units / TIMER: TIMER_TEXT,
            self.units / f"{DATA_CHECK}.service": DATA_SERVICE_TEXT.format(program=self.program),
            self.units / DATA_TIMER: DATA_TIMER_TEXT,
            self.units / GUARD: GUARD_TEXT.format(program=self.program),
            self.units / GUARD_TIMER: GUARD_TIMER_TEXT,
        }
        inner = {folder for path in texts for folder in path.parents if self.program in (folder, *folder.parents)}
        if kept_password:
            texts |= self._operator_files()
        owned = {"owner": "root", "group": "root"}
        files = [{"path": str(path), "content": text, "mode": "0644", **owned} for path, text in sorted(texts.items())]
        folders = [{"path": str(path), "mode": "0755", **owned} for path in sorted(inner)]
        if kept_password:
            folders.append({"path": str(self.users), "mode": "0755", **owned})
            folders.append({"path": str(self.password.parent), "mode": "0700", **owned})
            files.append({"path": str(self.password), "content": kept_password, "mode": "0600", **owned})
        return {"folders": folders, "files": files}

    def _operator_files(self) -> dict[Path, str]:
        places = {"program": self.program, "password": self.password}
        units = {self.units / name: text.format(**places) for name, text in operator_units.UNITS.items()}
        return {self.users / f"{operator_units.PAGE}.conf": operator_units.USER_TEXT, **units}

    def _kept(self, password: str) -> str:
        """Give what is to be kept of the operator's password; nothing where there is none."""
        if not password:
            return ""
        before = ""
        with suppress(OSError, UnicodeDecodeError):
            before = self.password.read_text("utf-8")
        return operator_login.kept(password, before, self.random)

    def converge(self, settings: Mapping[str, Any], password: str, *, check_mode: bool) -> list[HostFileChange]:
        """Set the pages up; say what was done. Raises SystemdError, HostFileError or OSError."""
        kept = self._kept(password)
        changes: list[HostFileChange] = host_files.converge(
            self.wanted({**settings, "operator": bool(kept)}, kept), check_mode=check_mode
        )
        renewed = {change.path for change in changes if change.is_new}
        unwanted = [] if kept else [path for path in (*self._operator_files(), self.password) if path.exists()]
        if not check_mode:
            self._have_run(renewed)
            if kept:
                self._have_operators_page(renewed)
            elif unwanted:
                self._end_operators_page(unwanted)
        return [*changes, *(HostFileChange(path, HostFileAction.REMOVE, "file") for path in unwanted)]

    def _have_run(self, renewed: Set[Path]) -> None:
        timers = (TIMER, DATA_TIMER, GUARD_TIMER)
        if self.booted.is_dir() and (renewed or not all(systemd.is_active(self.run, timer) for timer in timers)):
            systemd.do(self.run, "systemd-tmpfiles", "--create", str(self.folders / f"{UNIT}.conf"))
            for unit in (*timers, GUARD):
                systemd.start(self.run, unit)

    def _have_operators_page(self, renewed: Set[Path]) -> None:
        sockets = operator_units.SOCKETS
        if not self.booted.is_dir() or not (
            renewed or any(not systemd.is_active(self.run, socket) for socket in sockets)
        ):
            return
        systemd.do(self.run, "systemd-sysusers", str(self.users / f"{operator_units.PAGE}.conf"))
        # One that still runs has the old program and password; the next request starts it again.
        for unit in (*sockets, f"{operator_units.PAGE}.service"):
            self.run(["systemctl", "stop", unit])
        for socket in sockets:
            systemd.start(self.run, socket)

    def _end_operators_page(self, unwanted: Sequence[Path]) -> None:
        if self.booted.is_dir():
            for socket in operator_units.SOCKETS:
                systemd.do(self.run, "systemctl", "disable", "--quiet", "--now", socket)
            systemd.do(self.run, "systemctl", "stop", f"{operator_units.PAGE}.service")
        for path in unwanted:
            path.unlink()
        if self.booted.is_dir():
            systemd.do(self.run, "systemctl", "daemon-reload")
