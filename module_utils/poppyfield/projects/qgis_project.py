"""What is wrong with a QGIS project before it leaves the laptop, layer by layer, and how to mend it in QGIS Desktop.

Pure: works on the text of a project and the names of the files beside it. What needs the database or QGIS Server itself
is asked for in the container, see server_checks.
"""

from __future__ import annotations

import io
import json
import math
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from ansible.module_utils.poppyfield.host import foreign_xml
from ansible.module_utils.poppyfield.projects import passwords, slow_layers
from ansible.module_utils.poppyfield.projects.drawn_texts import fonts_of, lacking_fonts
from ansible.module_utils.poppyfield.projects.findings import GIVE_SHORT_NAME, WITH_COMMA, ProjectFinding
from ansible.module_utils.poppyfield.projects.folder_difference import is_published
from ansible.module_utils.poppyfield.projects.names import (
    as_read,
    can_be_asked,
    lizmap_shows,
    project_for_lizmap,
    without_accents,
)
from ansible.module_utils.poppyfield.projects.passwords import WrittenIn
from ansible.module_utils.poppyfield.projects.published_folder import BASEMAPS
from ansible.module_utils.poppyfield.projects.qgis_source import MESH, Kind, Source, is_absolute, read_source
from ansible.module_utils.poppyfield.projects.slow_layers import Drawing, FileFacts

SERVICE = "poppyfield"
ENDINGS = (".qgs", ".qgz")
LARGEST_PROJECT = 64 * 1024 * 1024
"""What a project has, or unpacks to, at most; real ones have some megabytes."""
PARTS_OF_SHAPEFILE = (".dbf", ".shx")
MEMORY_OF_TEXT = {".geojson": 0.4, ".json": 0.4, ".csv": 3.2, ".kml": 21.3, ".gml": 0.2, ".gpx": 0.1}
"""How many times the size of a file of text each worker takes of memory at most, by `make bench-text`."""
LARGE_TEXT = 10 * 1024 * 1024
"""From here on a file of text is told of: each worker reads it as a whole."""
IN_A_DATABASE = ("postgresql:", "geopackage:")
"""How the paths of projects begin that are stored in a database."""
EDITABLE = {"postgres"}
"""Providers whose layers people can edit: the files of a repository are read-only in the container."""

RELATIVE_PATHS = (
    "In QGIS Desktop, set Project > Properties > General > Save paths to Relative, save the project, and run again."
)
INTO_FOLDER = (
    "Copy the file into the project's folder, point the layer there in QGIS Desktop (right-click the layer > Change "
    "Data Source), save the project, and run again."
)
USE_SERVICE = (
    f"In QGIS Desktop, make a PostgreSQL connection whose Service is {SERVICE} and whose other fields are empty, point "
    "the layer to it (right-click the layer > Change Data Source), save the project, and run again."
)
SAVE_AS_FILE = (
    "In QGIS Desktop, open that project, save it with Project > Save As as 'QGIS files (*.qgs)' in this folder, embed "
    "the layers or groups from there, save this project, and run again."
)
INTO_GEOPACKAGE = (
    "In QGIS Desktop, export the layer as a GeoPackage, which has a spatial index, into the project's folder "
    "(right-click the layer > Export), use that in its place, save the project, and run again."
)
WITHOUT_PASSWORD = {
    Kind.DATABASE: USE_SERVICE,
    Kind.OTHER_DATABASE: "Export the layer to a GeoPackage in the project's folder, or load it into the Pi's PostGIS.",
}
NO_LOGIN = (
    "Take the login out of the layer's address (right-click the layer > Change Data Source), or export the layer to a "
    "GeoPackage or GeoTIFF in the project's folder and use that; save the project, and run again."
)
FORGET_SOURCE = (
    "A form's value relation or relation keeps the source of the layer that it chooses from. Point that layer to the "
    f"service {SERVICE}, choose it again in this layer's Properties > Attributes Form, save the project, and run again."
)
FORGET_SOURCE_OUTSIDE = f"It is in the connection of a layout, a relation or a layer tree. {USE_SERVICE}"
REMOVE_FROM_TEXT = (
    "It is in a text: an action, a map tip, a form's code, a macro, a label of a layout or an address in the metadata. "
    "Take it out there in QGIS Desktop, save the project, and run again."
)
# QGIS leaves out of some kinds of layers what Lizmap 3.9 wants of each, and then it reads nothing of the project.
WANTED_BY_LIZMAP = ("provider", "map-layer-style-manager")
WITHOUT_MESH = (
    "Make a raster or lines of it (Processing > Mesh > Rasterize mesh dataset, or Export contours) in the project's "
    "folder, use that in its place, remove the mesh from the project, save, apply the Lizmap plugin, and run again."
)
NOT_READ_BY_LIZMAP = {
    "mesh": ("a layer with a mesh", WITHOUT_MESH),
    "group": (
        "a group that is drawn as one layer",
        "In QGIS Desktop choose the group, untick Layer Styling > Render layers as a group, save, apply the Lizmap "
        "plugin, and run again. The plugin itself can show a group as one layer.",
    ),
    "annotation": (
        "a layer of annotations",
        "Draw them in a GeoPackage in the project's folder, remove the layer of annotations, save, apply the Lizmap "
        "plugin, and run again.",
    ),
}
"""Kinds of layers, in words, and what helps."""
OLD_KIND = (
    "a layer as only an old QGIS saves it",
    "Open the project in QGIS Desktop 3.40, save it there, apply the Lizmap plugin, and run again.",
)
READABLE = "there is a password in it, which everybody who gets the file can read."
AUTHENTICATION = re.compile(r"\bauthcfg='?[A-Za-z0-9]{7}\b")
VERSION = re.compile(r"(\d+)\.(\d+)")
TABLE = re.compile(r'\btable="([^"]+)"(?:\."([^"]+)")?')


