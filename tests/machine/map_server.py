"""A whole machine that site.yml has made a map server of, kept in the cache by all that went into it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.machine.reached import MACHINES, ROOT, Machine, Place
from workshop.emulator import kept_machine, whole_machine

KEPT = MACHINES / whole_machine.KEPT
MADE_OF = (
    *("ansible.cfg", "images", "inventory/demo", "library", "module_utils", "playbooks", "plugins", "roles"),
    # Of the locks, that of who runs Ansible here.
    "locks/test.txt",
    *("site.yml", "tests/machine/inventory", "workshop/demo/sample"),
    *(f"workshop/emulator/{name}" for name in ("Dockerfile", "card.py", "login.py", "machine", "machine_options.py")),
    *(f"workshop/emulator/{name}" for name in ("root", "rootfs.py")),
)
"""What decides how a provisioned machine is."""


def digest_of(parts: Sequence[str]) -> str:
    """Name the content of files and folders of the checkout."""
    listed = subprocess.run(["git", "ls-files", "-z", *parts], cwd=ROOT, capture_output=True, check=True).stdout
    digest = hashlib.sha256()
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        digest.update(name.encode() + b"\0" + (path.read_bytes() if path.is_file() else b"") + b"\0")
    return digest.hexdigest()[:12]


def made(place: Place) -> Machine:
    """Return a map server that is on, provisioned now where none is kept of this state of the checkout."""
    machine = Machine(place)
    machine.destroy()
    kept = KEPT / digest_of(MADE_OF)
    if kept.exists():
        kept_machine.bring_back(kept, MACHINES, place.pi)
        machine.start()
    else:
        provision(machine, kept)
    # It went on from where it was when it was kept.
    machine.set_clock(time.time())
    machine.wait_until_healthy()
    return machine


def provision(machine: Machine, kept: Path) -> None:
    """Provision a bare machine, and keep it in place of those that were kept before."""
    machine.start()
    machine.provision(machine.files.folder / "first.json")
    machine.picture()
    machine.stop()
    shutil.rmtree(KEPT, ignore_errors=True)
    kept_machine.keep(MACHINES, machine.place.name, kept)
    machine.start()
