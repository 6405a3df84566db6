"""The password of a host's backups, in the controller's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.host import host_files, password_file


def read(path: Path, loader: Any) -> str:
    """Give the password in a file, which may be encrypted with ansible-vault.

    `loader` is Ansible's DataLoader, which knows the vault's passphrases. Raises PasswordFileError for a file that
    cannot be read and HostFileError for a password that is none.
    """
    plain = Path(loader.get_real_file(str(path)))
    try:
        found = password_file.read(plain).strip()
    finally:
        loader.cleanup_tmp_file(str(plain))
    host_files.check_value(str(path), found, host_files.LEAST_LENGTH)
    return found
