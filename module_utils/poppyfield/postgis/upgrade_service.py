"""Gives the program that upgrades the database its orders on a host, and tells what came of them.

It runs under systemd, so that it goes on when the laptop is gone, and again when the host starts while an order is
there. Where there is no systemd, as in a container, it runs below whoever asks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.host import atomic_file, systemd
from ansible.module_utils.poppyfield.postgis import major_upgrade

Json = dict[str, Any]

UNIT = "poppyfield-upgrade.service"


class UpgradeServiceError(Exception):
    """The upgrade was not made, in a sentence."""


def boot_id() -> str:
    """Give what the kernel calls this start of the host; empty where it does not tell."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text("ascii").strip() if path.is_file() else ""


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

    def kept(self) -> Json:
        """Give the upgrade whose old cluster is still kept; nothing where there is none."""
        return self._read(major_upgrade.DONE)

    def settle(self) -> str:
        """Bring to an end what was cut off, and say what came of it; nothing where nothing was."""
        return str(self._go()["said"]) if self.is_pending() else ""

    def give(self, order: Mapping[str, Any]) -> Json:
        """Have an order carried out; give what came of it. Raises UpgradeServiceError where it was not done."""
        self.settle()
        given = {**order, "fresh": True, "boot": boot_id(), "state_folder": str(self.state)}
        atomic_file.write(self.state / major_upgrade.ORDER, json.dumps(given).encode(), mode=0o600)
        outcome = self._go()
        if outcome.get("failed"):
            raise UpgradeServiceError(str(outcome["said"]))
        if outcome["what"] != order["what"]:
            raise UpgradeServiceError(
                "Another run's rehearsal or upgrade was still at work. It has ended: run this again."
            )
        return outcome

    def _go(self) -> Json:
        """Run the program; give what it has written down."""
        (self.state / major_upgrade.OUTCOME).unlink(missing_ok=True)
        if self.booted.is_dir():
            done = self.run(["systemctl", "start", UNIT])
        else:
            done = self.run([sys.executable, "-I", "-B", str(self.program), "--state", str(self.state), "go"])
        if outcome := self._read(major_upgrade.OUTCOME):
            return outcome
        raise UpgradeServiceError(f"The program of the upgrade was ended: {systemd.what_failed(done)}. Run this again.")

    def _read(self, name: str) -> Json:
        with suppress(OSError, ValueError):
            found: Json = json.loads((self.state / name).read_text("utf-8"))
            return found
        return {}
