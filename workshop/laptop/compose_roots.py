"""The docker-compose of each of Debian's releases, in a root of its own: what a Pi of that release has.

A root holds the package and what it needs, unpacked and nothing more, made once and kept outside the checkout. The
second generation is one program; the first one runs with the Python of its root.
"""

from __future__ import annotations

from pathlib import Path

from workshop.laptop import debian_roots

SUITES = ("bookworm", "trixie")
"""The first generation, and the second one."""
PACKAGE = "docker-compose"
PYTHON = "python3.11"
COMMAND = '#!/bin/sh\n{environment}exec {words} "$@"\n'


def make(suite: str) -> Path:
    """Return the root of a release, made if it isn't cached."""
    return debian_roots.make(PACKAGE, suite, "compose")


def write_command(suite: str, folder: Path) -> Path:
    """Write a command docker-compose into a folder that is that of the release."""
    root = make(suite)
    words, environment = str(program(suite)), ""
    if first_generation(suite):
        words = f"{root}/usr/bin/{PYTHON} {words}"
        environment = (
            f"PYTHONHOME={root}/usr PYTHONPATH={root}/usr/lib/python3/dist-packages PYTHONDONTWRITEBYTECODE=1 "
        )
    command = folder / PACKAGE
    command.write_text(COMMAND.format(environment=environment, words=words))
    command.chmod(0o755)
    return command


def first_generation(suite: str) -> bool:
    """Tell whether the release has the first generation."""
    return suite == SUITES[0]


def program(suite: str) -> Path:
    """Return the program itself, where its links lead within the root."""
    root = make(suite)
    path = root / "usr/bin" / PACKAGE
    while path.is_symlink():
        target = path.readlink()
        path = root / target.relative_to("/") if target.is_absolute() else path.parent / target
    return path
