"""Gives the tests the images for this machine's own architecture, built as the product builds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTE = ROOT / "build" / "tests" / "images.json"


@pytest.fixture(scope="session")
def built_images() -> dict[str, str]:
    """Return the references of the images by name (postgis, lizmap).

    POPPYFIELD_POSTGIS_IMAGE and POPPYFIELD_LIZMAP_IMAGE, given together, name others to test.
    """
    named = {name: os.environ.get(f"POPPYFIELD_{name.upper()}_IMAGE", "") for name in ("postgis", "lizmap")}
    if any(named.values()):
        return named
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    ).stdout.strip()
    NOTE.parent.mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "tests/images/build.yml"]
    command += ["--inventory", "tests/images/inventory.yml"]
    command += ["--extra-vars", json.dumps({"architecture": architecture, "note": str(NOTE)})]
    subprocess.run(command, check=True, cwd=ROOT)
    return {name: built["image"] for name, built in json.loads(NOTE.read_text()).items()}


@pytest.fixture(scope="session")
def postgis_image(built_images: dict[str, str]) -> str:
    """Return the reference of the PostGIS image."""
    return built_images["postgis"]


@pytest.fixture(scope="session")
def lizmap_image(built_images: dict[str, str]) -> str:
    """Return the reference of the map server's image, with the map page."""
    return built_images["lizmap"]