class ProjectError(Exception):
    """A file that is no QGIS project, in a sentence."""


@dataclass(frozen=True)
class ProjectLayer:
    """A layer as the project describes it."""

    id: str
    name: str
    provider: str
    source: str
    embedded_in: str = ""
    """The other project that holds it."""
    has_password: bool = False
    """Its own source does."""
    passwords: frozenset[WrittenIn] = frozenset()
    """Where else it has one: in the sources that its form keeps of other layers, or in texts."""
    pictures: tuple[str, ...] = ()
    """Files of pictures that its symbols show."""
    name_in_wms: str = ""
    """By which maps ask for it, unless they ask by its id; empty when nobody does."""
    datasets: tuple[str, ...] = ()
    """Files that a mesh has beside its own: results at its points."""
    not_read_by_lizmap: tuple[str, str] | None = None
    """What it is for which Lizmap does not read its project, and what helps."""
    drawing: Drawing = field(default_factory=Drawing)
    """How it is drawn, as far as that makes it slow."""


@dataclass(frozen=True)
class Project:
    """A QGIS project."""

    version: tuple[int, int]
    layers: tuple[ProjectLayer, ...]
    passwords: frozenset[WrittenIn] = frozenset()
    """Outside of its layers."""
    pictures: tuple[str, ...] = ()
    asked_by_id: bool = False
    """Whether maps ask for its layers by their ids."""
    excluded: frozenset[str] = frozenset()
    """Names of layers that are not published."""
    groups: frozenset[str] = frozenset()
    """Names of groups of layers."""
    embedded_groups: tuple[tuple[str, str], ...] = ()
    """Groups that are those of another project, each with the path of that; their layers are in it only."""
    listed: frozenset[str] = frozenset()
    """Ids of the layers that people see in the list."""
    ticked: frozenset[str] = frozenset()
    """Ids of the layers that show when the map opens."""
    fonts: frozenset[str] = frozenset()
    """Families of the fonts that its labels and layouts are written in."""
    layouts: tuple[str, ...] = ()
    """Names of its layouts for printing."""


class Expected(NamedTuple):
    """What the projects are for."""

    qgis_server: tuple[int, int]
    lizmap: bool
    accept_newer_qgis: bool = False
    internet: bool = False
    """Whether layers may come from servers."""
    basemaps: frozenset[str] = frozenset()
    """The files of base maps that each Pi has beside the projects' folders."""


@dataclass(frozen=True)
class RepositoryFolder:
    """What a repository's folder holds: relative names of files with their sizes, as they are to be published."""

    repository: str
    files: Mapping[str, int]
    open_files: Mapping[str, int] = field(default_factory=dict)
    """SQLite's files of unfinished work (-wal, -journal), which are not published."""
    facts: Mapping[tuple[str, str], FileFacts] = field(default_factory=dict)
    """What the heads of some files tell, see data_files."""

    def has(self, path: str) -> bool:
        """Tell whether there is such a file, or a folder with files."""
        below = "" if path == "." else f"{path}/"
        return path in self.files or any(name.startswith(below) for name in self.files)

    def named(self, name: str) -> str:
        """Give the first file or folder that has this name, wherever it is."""
        folders = {str(folder) for file in self.files for folder in PurePosixPath(file).parents}
        return next((path for path in sorted({*self.files, *folders}) if PurePosixPath(path).name == name), "")

    def nearly(self, path: str) -> str:
        """Give the file or folder that a person reads the same, but for upper and lower case."""
        folders = {str(folder) for file in self.files for folder in PurePosixPath(file).parents}
        return next((name for name in sorted({*self.files, *folders}) if as_read(name) == as_read(path)), "")

    def projects(self) -> list[str]:
        """Name the projects that can be published: those at the top of the folder."""
        return sorted(name for name in self.files if name.lower().endswith(ENDINGS) and "/" not in name)


def published_maps(names: Iterable[str]) -> list[str]:
    """Give the names by which the projects among these files of a folder are asked for."""
    return sorted({PurePosixPath(name).stem for name in names if is_published(name) and name.endswith(ENDINGS)})


# Reading -------------------------------------------------------------------------------------------------------------


def parse_version(text: str) -> tuple[int, int]:
    """Read the version that QGIS writes into a project, such as 3.40.6-Bratislava."""
    found = VERSION.match(text)
    if found is None:
        raise ProjectError(f"it does not tell which QGIS saved it ('{text[:40]}').")
    return int(found[1]), int(found[2])


def unpacked_name(name: str) -> str:
    """Give the name under which a project or its .cfg is published where no .qgz can be shown."""
    return re.sub(r"\.qgz(\.cfg)?$", r".qgs\1", name)


