"""What is to be printed and holds a password, as files that only their owner may read; on the laptop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ansible.module_utils.poppyfield.host import atomic_file


def paths_of(folder: Path, host: str, language: str) -> list[Path]:
    """Give where the page of a host is, and the same as PDF."""
    return [folder / f"{host}.{language}.{kind}" for kind in ("html", "pdf")]


def keep(paths: Sequence[Path], page: str, as_pdf: Callable[[], bytes], *, check_mode: bool) -> bool:
    """Write both where they are not as they should be; tell whether they were not. Raises OSError."""
    content = page.encode()
    # A PDF has the time when it was made in it, so the page tells whether it is the same.
    changed = not all(path.exists() for path in paths) or paths[0].read_bytes() != content
    if changed and not check_mode:
        paths[0].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, one in zip(paths, (content, as_pdf()), strict=True):
            atomic_file.write(path, one, mode=0o600)
    return changed
