"""What a layer's data source in a QGIS project says: which files, which database, which server.

Every provider of QGIS writes its sources in a way of its own. Pure: nothing is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl, unquote


class Kind(Enum):
    """Where a layer's data are."""

    FILE = "file"
    DATABASE = "database"
    TILES = "tiles"
    """Pictures of a server at fixed addresses: QGIS asks for them only when it draws."""
    SERVER = "server"
    """A server that QGIS asks already when it opens the project."""
    MEMORY = "memory"
    OTHER_DATABASE = "other database"
    NOTHING = "nothing"
    """Groups, annotations, virtual layers: made of other layers."""


@dataclass(frozen=True)
class Source:
    """Where the data of one layer are."""

    kind: Kind
    path: str = ""
    connection: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    is_folder: bool = False
    """Whether the path is that of a folder with tiles."""


REMOTE = {
    *(
        "wms",
        "wfs",
        "oapif",
        "wcs",
        "arcgisfeatureserver",
        "arcgismapserver",
        "arcgisvectortileservice",
        "sensorthings",
    ),
    *("vectortile", "xyzvectortiles", "mbtilesvectortiles", "vtpkvectortiles"),
    *("cesiumtiles", "tiled-scene", "quantizedmesh", "esrii3s", "ept", "copc"),
}
TILES = {"xyzvectortiles", "cesiumtiles", "tiled-scene", "quantizedmesh", "esrii3s", "ept", "copc"}
OTHER_DATABASES = {"mssql": "SQL Server", "oracle": "Oracle", "hana": "SAP HANA", "db2": "DB2"}
CONNECTIONS = {"postgres", "postgresraster"}
WITHOUT_FILES = {
    **{name: Source(Kind.OTHER_DATABASE, address=product) for name, product in OTHER_DATABASES.items()},
    **dict.fromkeys(("", "virtual", "annotation", "group"), Source(Kind.NOTHING)),
    **dict.fromkeys(("memory", "mesh_memory"), Source(Kind.MEMORY)),
}
MESH = "mdal"
TILE_KINDS = ("xyz", "mbtiles", "tms", "vtpk")
FILES_OF_TILES = {"mbtilesvectortiles", "vtpkvectortiles"}
ADDRESS = re.compile(r"(?:https?|ftp)://", re.IGNORECASE)
ARCHIVE = re.compile(r"^/vsi(?:zip|gzip|tar|7z|rar)/+")
ONLINE_FILE = re.compile(r"^/vsi(?:curl|s3|gs|az|webhdfs|oss|swift)", re.IGNORECASE)
PAIR = re.compile(r"(?P<key>\w+)=(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>[^\s'\"]\S*))")
# A raster inside of a file of many: GPKG:./a.gpkg:table, NETCDF:"./a.nc":temperature, HDF5:"./a.h5"://grid
PREFIXED = re.compile(r'^[A-Z][A-Z0-9_]{2,}:(?:"(?P<quoted>[^"]+)"|(?P<plain>[^:]+))(?::.*)?$')
# A mesh as QGIS writes it: Ugrid:"./a.nc":mesh2d, "./a.nc":mesh2d, 2DM:"./a.2dm", or the path alone.
MESH_SOURCE = re.compile(r'^(?:\w+:)?"(?P<path>[^"]*)"(?::.*)?$', re.DOTALL)


def read_source(provider: str, source: str) -> Source:
    """Tell where a layer's data are."""
    provider = provider.lower()
    if provider in WITHOUT_FILES:
        return WITHOUT_FILES[provider]
    if provider in CONNECTIONS:
        return Source(Kind.DATABASE, connection=read_connection(source))
    if provider in REMOTE:
        return _server(provider, source)
    if provider == "spatialite":
        return Source(Kind.FILE, path=read_connection(source).get("dbname", ""))
    if provider == MESH:
        mesh = MESH_SOURCE.match(source)
        return _file(mesh["path"] if mesh else source)
    return _file(source)