def lost_in_unpacking(content: bytes) -> list[str]:
    """Name what a .qgz holds besides the project."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return sorted(name for name in archive.namelist() if not name.lower().endswith(".qgs"))
    except (zipfile.BadZipFile, NotImplementedError, OSError):
        return []


def unpack(name: str, content: bytes) -> bytes:
    """Give the project's XML: the file itself, or what a .qgz holds."""
    if len(content) > LARGEST_PROJECT:
        raise ProjectError(f"it is larger than {LARGEST_PROJECT // 1024**2} MB.")
    if not name.lower().endswith(".qgz"):
        return content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".qgs")]
            if len(inside) != 1:
                raise ProjectError(f"it holds {len(inside)} .qgs files instead of one.")
            if inside[0].file_size > LARGEST_PROJECT:
                raise ProjectError(f"what it holds unpacks to more than {LARGEST_PROJECT // 1024**2} MB.")
            return archive.read(inside[0])
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error) as error:
        raise ProjectError(f"it is no zip file, as a .qgz must be ({error}).") from error


def parse_project(name: str, content: bytes) -> Project:
    """Read a project."""
    try:
        root = foreign_xml.parse(unpack(name, content))
    except foreign_xml.XmlError as error:
        raise ProjectError(f"it is no XML ({error}): the file is damaged or was not saved whole.") from error
    if root.tag != "qgis":
        raise ProjectError(f"it is no project but a file of another kind (<{root.tag[:40]}>).")
    elements = root.findall("./projectlayers/maplayer")
    inside = {id(part) for element in elements for part in element.iter()}
    outside = [part for part in root.iter() if id(part) not in inside]
    tree = root.find("./layer-tree-group")
    nodes = [] if tree is None else list(tree.iter("layer-tree-layer"))
    groups = [] if tree is None else [group for group in tree.iter("layer-tree-group") if group is not tree]
    names = {node.get("id", ""): node.get("name", "") for node in nodes}
    embedded = ((group.get("name", ""), _property(group, "embedded_project")) for group in groups)
    private = {element.findtext("id") for element in elements if element.findtext("./flags/Private") == "1"}
    return Project(
        version=parse_version(root.get("version", "")),
        layers=tuple(_layer(element, names) for element in elements),
        passwords=passwords.find(outside),
        asked_by_id=root.findtext("./properties/WMSUseLayerIDs", "").strip() == "true",
        excluded=frozenset(value.text or "" for value in root.findall("./properties/WMSRestrictedLayers/value")),
        pictures=tuple(_pictures(outside)),
        groups=frozenset(group.get("name", "") for group in groups),
        embedded_groups=tuple((name, path) for name, path in embedded if path),
        listed=frozenset(names) - private,
        ticked=frozenset() if tree is None else frozenset(_ticked(tree)),
        fonts=frozenset(fonts_of(root)),
        layouts=tuple(layout.get("name", "") for layout in root.findall("./Layouts/Layout")),
    )


def _ticked(group: Any) -> Iterator[str]:
    """Give the ids of the layers that show: those that are ticked, with all groups that they are in."""
    for node in group:
        if node.get("checked") == "Qt::Unchecked":
            continue
        if node.tag == "layer-tree-layer":
            yield node.get("id", "")
        elif node.tag == "layer-tree-group":
            yield from _ticked(node)


def _property(element: Any, name: str) -> str:
    """Give a property that a plugin or QGIS itself hung on a group; QGIS 3.22 and 3.40 write them in two ways."""
    for part in element.findall("./customproperties//*"):
        if name in (part.get("name"), part.get("key")):
            return str(part.get("value", ""))
    return ""


def _layer(element: Any, names: Mapping[str, str]) -> ProjectLayer:
    parts = list(element.iter())
    source = (element.findtext("datasource") or "").strip()
    key = element.findtext("id") or element.get("id") or ""
    # Of one that is embedded the list of layers alone has the name.
    name = element.findtext("layername") or element.get("name") or names.get(key) or key
    return ProjectLayer(
        id=key,
        name=name.strip() or "(without a name)",
        provider=(element.findtext("provider") or "").strip(),
        source=source,
        embedded_in=element.get("project", "") if element.get("embedded") == "1" else "",
        has_password=passwords.is_in_source(source),
        passwords=passwords.find(part for part in parts if part.tag != "datasource"),
        name_in_wms="" if element.get("geometry") == "No geometry" else element.findtext("shortname") or name,
        datasets=tuple(uri.text or "" for uri in element.findall("./extra-datasets/uri")),
        pictures=tuple(_pictures(parts)),
        not_read_by_lizmap=_not_read_by_lizmap(element),
        drawing=slow_layers.read_drawing(element, source),
    )


def _not_read_by_lizmap(element: Any) -> tuple[str, str] | None:
    # Of an embedded one Lizmap reads the other project, and goes on without it.
    if element.get("embedded") == "1" or all(element.find(part) is not None for part in WANTED_BY_LIZMAP):
        return None
    return NOT_READ_BY_LIZMAP.get(element.get("type", ""), OLD_KIND)


def _pictures(elements: Iterable[Any]) -> Iterator[str]:
    """Give the paths of pictures in symbols and layouts."""
    for element in elements:
        if element.tag == "LayoutItem" and element.get("file"):
            yield element.get("file")
        if element.tag == "layer" and re.search(r"svg|raster", element.get("class", ""), re.IGNORECASE):
            for option in element.iter():
                key = option.get("name") or option.get("k")
                value = option.get("value") or option.get("v") or ""
                if key in ("name", "svgFile", "imageFile") and not value.startswith(("base64:", "http:", "https:")):
                    yield value


