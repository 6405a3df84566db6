"""Builds the images as the product builds them, for this machine's own architecture.

POPPYFIELD_ARCHITECTURE names another one, by Debian's name, for whose programs the kernel has an interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTES = ROOT / "build" / "tests"


PROFILE = os.environ.get("POPPYFIELD_PROFILE", "trixie")
"""The profile whose images are tested."""


def own_architecture() -> str:
    """Return this machine's architecture, by Debian's name."""
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def architecture() -> str:
    """Return the architecture of the images."""
    return os.environ.get("POPPYFIELD_ARCHITECTURE") or own_architecture()


def images(note: str, **variables: str) -> dict[str, str]:
    """Return the references of the images by name (postgis, lizmap), built with these variables.

    POPPYFIELD_POSTGIS_IMAGE and POPPYFIELD_LIZMAP_IMAGE, given together, name others to test.
    """
    named = {name: os.environ.get(f"POPPYFIELD_{name.upper()}_IMAGE", "") for name in ("postgis", "lizmap")}
    return named if any(named.values()) else build(note, **variables)


def build(note: str, profile: str = PROFILE, **variables: str) -> dict[str, str]:
    """Build the images of a profile with these variables; return their references by name."""
    NOTES.mkdir(parents=True, exist_ok=True)
    path = NOTES / note
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "tests/images/build.yml"]
    command += ["--inventory", "tests/images/inventory.yml"]
    given = {"architecture": architecture(), "note": str(path), "arm_images_profile": profile, **variables}
    command += ["--extra-vars", json.dumps(given)]
    subprocess.run(command, check=True, cwd=ROOT)
    return {name: built["image"] for name, built in json.loads(path.read_text()).items()}
