#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An archive that is fetched once and stays the one that was first seen."""

from __future__ import annotations

DOCUMENTATION = r"""
module: recorded_archive
short_description: Fetch an archive once and hold it to the checksum of its first sight
description:
  - For archives whose publisher gives no checksum. The SHA-256 of the first sight is recorded beside the inventory,
    and from then on any other content is refused.
  - A URL is downloaded once into O(folder); a file is read where it is.
  - Runs on the controller (delegate it to localhost).
options:
  source:
    description: A URL (https, or http where O(sha256) is given) or the path of a file.
    type: str
    required: true
  record:
    description: The text file, in the format of sha256sum, that holds the recorded checksums. Made when it is missing.
    type: path
    required: true
  folder:
    description: Where downloads are kept.
    type: path
    required: true
  sha256:
    description: The checksum that is demanded; it takes precedence over the recorded one.
    type: str
    default: ""
  holds:
    description:
      - What the archive must hold, as it says itself, not its file name. Another one is refused before it is recorded.
      - V(lizmap-web-client) is a release of Lizmap Web Client.
      - V(qgis-server-plugin) is a plugin for QGIS Server.
    type: str
    choices: [lizmap-web-client, qgis-server-plugin]
attributes:
  check_mode:
    description: Compares, but records nothing.
    details: A URL is downloaded, since its checksum can't be known without that.
    support: partial
  diff_mode:
    description: Shows no difference.
    support: none
  idempotent:
    description: A second run finds what was recorded and changes nothing.
    support: full
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Fetch Lizmap Web Client
  recorded_archive:
    source: https://example.org/lizmap-web-client-3.9.11.zip
    record: "{{ inventory_dir }}/archives.sha256"
    folder: ~/.cache/poppyfield/archives
    holds: lizmap-web-client
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The archive on the controller.
  returned: success
  type: str
sha256:
  description: Its checksum.
  returned: success
  type: str
first_sight:
  description: Whether this run recorded the checksum (or, in check mode, would have).
  returned: success
  type: bool
name:
  description: V(lizmap-web-client), or the name of the plugin.
  returned: when O(holds) was given
  type: str
version:
  description: The version that the archive tells.
  returned: when O(holds) was given
  type: str
requires:
  description: The least versions of QGIS Server (C(qgis_server)) and C(lizmap_server) that it works with.
  returned: when O(holds) was given
  type: dict
"""

import hashlib
import stat
from dataclasses import asdict
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.lizmap.archive import KINDS, ArchiveError, look_into
from ansible.module_utils.poppyfield.lizmap.recorded_archive import (
    WITHOUT_HTTPS,
    RecordError,
    format_record,
    is_url,
    name_of,
    needs_digest,
    parse_record,
    problem,
)

ARGUMENTS: dict[str, Any] = {
    "source": {"type": "str", "required": True},
    "record": {"type": "path", "required": True},
    "folder": {"type": "path", "required": True},
    "sha256": {"type": "str", "default": ""},
    "holds": {"type": "str", "choices": list(KINDS)},
}
DOWNLOAD_TIMEOUT_SECONDS = 60
LARGEST_DOWNLOAD = 1024**3
CHUNK = 1024**2


class ToHttps(HTTPRedirectHandler):
    """Follows no redirect to an address by which anybody on the way could send another file."""

    def redirect_request(self, *given: Any) -> Request | None:
        """Give the next request."""
        *_, address = given
        if not address.lower().startswith("https://"):
            raise OSError(f"it redirects to {address}, which is not https, and no SHA-256 is given")
        return super().redirect_request(*given)


def cached_download(url: str, folder: Path, *, known: bool) -> Path:
    """Download the URL unless it was before; the file appears only when it is whole.

    `known` tells that its SHA-256 is, so that it does not matter who sends the file.
    """
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    target = folder / f"{key}-{name_of(url)}"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file.replacing(target) as partial:
        opener = build_opener(*([] if known else [ToHttps]))
        with opener.open(Request(url), timeout=DOWNLOAD_TIMEOUT_SECONDS) as answer:  # noqa: S310 - is_url looked at it
            while chunk := answer.read(CHUNK):
                partial.write(chunk)
                if partial.tell() > LARGEST_DOWNLOAD:
                    raise OSError(f"it has more than {LARGEST_DOWNLOAD // 1024**2} MB")
            promised = answer.headers.get("Content-Length")
        # Python takes a connection that breaks for the end of the file.
        if promised and partial.tell() != int(promised):
            raise OSError(f"it broke off after {partial.tell()} of {promised} bytes")
    return target


def archive_path(source: str, folder: Path, *, known: bool) -> Path:
    """Return the archive's file on the controller."""
    return cached_download(source, folder, known=known) if is_url(source) else Path(source).expanduser()


def sha256_of(path: Path) -> str:
    """Return the file's SHA-256 as hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_record(path: Path) -> dict[str, str]:
    """Return what was recorded; nothing where there is no record yet."""
    try:
        record: dict[str, str] = parse_record(path.read_bytes(), str(path))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RecordError(f"The record {path} cannot be read: {error.strerror}. Mend that, then run again.") from error
    return record


def write_record(path: Path, record: dict[str, str]) -> None:
    """Write the record, with the mode that it has; one that is a link stays one."""
    try:
        target = path.resolve()
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
        atomic_file.write(target, format_record(record), mode=mode)
    except OSError as error:
        raise RecordError(
            f"The record {path} cannot be written: {error.strerror}. Its folder must exist and be yours to write."
        ) from error


def converge(params: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Fetch the archive, hold it against its record, and look into it; give the module's return values."""
    source, record_path = params["source"], Path(params["record"])
    name = name_of(source)
    if needs_digest(source) and not params["sha256"]:
        raise RecordError(f"{source}: {WITHOUT_HTTPS}")
    try:
        path = archive_path(source, Path(params["folder"]), known=bool(params["sha256"]))
        actual = sha256_of(path)
    # A URL may be none, and a home be nobody's.
    except (OSError, HTTPException, RuntimeError, ValueError) as error:
        raise RecordError(
            f"can't read {source}: {error}. Download it elsewhere and give the file's path instead."
        ) from error
    record = read_record(record_path)
    wrong = problem(name, actual, params["sha256"] or None, record.get(name), str(record_path))
    if wrong:
        raise RecordError(wrong)
    is_new = record.get(name) != actual
    try:
        found = asdict(look_into(path, params["holds"], thoroughly=is_new)) if params["holds"] else {}
    except ArchiveError as error:
        again = f" To download it again, remove {path}." if is_url(source) else ""
        raise RecordError(f"{source} is not what it should be: {error}{again}") from error
    first_sight = name not in record
    if first_sight and not check_mode:
        write_record(record_path, {**record, name: actual})
    result = {"changed": first_sight, "path": str(path.resolve()), "sha256": actual, "first_sight": first_sight}
    return {**result, **found}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = converge(module.params, check_mode=module.check_mode)
    except RecordError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
