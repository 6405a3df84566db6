"""The key that signs a fleet's bundles, kept on the laptop, and the number of the next one."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from ansible.module_utils.poppyfield.bundle.manifest import SIGNATURE, BundleError
from ansible.module_utils.poppyfield.bundle.verification import IDENTITY, NAMESPACE
from ansible.module_utils.poppyfield.host import atomic_file

KEY = "bundle.key"
SIGNERS = "bundle.signers"
NUMBER = "bundle.number"
OTHERS = 0o077


def ensure_key(folder: Path) -> bool:
    """Make the key and the file of trusted signers where they are missing; tell whether there was none.

    The signers have no validity times: a Pi has no clock. A key that others may read is refused.
    """
    key, signers = folder / KEY, folder / SIGNERS
    made = not key.exists()
    if made and signers.exists():
        raise BundleError(
            f"{signers} is there, but not the key {key} that signs what it trusts: put the key beside it, or move "
            f"{signers.name} away, after which no Pi that took a bundle takes another"
        )
    if made:
        _make(key)
    if key.stat().st_mode & OTHERS:
        raise BundleError(f"others can read {key}, which signs what Pis install: chmod 600 {key}")
    if not signers.exists():
        public = _ssh_keygen("-y", "-P", "", "-f", str(key)).split()[:2]
        line = f'{IDENTITY} namespaces="{NAMESPACE}" {" ".join(public)}\n'
        atomic_file.write(signers, line.encode())
    return made


def _make(key: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".bundle-key-", dir=key.parent) as temporary:
        new = Path(temporary) / KEY
        _ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", IDENTITY, "-f", str(new))
        atomic_file.write(key, new.read_bytes(), mode=0o600)


def next_number(folder: Path) -> int:
    """Give the number of the next bundle, and remember it: no other will have it."""
    file = folder / NUMBER
    try:
        number = int(file.read_text("utf-8")) + 1 if file.exists() else 1
    except ValueError as error:
        raise BundleError(f"{file} has no number, that of the last bundle: write it there") from error
    atomic_file.write(file, f"{number}\n".encode())
    return number


def sign(content: bytes, folder: Path, bundle: Path) -> None:
    """Write the signature of a manifest's content into the bundle."""
    with tempfile.TemporaryDirectory(prefix="poppyfield-bundle-") as temporary:
        signed = Path(temporary) / "signed"
        signed.write_bytes(content)
        _ssh_keygen("-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(folder / KEY), str(signed))
        (bundle / SIGNATURE).write_bytes(signed.with_name("signed.sig").read_bytes())


def _ssh_keygen(*arguments: str) -> str:
    command = ["ssh-keygen", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise BundleError("ssh-keygen is missing, which signs a bundle: install openssh-client") from error
    if done.returncode:
        raise BundleError(f"ssh-keygen refuses: {' '.join(done.stderr.split())[-300:]}")
    return done.stdout
