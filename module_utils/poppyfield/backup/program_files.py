"""The program of the backup as files on a Pi: the command that units and people know, and a folder with its modules.

The folder's name tells what is in it. The command is one file, which changes at once from one release's folder to the
other's: at no moment there is half of a program, and what runs meanwhile goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from ansible.module_utils.poppyfield.backup import command_line, last_minute, this_pi, trial_maps
from ansible.module_utils.poppyfield.host import program_folder

COMMAND = "backup"
FOLDERS = "backup-modules-"
"""How the names of the folders begin, one for each content."""
EARLIER = ("restore_part", "last_minute", "trial_maps")
"""Folders of earlier releases, each with a copy of all that it needed."""
MODULES = {this_pi.LAST_MINUTE: last_minute, this_pi.TRIAL_MAPS: trial_maps}
COMMAND_TEXT = """#!/usr/bin/python3
# Managed by Poppyfield.
import sys

# What Python keeps of a module may be half there after a loss of power, and would be run.
sys.dont_write_bytecode = True
sys.path.insert(0, "{folder}")

from {module} import main

sys.exit(main())
"""


def program_files(programs: Path, parts: Collection[str]) -> dict[Path, str]:
    """Give the files of the program with some of `this_pi.PARTS`, the command last: the others are there before."""
    names = [command_line.__name__, *(MODULES[part].__name__ for part in sorted(parts))]
    texts = {**program_folder.files(names), "__main__.py": program_folder.MAIN_TEXT.format(module=names[0])}
    digest = hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()
    folder = programs / f"{FOLDERS}{digest[:12]}"
    command = COMMAND_TEXT.format(folder=folder, module=names[0])
    return {**{folder / name: text for name, text in texts.items()}, programs / COMMAND: command}


def installed_parts(programs: Path) -> set[str]:
    """Give the parts that are there, also of an earlier release: what was saved by them can still be asked for."""
    inside = "/".join((FOLDERS + "*", *program_folder.OURS.split("."), "backup"))
    return {part for part in this_pi.PARTS if (programs / part).is_dir() or any(programs.glob(f"{inside}/{part}.py"))}


def left_behind(programs: Path, wanted: Collection[Path]) -> Iterator[Path]:
    """Give the folders of other releases."""
    for folder in (*programs.glob(f"{FOLDERS}*"), *(programs / name for name in EARLIER)):
        if folder.is_dir() and not any(folder in path.parents for path in wanted):
            yield folder
