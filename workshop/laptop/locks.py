"""Write `locks/` from the requirements: `python3 -m workshop.laptop.locks`.

Each lock names every package of a purpose for every Python, with the digests of all its files. What is in a lock stays
at its version until the requirements ask for another one; remove a line to have the newest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from workshop.laptop.prepare import REQUIREMENTS, ROOT, install_command, lock_of

OPTIONS = ("--quiet", "--universal", "--python-version=3.11", "--generate-hashes", "--no-header", "--no-annotate")


def lock_command(uv: Path, purpose: str) -> list[str]:
    """Return the command that writes a lock."""
    given = [str(ROOT / name) for name in REQUIREMENTS[purpose]]
    return [str(uv), "pip", "compile", *OPTIONS, "--output-file", str(lock_of(purpose)), *given]


def main() -> None:
    """Install uv, which is locked itself, for the moment, and write all locks."""
    with tempfile.TemporaryDirectory() as folder:
        programs = Path(folder, "bin")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(install_command(programs / "pip", lock_of("uv")), check=True)
        for purpose in sorted(REQUIREMENTS):
            subprocess.run(lock_command(programs / "uv", purpose), check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