def from_internet(project: Project) -> list[ProjectLayer]:
    """Give the layers that come from the internet: tiles when they are drawn, others when the project opens."""
    return [layer for layer in project.layers if _kind_of(layer) in (Kind.TILES, Kind.SERVER)]


def _kind_of(layer: ProjectLayer) -> Kind:
    return read_source(layer.provider, layer.source).kind


def names_from_internet(project: Project) -> frozenset[str]:
    """Name the layers that come from the internet, as maps ask for them."""
    return frozenset(_asked_name(project, layer) for layer in from_internet(project))


def names_from_servers(project: Project) -> frozenset[str]:
    """Name those of them that a map lacks while their servers are not reached."""
    return frozenset(
        _asked_name(project, layer)
        for layer in from_internet(project)
        if _kind_of(layer) is Kind.SERVER and layer.name_in_wms and layer.name not in project.excluded
    )


def _asked_name(project: Project, layer: ProjectLayer) -> str:
    return layer.id if project.asked_by_id else layer.name_in_wms


def describe(project: Project) -> dict[str, dict[str, Any]]:
    """Give for each layer, by its id, what a message on the Pi needs.

    Its name; about, the table or file of its data in words; written, how QGIS Server's log names that; database, set
    when the data are in one, and server when they come from one. Of a table also place, its schema, name and column,
    and always, whether all of it is drawn at all scales.
    """
    return {layer.id: {"name": layer.name, **_about(layer)} for layer in project.layers}


def _about(layer: ProjectLayer) -> dict[str, Any]:
    if layer.embedded_in:
        return {"about": f"the layer of {layer.embedded_in} that it is", "embedded_in": layer.embedded_in}
    source = read_source(layer.provider, layer.source)
    if source.kind is Kind.FILE:
        part = re.findall(r"\|layername=([^|]+)", layer.source)
        return {"about": f"the file {source.path}", "written": [PurePosixPath(source.path).name, *part]}
    if source.kind is not Kind.DATABASE:
        return {"about": "its source", **({"server": True} if source.kind is Kind.SERVER else {})}
    table = TABLE.search(layer.source)
    if table is None:
        return {"about": "its table", "database": True}
    names = [part for part in table.groups() if part]
    place = slow_layers.read_place(layer.source)
    return {
        **{"about": f"the table {'.'.join(names)}", "written": [table[0][len("table=") :]], "database": True},
        **({"place": list(place), "always": layer.drawing.always} if place else {}),
    }


# Judging -------------------------------------------------------------------------------------------------------------


def check_folder(folder: RepositoryFolder, contents: Mapping[str, bytes], expected: Expected) -> list[ProjectFinding]:
    """Give everything that is wrong with a repository; `contents` holds the projects and their .cfg files."""
    found = [*_check_names(folder, lizmap=expected.lizmap), *_check_unfinished(folder)]
    for name in folder.projects():
        found += check_project(folder, name, contents, expected)
    return found + _check_parents(folder, contents, found)


def _check_parents(
    folder: RepositoryFolder, contents: Mapping[str, bytes], found: Iterable[ProjectFinding]
) -> list[ProjectFinding]:
    """Tell of layers and groups of other projects that are refused, and of those of these in turn."""
    holding = [name for name in folder.projects() if name.lower().endswith(".qgz") or b"embedded" in contents[name]]
    parents = {name: list(_embedded(parse(name, contents))) for name in holding}
    refused = {finding.project for finding in found if finding.refuses}
    told: list[ProjectFinding] = []
    while True:
        more = [
            ProjectFinding(
                folder.repository,
                name,
                f"it is embedded from {parent}, which is refused itself.",
                f"Mend {parent} as it is told of that, or remove this layer, save the project, and run again.",
                layer,
            )
            for name, layers in parents.items()
            for layer, parent in layers
            if parent in refused and (name, layer) not in {(known.project, known.layer) for known in told}
        ]
        if not more:
            return told
        told += more
        refused |= {finding.project for finding in more}


def parse(name: str, contents: Mapping[str, bytes]) -> Project | None:
    """Read one of the projects, if it is there and is one."""
    try:
        return parse_project(name, contents[name])
    except (KeyError, ProjectError):
        return None


def _embedded(project: Project | None) -> Iterator[tuple[str, str]]:
    """Give the names of layers and groups that are embedded, and of the projects that hold them."""
    if project is not None:
        layers = ((layer.name, layer.embedded_in) for layer in project.layers if layer.embedded_in)
        for name, path in (*layers, *project.embedded_groups):
            yield name, posixpath.normpath(path.replace("\\", "/"))


