"""Packs the stand-ins for Lizmap Web Client and its plugin lizmap_server as releases are packed: always the same bytes.

`python -m tests.doubles.lizmap_web_client.archive FOLDER` prints the variables of the roles that name them.

Their versions are 3.9.0-double and 2.13.1-double: new enough for every check, but with a word that no release has. The
first sorts before each release of 3.9, so that Lizmap itself, put in its place, is an upgrade.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that such an archive can tell."""


def variables(folder: Path) -> dict[str, str]:
    """Write the archives into the folder; give the variables that name them.

    With their checksums, because another one than that of the last time is no fault here.
    """
    given: dict[str, str] = {}
    for variable, top, file in (
        ("lizmap_archive", "lizmap-web-client", "lizmap-web-client-3.9.0-double.zip"),
        ("lizmap_server_plugin", "lizmap_server", "lizmap_server-2.13.1-double.zip"),
    ):
        path = _packed(top, folder / file)
        given |= {variable: str(path), f"{variable}_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return given


def _packed(top: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((HERE / top).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.writestr(zipfile.ZipInfo(str(file.relative_to(HERE)), EARLIEST), file.read_bytes())
    return path


if __name__ == "__main__":
    print(json.dumps(variables(Path(sys.argv[1])), indent=2))
