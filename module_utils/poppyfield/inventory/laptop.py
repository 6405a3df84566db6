"""What the check of an inventory asks this laptop: files, folders, certificates. The only effect of the check."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from ansible.module_utils.poppyfield.basemaps import digests, tiles_file
from ansible.module_utils.poppyfield.basemaps.tiles_file import TilesFile, TilesFileError
from ansible.module_utils.poppyfield.host import fleet_authority
from ansible.module_utils.poppyfield.host.certificates import CertificateError, parse_certificate, problems, public_key
from ansible.module_utils.poppyfield.postgis import dump_file

READ_CERTIFICATE = "x509 -noout -dates -dateopt iso_8601 -subject -issuer -ext subjectAltName -pubkey -in"
READ_KEY = "pkey -passin pass: -pubout -in"


class Laptop(Protocol):
    """Where the check runs."""

    own_settings: Mapping[str, Any]
    """The settings of Lizmap that the image keeps for itself."""

    def is_file(self, path: str) -> bool:
        """Tell whether it is a file."""

    def is_folder(self, path: str) -> bool:
        """Tell whether it is a folder."""

    def dump_file(self, path: str) -> dump_file.DumpFile:
        """Read what a file for the database says of itself."""

    def tiles_file(self, path: str) -> TilesFile | TilesFileError:
        """Read what a file of tiles says of itself, or what is wrong with it."""

    def sha256(self, path: str, cache_folder: Path) -> str:
        """Give the SHA-256 of a large file, which the cache folder remembers."""

    def certificate_problem(self, certificate: str, key: str, names: Sequence[str]) -> str:
        """Say why a certificate and its key will not do; empty when they will, or when nobody can tell here."""

    def authority_problem(
        self, folder: str, passphrase: str, names: Sequence[str]
    ) -> fleet_authority.AuthorityError | None:
        """Say why the fleet's authority could not sign for these names; None when it could."""


class ThisLaptop:
    """The laptop that runs Ansible."""

    def __init__(self, own_settings: Path, *, makes_authority: bool = False) -> None:
        """Where a run makes the authority, nothing is asked of one."""
        self.own_settings: Mapping[str, Any] = json.loads(own_settings.read_text("utf-8"))
        self._makes_authority = makes_authority

    def is_file(self, path: str) -> bool:
        """Tell whether it is a file."""
        return _is(Path.is_file, path)

    def is_folder(self, path: str) -> bool:
        """Tell whether it is a folder."""
        return _is(Path.is_dir, path)

    def dump_file(self, path: str) -> dump_file.DumpFile:
        """Read what a file for the database says of itself."""
        place = local_path(path)
        try:
            return _read_dump(place)
        except OSError as error:
            return dump_file.DumpFile(broken=f"it can't be read ({error.strerror})")

    def tiles_file(self, path: str) -> TilesFile | TilesFileError:
        """Read what a file of tiles says of itself, or what is wrong with it."""
        try:
            return _read_tiles(local_path(path))
        except TilesFileError as error:
            return error
        except OSError as error:
            return TilesFileError(f"it can't be read ({error.strerror})", "Make it readable for yourself")

    def sha256(self, path: str, cache_folder: Path) -> str:
        """Give the SHA-256 of a large file, which the cache folder remembers."""
        return digests.of_file(local_path(path), cache_folder)

    def certificate_problem(self, certificate: str, key: str, names: Sequence[str]) -> str:
        """Say why a certificate and its key will not do; empty when they will, or when there is no openssl here."""
        try:
            read = _openssl(READ_CERTIFICATE, certificate, "is not a certificate in PEM, or cannot be read")
            public = _openssl(READ_KEY, key, "is not a key in PEM, has a passphrase, or cannot be read")
            return "; ".join(problems(parse_certificate(read), public_key(public), names, datetime.now(UTC)))
        except FileNotFoundError:
            return ""
        except CertificateError as error:
            return str(error)
        except (KeyError, ValueError):
            return f"openssl tells no dates of {certificate}"

    def authority_problem(
        self, folder: str, passphrase: str, names: Sequence[str]
    ) -> fleet_authority.AuthorityError | None:
        """Say why the fleet's authority could not sign for these names; None when it could, or is yet to be made."""
        if self._makes_authority:
            return None
        try:
            place = local_path(folder)
            certificate = fleet_authority.read(place)
            fleet_authority.check_pair(certificate, _opened(place, passphrase))
            fleet_authority.check(certificate, names, datetime.now(UTC))
        except fleet_authority.AuthorityError as error:
            return error
        return None


# Each opening takes a while, and all Pis have the same authority.
_opened = cache(fleet_authority.unlock)
# The same of a big file, for all Pis of a run.
_read_dump = cache(dump_file.read)
_read_tiles = cache(tiles_file.read)


def local_path(path: str) -> Path:
    """Give a path of this laptop as a person writes it, with ~ for a home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _is(kind: Callable[[Path], bool], path: str) -> bool:
    try:
        return kind(local_path(path))
    except OSError:
        return False


def _openssl(arguments: str, path: str, otherwise: str) -> str:
    done = subprocess.run(
        ["openssl", *arguments.split(), str(local_path(path))],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise CertificateError(f"{path} {otherwise}")
    return done.stdout
