"""The password of a host's Wi-Fi, in the controller's file, where it is made once."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.host import atomic_file, password_file

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""None that is taken for another one on paper, and none for which a tablet's keyboard has to change twice."""
GROUPS, LENGTH = 4, 4


def random_password() -> str:
    """Give a password that people can type: 79 bits."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(LENGTH)) for _ in range(GROUPS))


def make(path: Path) -> None:
    """Write a random password for its owner alone. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic_file.write(path, f"{random_password()}\n".encode(), mode=0o600)


def read(path: Path, loader: Any) -> str:
    """Give the password in a file, which may be encrypted with ansible-vault.

    `loader` is Ansible's DataLoader, which knows the vault's passphrases. Raises PasswordFileError for a file that
    cannot be read.
    """
    plain = Path(loader.get_real_file(str(path)))
    try:
        return str(password_file.read(plain)).rstrip("\r\n")
    finally:
        loader.cleanup_tmp_file(str(plain))
