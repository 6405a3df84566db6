"""A Pi whose power goes while files are removed."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def removals_cut_off(monkeypatch: pytest.MonkeyPatch, count: int) -> Iterator[None]:
    """Have so many files removed meanwhile, and no more."""
    left = iter(range(count))
    unlink = Path.unlink

    def cut_off(path: Path, **options: bool) -> None:
        if next(left, None) is None:
            raise OSError(errno.EIO, "the power is gone", str(path))
        unlink(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", cut_off)
        yield