def read_connection(text: str) -> dict[str, str]:
    """Read a connection as PostgreSQL and QGIS write it; the filter at its end is no part of it."""
    text = re.split(r"\ssql=", text, maxsplit=1)[0]
    # The table is not quoted as the others are, and comes after the connection.
    text = re.split(r'\stable=(?=")', text, maxsplit=1)[0]
    found = {}
    for pair in PAIR.finditer(text):
        quoted = pair["quoted"]
        found[pair["key"]] = pair["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return found


def _server(provider: str, source: str) -> Source:
    # In the address of a form a plus would be a space; QGIS writes a plus as it is.
    values = dict(parse_qsl(source.replace("+", "%2B")))
    address = values.get("url", "") or read_connection(source).get("url", "") or source
    kind = values.get("type", "")
    local = not ADDRESS.search(address)
    if provider in TILES or provider in FILES_OF_TILES or kind in TILE_KINDS or provider == "vectortile":
        return _tiles_in_files(address) if local else Source(Kind.TILES, address=_host(address))
    return Source(Kind.SERVER, address=_host(address))


def _tiles_in_files(address: str) -> Source:
    """Give the file of tiles, or the folder where {z}/{x}/{y}.png begins."""
    path = _without_scheme(unquote(address))
    above, braces, _ = path.partition("{")
    if not braces:
        return _file(path)
    folder = re.sub(r"[^/\\]*$", "", above)
    return Source(Kind.FILE, path=folder.rstrip("/\\") or folder or ".", is_folder=True)


def _file(source: str) -> Source:
    if source.upper().startswith("PG:"):
        return Source(Kind.DATABASE, connection=read_connection(source[3:]))
    if source.upper().startswith(("MSSQL:", "MYSQL:", "OCI:")):
        return Source(Kind.OTHER_DATABASE, address=source.partition(":")[0])
    if ADDRESS.match(source) or ONLINE_FILE.match(source) or source.startswith("<GDAL_WMS"):
        return Source(Kind.SERVER, address=_host(source))
    path = source.partition("|")[0]
    # GPX and delimited text are addresses of files, with options after a question mark.
    if path.startswith("file:") or re.search(r"\?(?:type|delimiter|encoding|crs)=", path):
        path = unquote(path.partition("?")[0])
    return Source(Kind.FILE, path=_without_scheme(_outer_file(path)))


def _outer_file(path: str) -> str:
    """Give the file that holds a dataset: the archive for one inside of an archive."""
    prefixed = PREFIXED.match(path)
    if prefixed and not ADDRESS.match(path) and not path.startswith("file:"):
        path = prefixed["quoted"] or prefixed["plain"]
    if ARCHIVE.match(path):
        path = ARCHIVE.sub(lambda found: "/" if found.group().endswith("//") else "", path)
        inside = re.match(r"(.*?\.(?:zip|gz|tgz|tar|7z|rar|kmz))(?:/|$)", path, re.IGNORECASE)
        path = inside[1] if inside else path
    return path


def _without_scheme(path: str) -> str:
    """Give the path of a file: address; one that is not absolute stays relative."""
    if not path.startswith("file:"):
        return path
    path = path.removeprefix("file:")
    path = path.removeprefix("//") if path.startswith("//") else path
    # file:///C:/maps is a Windows path, not one below the root.
    return path[1:] if re.match(r"/[A-Za-z]:[/\\]", path) else path


def _host(address: str) -> str:
    """Give the name of a server, for a message: never what else an address may hold, such as a password."""
    found = re.search(r"(?:https?|ftp)://(?:[^/@\s]*@)?([^/?:&\s'\"{]+)", unquote(address), re.IGNORECASE)
    return found[1] if found else ""


def is_absolute(path: str) -> bool:
    """Tell a path that holds on one machine only, also one of Windows."""
    return path.startswith(("/", "\\", "~")) or bool(re.match(r"[A-Za-z]:[/\\]", path))
