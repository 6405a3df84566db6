"""Keeps the program of the Pi's page on a host: its files, and a timer of systemd."""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.abc import InspectLoader
from pathlib import Path
from typing import Any, cast

from ansible.module_utils.poppyfield.host import host_files, systemd
from ansible.module_utils.poppyfield.host.host_files import HostFileChange
from ansible.module_utils.poppyfield.pi_page.program import FOLDER, WORK_FOLDER

Json = dict[str, Any]

UNIT = "poppyfield-page"
TIMER = f"{UNIT}.timer"
OURS = "ansible.module_utils.poppyfield"
PROGRAM = f"{OURS}.pi_page.program"
BEFORE_OURS = ("ansible", "ansible.module_utils")
"""Packages that a Pi does not have: they hold nothing there but ours."""
MAIN_TEXT = f"""# Managed by Poppyfield.
import sys

from {PROGRAM} import main

sys.exit(main())
"""

# Both folders are in memory. The role lizmap, which has the first mounted into the map server, says the same of it.
FOLDERS_TEXT = f"""# Managed by Poppyfield.
d {FOLDER} 0755 root root
d {WORK_FOLDER} 0700 root root
"""

SERVICE_TEXT = f"""# Managed by Poppyfield.
[Unit]
Description=Poppyfield's look at this Pi, for its page
After=docker.service

[Service]
Type=oneshot
# What Python compiles is kept in memory, too.
ExecStart=/usr/bin/python3 -I -X pycache_prefix={WORK_FOLDER}/python {{program}}
# The map comes first.
Nice=19
IOSchedulingClass=idle
CPUWeight=10
# Nothing but these two can be written to.
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
NoNewPrivileges=yes
ReadWritePaths={FOLDER} {WORK_FOLDER}
# It runs each minute: the journal would fill with nothing else.
LogLevelMax=notice
# What the program writes is an error.
SyslogLevel=err
TimeoutStartSec=5min
"""

TIMER_TEXT = """# Managed by Poppyfield.
[Unit]
Description=When Poppyfield looks at this Pi

[Timer]
OnActiveSec=1s
OnUnitInactiveSec=1min
AccuracySec=5s

[Install]
WantedBy=timers.target
"""


def program_files() -> dict[str, str]:
    """Give the program's files by their paths: it is what modules use as well, and nothing beside it."""
    found = {f"{name.replace('.', '/')}/__init__.py": "" for name in BEFORE_OURS}
    wanted = [PROGRAM]
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        # A name that is imported may be a module or what a module holds.
        if name in seen or (spec := _spec(name)) is None:
            continue
        seen.add(name)
        text = cast("InspectLoader", spec.loader).get_source(name) or ""
        path = name.replace(".", "/")
        found[f"{path}/__init__.py" if spec.submodule_search_locations is not None else f"{path}.py"] = text
        wanted += [name.rpartition(".")[0], *_imported(text)]
    return found


def _spec(name: str) -> Any:
    if name != OURS and not name.startswith(f"{OURS}."):
        return None
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:  # something of a module that is no package
        return None


def _imported(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(OURS):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@dataclass(frozen=True)
class PiPageService:
    """Where the files are, and how commands are run."""

    program: Path = Path("/usr/local/lib/poppyfield/page")
    units: Path = Path("/etc/systemd/system")
    folders: Path = Path("/etc/tmpfiles.d")
    booted: Path = Path("/run/systemd/system")
    """Is there where systemd runs."""
    run: systemd.Run = systemd.run

    def wanted(self, settings: Mapping[str, Any]) -> Json:
        """Give the folders and files, as host_files takes them."""
        texts = {self.program / name: text for name, text in program_files().items()}
        texts |= {
            self.program / "__main__.py": MAIN_TEXT,
            self.program / "settings.json": json.dumps(settings, indent=1, sort_keys=True) + "\n",
            self.folders / f"{UNIT}.conf": FOLDERS_TEXT,
            self.units / f"{UNIT}.service": SERVICE_TEXT.format(program=self.program),
            self.units / TIMER: TIMER_TEXT,
        }
        inner = {folder for path in texts for folder in path.parents if self.program in (folder, *folder.parents)}
        owned = {"owner": "root", "group": "root"}
        return {
            "folders": [{"path": str(path), "mode": "0755", **owned} for path in sorted(inner)],
            "files": [
                {"path": str(path), "content": text, "mode": "0644", **owned} for path, text in sorted(texts.items())
            ],
        }

    def converge(self, settings: Mapping[str, Any], *, check_mode: bool) -> list[HostFileChange]:
        """Set the page up; say what was done. Raises SystemdError, HostFileError or OSError."""
        changes: list[HostFileChange] = host_files.converge(self.wanted(settings), check_mode=check_mode)
        renewed = any(change.is_new for change in changes)
        if not check_mode and self.booted.is_dir() and (renewed or not systemd.is_active(self.run, TIMER)):
            systemd.do(self.run, "systemd-tmpfiles", "--create", str(self.folders / f"{UNIT}.conf"))
            systemd.start(self.run, TIMER)
        return changes