def check_project(
    folder: RepositoryFolder, name: str, contents: Mapping[str, bytes], expected: Expected
) -> list[ProjectFinding]:
    """Give everything that is wrong with one project."""

    def finding(problem: str, remedy: str = "", layer: str = "", *, refuses: bool = True) -> ProjectFinding:
        return ProjectFinding(folder.repository, name, problem, remedy, layer, refuses)

    try:
        project = parse_project(name, contents[name])
    except ProjectError as error:
        return [finding(f"this is not a QGIS project: {error}", "Open it in QGIS Desktop and save it again.")]
    found = []
    if expected.lizmap and name.endswith(".qgz"):
        found.append(finding(*_unpacked(name, contents[name]), refuses=False))
    if project.version > expected.qgis_server:
        found.append(_newer(finding, project.version, expected))
    remedies = {WrittenIn.SOURCE: FORGET_SOURCE_OUTSIDE, WrittenIn.TEXT: REMOVE_FROM_TEXT}
    for place in sorted(project.passwords, key=list(WrittenIn).index):
        found.append(finding("there is a password in the project file, outside of its layers.", remedies[place]))
    for layer in project.layers:
        found += [
            finding(problem, remedy, layer.name, refuses=refuses)
            for problem, remedy, refuses in _check_layer(folder, name, layer, expected)
        ]
    for group, path in project.embedded_groups:
        for problem, remedy, refuses in _check_file(folder, path, "the project that its group is embedded from"):
            found.append(finding(problem, remedy, group, refuses=refuses))
    for layer in project.layers:
        if not can_be_asked(layer.name_in_wms) and not project.asked_by_id and layer.name not in project.excluded:
            found.append(finding(WITH_COMMA, GIVE_SHORT_NAME, layer.name, refuses=False))
    found += [finding(*picture, refuses=False) for picture in _check_pictures(folder, project.pictures)]
    found += [finding(*fonts, refuses=False) for fonts in _check_fonts(project.fonts)]
    toggled = _toggled(contents.get(_cfg_of(folder, name))) if expected.lizmap else {}
    found += [finding(*blank, refuses=False) for blank in _check_opening(project, toggled, expected)]
    if expected.lizmap:
        found += [
            finding(f"Lizmap shows no project that has {kind}, as this one is.", remedy, layer.name)
            for layer in project.layers
            for kind, remedy in filter(None, [layer.not_read_by_lizmap])
        ]
        found += [
            finding(problem, remedy, refuses=refuses)
            for problem, remedy, refuses in _check_cfg(folder, name, contents, project)
        ]
    return found


Judged = tuple[str, str, bool]


def _unpacked(name: str, content: bytes) -> tuple[str, str]:
    lost = lost_in_unpacking(content)
    without = f", without {' and '.join(lost)}, which it holds as well" if lost else ""
    return (
        f"Lizmap does not show projects that are saved as .qgz: it is published as {unpacked_name(name)}{without}.",
        "Nothing, when the map looks right: in a .qgd are the places of labels that were moved by hand, and drawings "
        "in a layout. To keep both the same, save it with Project > Save As as 'QGIS files (*.qgs)', apply the Lizmap "
        "plugin, and remove the .qgz from the folder.",
    )


def _check_fonts(fonts: Iterable[str]) -> Iterator[tuple[str, str]]:
    if lacking := lacking_fonts(fonts):
        names = " and ".join(f"'{name}'" for name in lacking)
        yield (
            f"it writes in fonts that the Pi does not have ({names}): another takes their place, with letters of other "
            "widths.",
            "Look at the labels and the print on the Pi; for the same on both, choose DejaVu Sans in QGIS Desktop.",
        )


def _cfg_of(folder: RepositoryFolder, name: str) -> str:
    """Give the name of Lizmap's configuration of a project; the plugin may have written it before it was zipped."""
    unpacked = f"{unpacked_name(name)}.cfg"
    return unpacked if unpacked in folder.files and f"{name}.cfg" not in folder.files else f"{name}.cfg"


def _newer(finding: Any, version: tuple[int, int], expected: Expected) -> ProjectFinding:
    saved, served = (".".join(map(str, numbers)) for numbers in (version, expected.qgis_server))
    result: ProjectFinding = finding(
        f"it was saved by QGIS {saved}, but the Pi's QGIS Server is {served}, which may not understand all of it.",
        f"Open and save it in QGIS Desktop {served}, or set accept_newer_qgis: true for this repository and look "
        "closely at the map.",
        refuses=not expected.accept_newer_qgis,
    )
    return result


def _check_names(folder: RepositoryFolder, *, lizmap: bool) -> Iterator[ProjectFinding]:
    names = folder.projects()
    if not names:
        deeper = next((name for name in sorted(folder.files) if name.lower().endswith(ENDINGS)), "")
        hint = f" There is one in a subfolder, {deeper}: name that folder instead." if deeper else ""
        yield ProjectFinding(
            folder.repository,
            "",
            "the folder has no QGIS project (.qgs or .qgz) in it.",
            "Save a project there (one that is stored in PostgreSQL or in a GeoPackage too: Project > Save As), or "
            f"take the repository out of lizmap_projects.{hint}",
        )
    seen: dict[str, str] = {}
    for name in names:
        stem = PurePosixPath(name).stem.casefold()
        if stem in seen:
            yield _same_address(folder, name, seen[stem])
            yield _same_address(folder, seen[stem], name)
        seen[stem] = name
        if not name.endswith(ENDINGS):
            yield ProjectFinding(
                folder.repository,
                name,
                "its name ends in capital letters, as the map server does not know it.",
                "Rename it to .qgs or .qgz.",
            )
        if lizmap and not lizmap_shows(PurePosixPath(name).stem):
            yield _name_for_lizmap(folder, name)
        elif name.startswith("-") or not name.isprintable() or re.search(r'[/\\?#%&+"<>|]', name):
            yield ProjectFinding(
                folder.repository,
                name,
                "its name has characters that an address cannot have.",
                "Use letters, digits, spaces, hyphens and underscores.",
            )


