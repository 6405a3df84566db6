"""Keeps the program that upgrades the database on a host, gives it its orders, and tells what came of them.

It runs under systemd, so that it goes on when the laptop is gone, and again when the host starts while an order is
there. Where there is no systemd, as in a container, it runs below whoever asks.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup import program as backup
from ansible.module_utils.poppyfield.host import host_files, program_folder, systemd
from ansible.module_utils.poppyfield.postgis import major_upgrade, upgrade_program

Json = dict[str, Any]

UNIT = "poppyfield-upgrade.service"
UNIT_TEXT = """# Managed by Poppyfield.
[Unit]
Description=Poppyfield's upgrade of the database to another major version of PostgreSQL
After=docker.service
Wants=docker.service
# At the start of this host there is one only where an upgrade was cut off.
ConditionPathExists={order}

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I -B {program} go
# However it ends, the old cluster serves, or the new one does.
ExecStopPost=/usr/bin/python3 -I -B {program} go
TimeoutStartSec=infinity
TimeoutStopSec=20min

[Install]
WantedBy=multi-user.target
"""
MAIN_TEXT = f"""# Managed by Poppyfield.
import sys

from {upgrade_program.__name__} import main

sys.exit(main())
"""


class UpgradeServiceError(Exception):
    """The upgrade was not made, in a sentence."""


def program_files(folder: Path) -> dict[Path, str]:
    """Give the program as files of a folder."""
    texts = {**program_folder.files([upgrade_program.__name__]), "__main__.py": MAIN_TEXT}
    return {folder / name: text for name, text in texts.items()}


@dataclass(frozen=True)
class UpgradeService:
    """Where the files are, and how commands are run."""

    program: Path = Path("/usr/local/lib/poppyfield/upgrade")
    units: Path = Path("/etc/systemd/system")
    booted: Path = Path("/run/systemd/system")
    """Is there where systemd runs."""
    state: Path = Path(major_upgrade.STATE_FOLDER)
    run: systemd.Run = systemd.run

    def is_pending(self) -> bool:
        """Tell whether an upgrade was cut off, and is neither undone nor complete."""
        return (self.state / major_upgrade.JOURNAL).exists()

    def done(self) -> Json:
        """Give the upgrade whose old cluster is still kept; nothing where there is none."""
        return backup.read(self.state / upgrade_program.DONE)

    def install(self, *, check_mode: bool) -> Sequence[host_files.HostFileChange]:
        """Install the program and its unit. Raises HostFileError, SystemdError or OSError."""
        texts = program_files(self.program)
        unit = self.units / UNIT
        texts[unit] = UNIT_TEXT.format(program=self.program, order=self.state / upgrade_program.ORDER)
        inner = {folder for path in texts for folder in path.parents if folder.is_relative_to(self.program)}
        owned = {"owner": "root", "group": "root"}
        folders = {self.state: "0700", self.program.parent: "0755", **dict.fromkeys(sorted(inner), "0755")}
        wanted = {
            "folders": [{"path": str(path), "mode": mode, **owned} for path, mode in folders.items()],
            "files": [{"path": str(path), "content": text, "mode": "0644", **owned} for path, text in texts.items()],
        }
        changes: list[host_files.HostFileChange] = host_files.converge(wanted, check_mode=check_mode)
        if not check_mode and self.booted.is_dir() and any(change.path == unit and change.is_new for change in changes):
            systemd.do(self.run, "systemctl", "daemon-reload")
            systemd.do(self.run, "systemctl", "enable", "--quiet", UNIT)
        return changes

    def settle(self) -> str:
        """Bring to an end what was cut off, and say what came of it; nothing where nothing was."""
        if not self.is_pending():
            return ""
        return str(self._go()["said"])

    def give(self, order: Mapping[str, Any]) -> Json:
        """Have an order carried out; give what came of it. Raises UpgradeServiceError where it was refused or failed."""
        self.settle()
        backup.write(self.state / upgrade_program.ORDER, {**order, "fresh": True, "state_folder": str(self.state)})
        outcome = self._go()
        if outcome.get("failed"):
            raise UpgradeServiceError(str(outcome["said"]))
        return outcome

    def _go(self) -> Json:
        """Run the program; give what it has written down."""
        path = self.state / upgrade_program.OUTCOME
        path.unlink(missing_ok=True)
        if self.booted.is_dir():
            done = self.run(["systemctl", "start", UNIT])
        else:
            done = self.run([sys.executable, "-I", "-B", str(self.program), "--state", str(self.state), "go"])
        if outcome := backup.read(path):
            return outcome
        raise UpgradeServiceError(f"The program of the upgrade was ended: {systemd.what_failed(done)}. Run this again.")
