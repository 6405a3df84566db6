"""`python pi_alone FOLDER [NAME] [OPTIONS]`: what a bundle's `install` runs once the copy in FOLDER is verified.

NAME is that of this Pi in the inventory, and OPTIONS are ansible-playbook's.
"""

from __future__ import annotations

import os
import platform
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = "/proc/device-tree/model"
CONTROLLERS = "/sys/fs/cgroup/cgroup.controllers"
runpy.run_path(str(ROOT / "plugins" / "project_imports.py"))

from ansible.module_utils.poppyfield.bundle import alone, verification  # noqa: E402
from ansible.module_utils.poppyfield.bundle.manifest import BundleError  # noqa: E402


def main(arguments: Sequence[str]) -> int:
    """Prepare and run the playbook; give its exit status."""
    folder, *rest = arguments
    given = rest.pop(0) if rest and not rest[0].startswith("-") else ""
    place = alone.InstalledFrom(Path(folder))
    try:
        found = verification.signed(place.bundle, place.signers.read_text("utf-8"))
        host = alone.chosen(found.hosts, given, platform.node())
        words = alone.command(place, found, host, rest, asks=sys.stdin.isatty())
        alone.prepare(place, found, host)
        alone.keep_password(host, Path(alone.PIS_PASSWORD), Path(alone.LAPTOPS_PASSWORDS))
    except (BundleError, OSError) as error:
        print(f"Nothing was changed: {error}.", file=sys.stderr)
        return 1
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    status = subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode
    if not status and alone.restart_needed(*map(text, (MODEL, CONTROLLERS))):
        print(alone.RESTART)
    return status


def text(path: str) -> str:
    """Give a file's text; nothing where there is none."""
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