def _same_address(folder: RepositoryFolder, name: str, other: str) -> ProjectFinding:
    same = PurePosixPath(other).stem == PurePosixPath(name).stem
    return ProjectFinding(
        folder.repository,
        name,
        f"there is also {other}, and "
        + ("both have" if same else "but for upper and lower case both have")
        + " the same address on the map server.",
        "Rename or remove one of the two.",
    )


def _name_for_lizmap(folder: RepositoryFolder, name: str) -> ProjectFinding:
    taken = {PurePosixPath(project).stem for project in folder.projects()}
    good = project_for_lizmap(PurePosixPath(name).stem, taken)
    return ProjectFinding(
        folder.repository,
        name,
        "Lizmap shows no project of this name: it takes letters without accents, digits, spaces, and of other "
        "characters only hyphens, dots and underscores.",
        f"In QGIS Desktop, save it as {good}.qgs (Project > Save As), apply the Lizmap plugin again, remove {name} and "
        f"{name}.cfg from the folder, and run again.",
    )


def _check_unfinished(folder: RepositoryFolder) -> Iterator[ProjectFinding]:
    for name, size in sorted(folder.open_files.items()):
        database = re.sub(r"-(?:wal|journal)$", "", name)
        if size and database in folder.files:
            yield ProjectFinding(
                folder.repository,
                "",
                f"{database} is open in a program: there are changes in {name} that are not in it yet.",
                "Close QGIS Desktop, or whatever has the file open, and run again.",
            )


def _check_layer(folder: RepositoryFolder, project: str, layer: ProjectLayer, expected: Expected) -> Iterator[Judged]:
    if layer.embedded_in:
        yield from _check_file(folder, layer.embedded_in, "the project that it is embedded from")
        return
    source = read_source(layer.provider, layer.source)
    yield from _check_logins(source, layer)
    if source.kind is Kind.SERVER:
        yield _of_a_server(source, expected)
    basemap = _basemap_of(source)
    if not basemap:
        yield from _check_source(folder, source, has_password=layer.has_password)
    elif basemap not in expected.basemaps:
        yield (
            f"its file {source.path} is no base map that every Pi of this run has.",
            "Name the MBTiles file in lizmap_basemaps with this name, or correct the layer's source in QGIS Desktop.",
            True,
        )
    for uri in layer.datasets:
        path = read_source(MESH, uri).path
        for problem, remedy, _ in _check_file(folder, path, "the file of one of its datasets"):
            yield problem, remedy, False
    for problem, remedy in _check_pictures(folder, layer.pictures):
        yield problem, remedy, False
    for problem, remedy in _check_speed(folder, source, layer):
        yield problem, remedy, False


def _basemap_of(source: Source) -> str:
    """Name the file where it is in the folder that lies beside those of all projects; else nothing."""
    path = PurePosixPath(posixpath.normpath(source.path.replace("\\", "/")))
    is_beside = source.kind is Kind.FILE and not source.is_folder and path.parent == PurePosixPath("..", BASEMAPS)
    return path.name if is_beside else ""


def _check_speed(folder: RepositoryFolder, source: Source, layer: ProjectLayer) -> Iterator[slow_layers.Slow]:
    path = posixpath.normpath(source.path.replace("\\", "/"))
    part = re.search(r"\|layername=([^|]+)", layer.source)
    facts = folder.facts.get((path, part[1] if part else "")) if source.kind is Kind.FILE else None
    yield from slow_layers.of_drawing(layer.drawing, facts.features if facts else None)
    if facts:
        yield from slow_layers.of_file(source.path, facts, layer.drawing)


def _check_logins(source: Source, layer: ProjectLayer) -> Iterator[Judged]:
    if layer.has_password:
        yield READABLE, WITHOUT_PASSWORD.get(source.kind, NO_LOGIN), True
    elif WrittenIn.SOURCE in layer.passwords:
        yield READABLE, FORGET_SOURCE, True
    if WrittenIn.TEXT in layer.passwords:
        yield READABLE, REMOVE_FROM_TEXT, True
    if AUTHENTICATION.search(unquote(layer.source)):
        yield (
            "it uses a login that is stored in this laptop's QGIS (authcfg), which the Pi does not have.",
            USE_SERVICE if source.kind is Kind.DATABASE else "Remove the layer, or its authentication.",
            True,
        )


def _check_source(folder: RepositoryFolder, source: Source, *, has_password: bool) -> Iterator[Judged]:
    if source.kind is Kind.FILE and source.is_folder:
        for problem, remedy, refuses in _check_file(folder, source.path, "its folder of tiles"):
            yield problem, remedy.replace("the file", "the folder of tiles"), refuses
    elif source.kind is Kind.FILE:
        yield from _check_file(folder, source.path, "its file")
    elif source.kind is Kind.DATABASE:
        yield from _check_connection(source.connection, has_password=has_password)
    elif source.kind is Kind.MEMORY:
        yield (
            "it is a temporary scratch layer, whose features are gone when QGIS Desktop closes.",
            "In QGIS Desktop, right-click the layer > Make Permanent, as a GeoPackage in the project's folder; save "
            "the project, and run again.",
            True,
        )
    elif source.kind is Kind.OTHER_DATABASE:
        yield (
            f"its data are in a database of another kind ({source.address}), which a Pi does not have.",
            "Export the layer to a GeoPackage in the project's folder, or load it into the Pi's PostGIS.",
            True,
        )
    elif source.kind is Kind.TILES:
        yield (
            f"its tiles come from the internet ({source.address}), so it stays empty where the Pi has none.",
            "For the field, make an MBTiles file of the area (Processing > Generate XYZ tiles (MBTiles)) and use that.",
            False,
        )


