"""Packs the stand-ins for Lizmap Web Client and its plugin lizmap_server as releases are packed: always the same bytes.

`python -m tests.doubles.lizmap_web_client.archive FOLDER` prints the variables of the roles that name them.

Their versions are such as 3.9.0-double.2 and 2.13.1-double: new enough for every check, but with a word that no release
has. They sort before each release of 3.9, so that Lizmap itself, put in their place, is an upgrade. Of Lizmap there are
two, 1 and 2; the second has another table and another setting, which it needs, and makes when it is an upgrade.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that such an archive can tell."""
OF_PROFILE = {
    "trixie": {"lizmap": "3.9.0", "plugin": "2.13.1", "needs_plugin": "2.13.0", "needs_qgis": "3.34"},
    "bookworm": {"lizmap": "3.7.0", "plugin": "2.12.1", "needs_plugin": "2.12.0", "needs_qgis": "3.22"},
}
"""The versions that stand in for releases which go with the images of a profile."""


def variables(folder: Path, profile: str = "trixie", number: int = 2) -> dict[str, str]:
    """Write the archives into the folder; give the variables that name them.

    With their checksums, because another one than that of the last time is no fault here.
    """
    versions = OF_PROFILE[profile]
    lizmap, plugin = f"{versions['lizmap']}-double.{number}", f"{versions['plugin']}-double"
    given: dict[str, str] = {}
    for variable, top, file in (
        ("lizmap_archive", "lizmap-web-client", f"lizmap-web-client-{lizmap}.zip"),
        ("lizmap_server_plugin", "lizmap_server", f"lizmap_server-{plugin}.zip"),
    ):
        path = _packed(top, folder / file, {**versions, "lizmap": lizmap, "plugin": plugin})
        given |= {variable: str(path), f"{variable}_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return given


def _packed(top: str, path: Path, versions: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((HERE / top).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                name = str(file.relative_to(HERE))
                archive.writestr(zipfile.ZipInfo(name, EARLIEST), _with_versions(file, versions))
    return path


def _with_versions(file: Path, versions: dict[str, str]) -> str | bytes:
    """Give a file's content, with these versions in the places of its own."""
    patterns = {
        "project.xml": {r"(<version [^>]*>)[^<]+": "lizmap"},
        "metadata.txt": {r"(version=).+": "plugin", r"(qgisMinimumVersion=).+": "needs_qgis"},
        "mainconfig.ini.php": {r'(qgisServer=")[^"]+': "needs_qgis", r'(lizmapServerPlugin=")[^"]+': "needs_plugin"},
    }
    if file.name not in patterns:
        return file.read_bytes()
    text = file.read_text("utf-8")
    for pattern, version in patterns[file.name].items():
        text, found = re.subn(rf"(?m)^(\s*){pattern}", rf"\g<1>\g<2>{versions[version]}", text)
        assert found == 1, (file, pattern)
    return text


if __name__ == "__main__":
    print(json.dumps(variables(Path(sys.argv[1])), indent=2))
