"""A password that stands in a file of its own."""

from __future__ import annotations

from pathlib import Path


class PasswordFileError(Exception):
    """A file that gives no password, in a sentence that holds nothing of what is in it."""


def read(path: Path) -> str:
    """Give what a password file holds, its end of line included."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise PasswordFileError(f"The password file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        # Without its cause, which would show a byte of the password.
        raise PasswordFileError(
            f"The password file {path} is not text in UTF-8: write the password into it again, in UTF-8."
        ) from None