def _of_a_server(source: Source, expected: Expected) -> Judged:
    address = source.address or "on a network"
    if expected.internet:
        return (
            f"its data come from a server ({address}): while the Pi does not reach that, the map goes on without it.",
            "The Pi's firewall lets the map server reach what lizmap_may_reach names; name the server's address there, "
            "and that of the DNS server.",
            False,
        )
    return (
        f"its data come from a server ({address}). Where the Pi has no internet QGIS Server cannot open it, and then "
        "it refuses the whole project.",
        "Export the layer to a GeoPackage or GeoTIFF in the project's folder and use that, or remove the layer. Where "
        "the Pi has internet, set internet: true for this repository.",
        True,
    )


def _check_file(folder: RepositoryFolder, path: str, what: str) -> Iterator[Judged]:
    if not path:
        yield f"the path of {what} is empty.", INTO_FOLDER, True
        return
    if elsewhere := next(_check_scheme(path, what), None):
        yield elsewhere
        return
    if is_absolute(path):
        name = re.split(r"[/\\]", path)[-1]
        inside = folder.named(name)
        remedy = f"{inside} is in the project's folder already. {RELATIVE_PATHS}" if inside else INTO_FOLDER
        yield f"{what} {path} is a path of the laptop, which a Pi does not have.", remedy, True
        return
    wanted = posixpath.normpath(path.replace("\\", "/"))
    if wanted.startswith("../") or wanted == "..":
        yield f"{what} {path} lies outside of the project's folder, which is all that the Pi gets.", INTO_FOLDER, True
        return
    if not folder.has(wanted):
        if near := folder.nearly(wanted):
            yield _other_name(what, near, path, wanted)
        else:
            yield f"{what} {path} is not in the project's folder.", INTO_FOLDER, True
        return
    yield from _check_shapefile(folder, wanted, what)
    size = folder.files.get(wanted, 0)
    times = MEMORY_OF_TEXT.get(posixpath.splitext(wanted)[1].lower(), 0)
    if times and size > LARGE_TEXT:
        mb = size / 1024**2
        yield (
            f"{what} {path} has {mb:.0f} MB of text: QGIS Server reads all of it for each picture, for which each "
            f"worker takes up to {math.ceil(mb * times)} MB of memory.",
            INTO_GEOPACKAGE,
            False,
        )


def _check_scheme(path: str, what: str) -> Iterator[Judged]:
    """Tell of a path that begins with a word of QGIS's own for a place that is no folder of projects."""
    if path.startswith("localized:"):
        yield f"{what} {path} is in QGIS Desktop's folder of localized data.", INTO_FOLDER, True
    elif path.startswith("inbuilt:"):
        yield f"{what} {path} comes with QGIS Desktop only.", INTO_FOLDER, True
    elif path.startswith(IN_A_DATABASE):
        # The rest of such a path may hold a login.
        kept_in = "PostgreSQL" if path.startswith("postgresql:") else "a GeoPackage"
        yield f"{what} is stored in {kept_in}, where a Pi does not read projects.", SAVE_AS_FILE, True


def _other_name(what: str, near: str, path: str, wanted: str) -> Judged:
    """Say that a file has another name than the one that is wanted, which a person hardly sees."""
    if near.casefold() == wanted.casefold():
        return (
            f"{what} is called {near}, not {path}: upper and lower case count on a Pi.",
            f"Rename {near} to {wanted}, or point the layer to it in QGIS Desktop, save, and run again.",
            True,
        )
    return (
        f"{what} {path} is in the project's folder, but its name is written there with other characters that look the "
        "same: an accent is a part of its letter in one of the two, and a character of its own in the other, as macOS "
        "writes it. A Pi tells them apart.",
        f"Rename it to one without accents, {without_accents(near)}, point to it in QGIS Desktop (right-click the "
        "layer > Change Data Source), save the project, and run again.",
        True,
    )


def _check_shapefile(folder: RepositoryFolder, path: str, what: str) -> Iterator[Judged]:
    if not path.lower().endswith(".shp"):
        return
    names = {name.lower() for name in folder.files}
    lacking = [part for part in PARTS_OF_SHAPEFILE if path.lower()[:-4] + part not in names]
    near = {part: folder.nearly(path[:-4] + part) for part in lacking}
    missing = [part for part in lacking if not near[part]]
    for part in lacking:
        if near[part]:
            yield _other_name(f"the part {part} of", near[part], path, path[:-4] + part)
    if missing:
        yield (
            f"{what} {path} is a shapefile, which has several parts, and {' and '.join(missing)} are missing.",
            "Copy all files of that name into the project's folder.",
            True,
        )


