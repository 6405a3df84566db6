"""What an archive holds: a release of Lizmap Web Client, or a plugin for QGIS Server.

What an archive is, it says itself; its file name may say anything.
"""

from __future__ import annotations

import configparser
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from ansible.module_utils.poppyfield.host import foreign_xml
from ansible.module_utils.poppyfield.lizmap import archive_bounds

LIZMAP = "lizmap-web-client"
PLUGIN = "qgis-server-plugin"
KINDS = (LIZMAP, PLUGIN)
LARGEST_TEXT = 1024**2
PROJECT_NAMESPACE = "{http://jelix.org/ns/project/1.0}"
"""That of Lizmap's project.xml."""
REQUIREMENTS = {"qgisServer": "qgis_server", "lizmapServerPlugin": "lizmap_server"}
"""Name of a requirement in Lizmap's configuration -> name that we give it."""


class ArchiveError(Exception):
    """The archive does not hold what it should; the text says what is wrong, and what would be right."""


@dataclass(frozen=True)
class ArchiveContent:
    """What an archive holds."""

    name: str
    version: str
    requires: dict[str, str] = field(default_factory=dict)
    """The least versions of what it works with: qgis_server, lizmap_server."""


def look_into(path: Path, kind: str, *, thoroughly: bool = False) -> ArchiveContent:
    """Say what the archive holds; raise ArchiveError when it is not of this kind, or one that harms who unpacks it.

    `thoroughly` also reads all of it, to see that it is what its list of contents says.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            archive_bounds.check(archive, path.stat().st_size)
            if thoroughly:
                archive_bounds.check_contents(archive)
            return _lizmap(archive) if kind == LIZMAP else _plugin(archive)
    except archive_bounds.BoundsError as error:
        raise ArchiveError(str(error)) from error
    except (zipfile.BadZipFile, RuntimeError, EOFError, zlib.error) as error:
        # A RuntimeError tells that it is encrypted, or packed in an unknown way.
        raise ArchiveError(f"it is not a zip archive, or a damaged one ({error}).") from error
    except configparser.Error as error:
        raise ArchiveError(f"one of its files of settings cannot be read ({error}).") from error
    except OSError as error:
        raise ArchiveError(f"the disk does not give all of it ({error.strerror}).") from error


def _lizmap(archive: zipfile.ZipFile) -> ArchiveContent:
    right = (
        "Give lizmap-web-client-VERSION.zip from the assets of a release; the archives of source code, which the same "
        "page offers, cannot be used."
    )
    top = _top_folder(archive, right)
    for needed in ("lizmap/project.xml", "lizmap/install/installer.php", "lizmap/vendor/autoload.php"):
        if f"{top}/{needed}" not in archive.namelist():
            raise ArchiveError(f"it is no release of Lizmap Web Client, because {needed} is not in it. {right}")
    try:
        project = foreign_xml.parse(_read(archive, f"{top}/lizmap/project.xml"))
    except foreign_xml.XmlError as error:
        raise ArchiveError(f"its lizmap/project.xml cannot be read ({error}). {right}") from error
    version = project.findtext(f"{PROJECT_NAMESPACE}info/{PROJECT_NAMESPACE}version", "").strip()
    if not version:
        raise ArchiveError(f"its lizmap/project.xml does not tell its version. {right}")
    settings = _ini(archive, f"{top}/lizmap/app/system/mainconfig.ini.php")
    needs = settings["minimumRequiredVersion"] if settings.has_section("minimumRequiredVersion") else {}
    found = {ours: needs[theirs].strip('"') for theirs, ours in REQUIREMENTS.items() if needs.get(theirs)}
    return ArchiveContent(LIZMAP, version, found)


def _plugin(archive: zipfile.ZipFile) -> ArchiveContent:
    right = "Give the plugin's archive from the assets of a release, with the plugin's folder and metadata.txt in it."
    top = _top_folder(archive, right)
    metadata = _ini(archive, f"{top}/metadata.txt")
    version = metadata.get("general", "version", fallback="")
    if not version:
        raise ArchiveError(f"it is no plugin for QGIS, because it has no {top}/metadata.txt with a version. {right}")
    if (metadata.get("general", "server", fallback="") or "").lower() not in {"true", "yes", "1"}:
        raise ArchiveError(f"{top} {version} is not for QGIS Server, as its metadata.txt says. {right}")
    least = metadata.get("general", "qgisMinimumVersion", fallback="")
    return ArchiveContent(top, version, {"qgis_server": least} if least else {})


def _top_folder(archive: zipfile.ZipFile, right: str) -> str:
    tops = sorted({name.split("/", 1)[0] for name in archive.namelist()})
    if len(tops) != 1 or not any(name.startswith(f"{tops[0]}/") for name in archive.namelist()):
        raise ArchiveError(f"it must hold one folder, not {', '.join(tops[:5]) or 'nothing'}. {right}")
    return tops[0]


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > LARGEST_TEXT:
        raise ArchiveError(f"its {name} is larger than such a file is.")
    return archive.read(name)


def _ini(archive: zipfile.ZipFile, name: str) -> configparser.ConfigParser:
    """Read a file of settings; an empty one when it is not there."""
    parser = configparser.ConfigParser(
        interpolation=None, strict=False, allow_no_value=True, comment_prefixes=(";", "#")
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    if name in archive.namelist():
        text = _read(archive, name).decode("utf-8", errors="replace")
        parser.read_string(f"[above]\n{text}")
    return parser
