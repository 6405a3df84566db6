"""The program of the backup, installed as on a Pi, in a folder of a test."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.poppyfield.backup.program_files import COMMAND, program_files


def install(programs: Path, *parts: str) -> Path:
    """Install it with some of the parts that not every Pi has; give its command."""
    for path, text in program_files(programs, parts).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return programs / COMMAND