def _check_connection(connection: Mapping[str, str], *, has_password: bool) -> Iterator[Judged]:
    service = connection.get("service", "")
    own = [key for key in ("host", "hostaddr", "port", "user", "passfile") if connection.get(key)]
    if has_password and service != SERVICE:
        # What was said of the password has the same remedy.
        return
    if service and service != SERVICE:
        yield f"it connects by the service '{service}', but a Pi knows only '{SERVICE}'.", USE_SERVICE, True
    elif not service:
        host = connection.get("host", "") or "this laptop's own PostgreSQL"
        yield f"it connects to {host}, not to the Pi's PostGIS.", USE_SERVICE, True
    elif own:
        yield (
            f"besides the service '{SERVICE}' it gives {', '.join(own)} of its own, which overrides the service's.",
            USE_SERVICE,
            True,
        )


def _check_pictures(folder: RepositoryFolder, pictures: Iterable[str]) -> Iterator[tuple[str, str]]:
    for path in dict.fromkeys(pictures):
        looks_like_path = is_absolute(path) or path.startswith(("./", "../"))
        wanted = posixpath.normpath(path)
        near = folder.nearly(wanted)
        if looks_like_path and near and not folder.has(wanted):
            problem, remedy, _ = _other_name("the picture", near, path, wanted)
            yield problem, remedy.replace("point the layer to it", "choose it again")
        elif looks_like_path and (is_absolute(path) or wanted.startswith("../") or not folder.has(wanted)):
            yield (
                f"the picture {path} will not be on the Pi, so its symbol shows as a question mark or not at all.",
                "Copy it into the project's folder, or choose Embed File in the settings of the symbol or layout item.",
            )


def _check_opening(project: Project, toggled: Mapping[str, bool], expected: Expected) -> Iterator[tuple[str, str]]:
    """Tell of a map that opens blank without internet; Lizmap's configuration may say otherwise what is ticked."""
    if project.embedded_groups:
        return  # Of their layers nobody knows here.
    drawn = [layer for layer in project.layers if layer.name_in_wms and layer.name not in project.excluded]
    shown = [layer for layer in drawn if toggled.get(layer.id, layer.id in project.ticked)]
    # Of a server's layer that is not to be, more is told.
    elsewhere = [layer for layer in from_internet(project) if expected.internet or _kind_of(layer) is Kind.TILES]
    if not shown or any(layer not in elsewhere for layer in shown):
        return
    names = " and ".join(f"'{layer.name}'" for layer in shown)
    if all(layer in elsewhere for layer in drawn):
        yield (
            f"its map is blank where the Pi has no internet: all that it draws comes from there ({names}).",
            "For the field, add a layer whose data are in the project's folder or in the Pi's PostGIS.",
        )
    else:
        yield (
            f"its map opens blank where the Pi has no internet: only {names} is ticked, which comes from there.",
            "In QGIS Desktop, tick another layer in the Layers panel too, save the project (with Lizmap, apply its "
            "plugin), and run again.",
        )


def _toggled(content: bytes | None) -> dict[str, bool]:
    """Read which layers Lizmap shows at first, where its configuration tells."""
    try:
        layers = json.loads(content or b"{}")["layers"].values()
        return {str(layer["id"]): str(layer["toggled"]) == "True" for layer in layers if "toggled" in layer}
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return {}


def _check_cfg(
    folder: RepositoryFolder, file: str, contents: Mapping[str, bytes], project: Project
) -> Iterator[Judged]:
    wanted = _cfg_of(folder, file)
    content = contents.get(wanted)
    apply = "Open the project in QGIS Desktop, open the Lizmap plugin, choose Apply, and run again."
    if content is None and (near := folder.nearly(wanted)):
        problem, _, _ = _other_name("its .cfg", near, wanted, wanted)
        yield problem, f"Save the project under a name without accents, {without_accents(file)}. {apply}", False
        return
    if content is None:
        yield "it has no .cfg beside it, so Lizmap does not show it.", apply, False
        return
    try:
        given = json.loads(content)
        described = given["layers"].items()
        # A group that is shown as a layer is one to the plugin, by its name.
        layers = {
            str(value["id"]): name
            for name, value in described
            if value.get("type") == "layer" and str(value.get("groupAsLayer")) != "True"
        }
        editable = {str(value["layerId"]): name for name, value in (given.get("editionLayers") or {}).items()}
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        yield f"its .cfg is not what the Lizmap plugin writes ({type(error).__name__}).", apply, True
        return
    known = {layer.id: layer for layer in project.layers}
    elsewhere = [parse(path, contents) for _, path in _embedded(project)]
    there = {*known, *project.groups, *(layer.id for parent in elsewhere if parent for layer in parent.layers)}
    # Of a project in a subfolder nobody knows the layers here.
    gone = [] if None in elsewhere else sorted(name for key, name in layers.items() if key not in there)
    new = sorted(known[key].name for key in project.listed & set(known) - set(layers))
    differences = [
        *([f"names layers that are gone ({', '.join(gone)})"] if gone else []),
        *([f"does not list {', '.join(new)}, which Lizmap does not show then"] if new else []),
    ]
    if differences:
        yield f"its .cfg is older than the project: it {', and it '.join(differences)}.", apply, False
    for key, name in sorted(editable.items()):
        if key in known and known[key].provider not in EDITABLE:
            yield (
                f"the layer '{name}' is to be edited, but its data are in a file, which is read-only on the Pi.",
                "Load it into PostGIS and use it from there, or take it out of the plugin's tab 'Layer editing'.",
                False,
            )
