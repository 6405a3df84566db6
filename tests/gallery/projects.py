"""A gallery of projects as people have them, and what the laptop is to say of each.

Each is small, and made after a public report or a trial in the field. What is expected was written before the first
run, from the reason that stands beside it. Projects that QGIS itself wrote are in written_by_qgis_….zip, made by
write_by_qgis.py; what only an older or another program writes is retyped here, and says so.
"""

from __future__ import annotations

import io
import json
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.images.projects import Layer, qgs

NEWEST_QGIS, NEWER_QGIS, OLDER_QGIS = "3.44", "3.40", "3.22"
"""Debian's newest, and those of the Pi's profiles."""
Files = Mapping[str, str | bytes]
GOOD = "good"


@dataclass(frozen=True)
class Case:
    """One project in its folder, and what is to be said of it."""

    what: str
    reason: str
    """Why that is right; with the line of the field trials (C1 to C13) that it is of."""
    files: Files
    expected: tuple[str, ...] = ()
    """The messages as docs/projects.md has them, a warning after `warned: `; none for a good project."""
    lizmap: bool = False
    newer: bool = False
    """Whether accept_newer_qgis is set."""
    internet: bool = False
    """Whether internet is set."""


def warned(message: str) -> str:
    """Mark a message as one that refuses nothing."""
    return f"warned: {message}"


# The messages, as the page has them ----------------------------------------------------------------------------------

NOT_THERE = "its file ... is not in the project's folder."
LAPTOPS_PATH = "its file ... is a path of the laptop, which a Pi does not have."
NO_BASEMAP = "its file ... is no base map that every Pi of this run has."
OUTSIDE = "its file ... lies outside of the project's folder, which is all that the Pi gets."
EMPTY_PATH = "the path of its file is empty."
LOCALIZED = "its file ... is in QGIS Desktop's folder of localized data."
INBUILT = "its file ... comes with QGIS Desktop only."
CASE_DIFFERS = "its file is called ..., not ...: upper and lower case count on a Pi."
LOOKS_THE_SAME = (
    "its file ... is in the project's folder, but its name is written there with other characters that look the same: "
    "an accent is a part of its letter in one of the two, and a character of its own in the other, as macOS writes it. "
    "A Pi tells them apart."
)
PARTS = "its file ... is a shapefile, which has several parts, and ... are missing."
LARGE = (
    "its file ... has ... MB of text: QGIS Server reads all of it for each picture, for which each worker takes up to "
    "... MB of memory."
)
NO_TILES = "its folder of tiles ... is not in the project's folder."
NO_DATASET = "the file of one of its datasets ... is not in the project's folder."
NO_PARENT = "the project that it is embedded from ... is not in the project's folder."
NO_PARENT_OF_GROUP = "the project that its group is embedded from ... is not in the project's folder."
IN_POSTGRESQL = "the project that it is embedded from is stored in ..., where a Pi does not read projects."
PARENT_REFUSED = "it is embedded from ..., which is refused itself."
NOT_READ = "Lizmap shows no project that has ..., as this one is."
SCRATCH = "it is a temporary scratch layer, whose features are gone when QGIS Desktop closes."
OTHER_DATABASE = "its data are in a database of another kind (...), which a Pi does not have."
OTHER_SERVICE = "it connects by the service '...', but a Pi knows only 'poppyfield'."
OTHER_HOST = "it connects to ..., not to the Pi's PostGIS."
OVERRIDES = "besides the service 'poppyfield' it gives ... of its own, which overrides the service's."
STORED_LOGIN = "it uses a login that is stored in this laptop's QGIS (authcfg), which the Pi does not have."
PASSWORD = "there is a password in it, which everybody who gets the file can read."
PASSWORD_OUTSIDE = "there is a password in the project file, outside of its layers."
FROM_SERVER = (
    "its data come from a server (...). Where the Pi has no internet QGIS Server cannot open it, and then it refuses "
    "the whole project."
)
FROM_SERVER_OR_NOT = "its data come from a server (...): while the Pi does not reach that, the map goes on without it."
TILES = "its tiles come from the internet (...), so it stays empty where the Pi has none."
BLANK = "its map is blank where the Pi has no internet: all that it draws comes from there (...)."
OPENS_BLANK = "its map opens blank where the Pi has no internet: only ... is ticked, which comes from there."
COMMA = "no map can show it, and none checks it, because the comma in its name ends a name where maps ask for layers."
PICTURE = "the picture ... will not be on the Pi, so its symbol shows as a question mark or not at all."
PICTURE_LOOKS = LOOKS_THE_SAME.replace("its file", "the picture", 1)
FONTS = "it writes in fonts that the Pi does not have (...): another takes their place, with letters of other widths."
NEWER = "it was saved by QGIS ..., but the Pi's QGIS Server is ..., which may not understand all of it."
NO_PROJECT = "this is not a QGIS project: ..."
NO_PROJECT_FILE = "the folder has no QGIS project (.qgs or .qgz) in it."
SAME_ADDRESS = "there is also ..., and both have the same address on the map server."
SAME_BUT_CASE = "there is also ..., and but for upper and lower case both have the same address on the map server."
CAPITALS = "its name ends in capital letters, as the map server does not know it."
NO_ADDRESS = "its name has characters that an address cannot have."
NOT_FOR_LIZMAP = (
    "Lizmap shows no project of this name: it takes letters without accents, digits, spaces, and of other characters "
    "only hyphens, dots and underscores."
)
OPEN = "... is open in a program: there are changes in ... that are not in it yet."
UNPACKED = "Lizmap does not show projects that are saved as .qgz: it is published as ...."
NO_CFG = "it has no .cfg beside it, so Lizmap does not show it."
BAD_CFG = "its .cfg is not what the Lizmap plugin writes (...)."
OLD_CFG = "its .cfg is older than the project: it ...."
CFG_LOOKS = LOOKS_THE_SAME.replace("its file", "its .cfg", 1)
EDITS_FILE = "the layer '...' is to be edited, but its data are in a file, which is read-only on the Pi."

# The pieces ----------------------------------------------------------------------------------------------------------

SECRET = "poppies-in-june"
MEADOW = Layer("./meadow.geojson")
TABLE = "service='poppyfield' key='id' srid=4326 type=Polygon table=\"public\".\"meadow\" (geom)"
OSM = Layer("type=xyz&url=https://tile.example/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=19", "wms", "osm", geometry="")


def written(name: str, version: str = NEWER_QGIS) -> str:
    """Give a project that QGIS wrote."""
    with _archive(version) as archive:
        return archive.read(f"{name}.qgs").decode()


def _archive(version: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(Path(__file__).with_name(f"written_by_qgis_{version}.zip"))


def of_other_qgis(cases: Iterable[Case], version: str, *also: str) -> Iterator[Case]:
    """Give what another QGIS wrote in place of ours, of which the same is right, and what is said of it besides."""
    with _archive(NEWER_QGIS) as ours, _archive(version) as other:
        names = {ours.read(name).decode(): name for name in other.namelist()}
        for case in cases:
            if name := names.get(str(case.files.get("map.qgs"))):
                files = {**case.files, "map.qgs": other.read(name).decode()}
                reason = f"QGIS {version} wrote it: {case.reason}"
                expected = (*case.expected, *also)
                yield replace(case, what=f"{case.what}, {version}", reason=reason, files=files, expected=expected)


def project(*layers: Layer, **more: str | bytes) -> Files:
    """Give a folder with a project of these layers, the meadow beside it, and more files."""
    return {"map.qgs": qgs(layers), "meadow.geojson": "{}", **more}


def one(source: str, provider: str = "ogr", *names: str, style: str = "", name: str = "Rivers") -> Files:
    """Give a project with one layer, and files of these names."""
    return {**project(Layer(source, provider, name, style=style)), **dict.fromkeys(names, "x")}


def styled(xml: str) -> Files:
    """Give a project whose layer has this piece of XML."""
    return project(replace(MEADOW, style=xml))


def by_qgis(name: str, *names: str) -> Files:
    """Give a project that QGIS wrote, with files of these names beside it."""
    return {"map.qgs": written(name), **dict.fromkeys(names, "x")}


def named(layer: str) -> Files:
    """Give a project with a layer of this name, which has no short one."""
    text = qgs([replace(MEADOW, name=layer.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;"))])
    start, end = text.index("<shortname>"), text.index("</shortname>")
    return {"map.qgs": text[:start] + "<shortname>" + text[end:], "meadow.geojson": "{}"}


def zipped(text: str, *others: str) -> bytes:
    """Give a .qgz with this project, and other files of these names in it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("map.qgs", text)
        for name in others:
            archive.writestr(name, "x")
    return content.getvalue()


def cfg(*names: str, **sections: object) -> str:
    """Give what Lizmap's plugin writes about layers of these names."""
    layers = {name: {"id": f"layer_id_{name}", "type": "layer"} for name in names}
    return json.dumps({"layers": layers, "editionLayers": {}, **sections})


def for_lizmap(name: str, text: str, *layers: str, **sections: object) -> Files:
    """Give a project of this name with its .cfg."""
    return {f"{name}.qgs": text, f"{name}.qgs.cfg": cfg(*(layers or ("meadow",)), **sections), "meadow.geojson": "{}"}


def in_lizmap(text: str, **ids: str) -> Files:
    """Give a project whose .cfg lists layers by their names, with these ids."""
    return for_lizmap("map", text, layers={name: {"id": key, "type": "layer"} for name, key in ids.items()})


def embedding(parent: str) -> str:
    """Give a project with a layer that is embedded from another one. Retyped after what QGIS 3.40 writes."""
    text = qgs([MEADOW]).replace(
        "<projectlayers>", f'<projectlayers><maplayer embedded="1" project="{parent}" id="r_1"/>'
    )
    return text.replace("<layer-tree-group>", '<layer-tree-group><layer-tree-layer id="r_1" name="Roads"/>')


def unticked(text: str, name: str) -> str:
    """Untick a layer."""
    return text.replace(f'name="{name}" checked="Qt::Checked"', f'name="{name}" checked="Qt::Unchecked"')


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "prés.gpkg") for form in ("NFC", "NFD"))
TEXT_OF_11_MB = "x" * (11 * 1024 * 1024)
TILE = "%7Bz%7D/%7Bx%7D/%7By%7D.png"

# What the laptop says ------------------------------------------------------------------------------------------------

NAMES = [
    Case(
        "project été with Lizmap",
        "C2: its rule takes ASCII only",
        for_lizmap("été", qgs([MEADOW])),
        (NOT_FOR_LIZMAP,),
        True,
    ),
    Case(
        "project été without Lizmap", "C2: an address can have it", {"été.qgs": qgs([MEADOW]), "meadow.geojson": "{}"}
    ),
    Case("project a,b with Lizmap", "C2", for_lizmap("a,b", qgs([MEADOW])), (NOT_FOR_LIZMAP,), True),
    Case("project x;y with Lizmap", "C2", for_lizmap("x;y", qgs([MEADOW])), (NOT_FOR_LIZMAP,), True),
    Case(
        "project carte d'été (v2).1 with Lizmap",
        "C2",
        for_lizmap("carte d'été (v2).1", qgs([MEADOW])),
        (NOT_FOR_LIZMAP,),
        True,
    ),
    Case("project a&b", "an address cannot have it", {"a&b.qgs": qgs([MEADOW]), "meadow.geojson": "{}"}, (NO_ADDRESS,)),
    Case("project MAP.QGS", "nginx serves .qgs", {"map.QGS": qgs([MEADOW]), "meadow.geojson": "{}"}, (CAPITALS,)),
    Case(
        "map.qgs and map.qgz",
        "one address",
        {**project(MEADOW), "map.qgz": zipped(qgs([MEADOW]))},
        (SAME_ADDRESS, SAME_ADDRESS),
    ),
    Case(
        "map.qgs and Map.qgs",
        "one address where case does not count",
        {**project(MEADOW), "Map.qgs": qgs([MEADOW])},
        (SAME_BUT_CASE, SAME_BUT_CASE),
    ),
    Case("file name NFD, project NFC", "C3: a Mac's name", one(f"./{COMPOSED}", "ogr", DECOMPOSED), (LOOKS_THE_SAME,)),
    Case("file name NFC, project NFD", "C3, the other way", one(f"./{DECOMPOSED}", "ogr", COMPOSED), (LOOKS_THE_SAME,)),
    Case(
        ".cfg with an accent of its own",
        "C3, and Lizmap shows no such name either",
        {
            unicodedata.normalize("NFC", "prés.qgs"): qgs([MEADOW]),
            unicodedata.normalize("NFD", "prés.qgs.cfg"): cfg("meadow"),
            "meadow.geojson": "{}",
        },
        (NOT_FOR_LIZMAP, warned(CFG_LOOKS)),
        True,
    ),
    Case("layer Forêt, parcelles", "C7: WMS has no escape for a comma", named("Forêt, parcelles"), (warned(COMMA),)),
    *(
        Case(f"layer {name}", "such names work, with WMS and WFS", named(name))
        for name in ("a:b", "a&b", "a+b", "a%b", "a/b", "a#b", "<b>bold</b>", 'the "old" one', "Forêt d'été")
    ),
]

LAYERS = [
    Case("mesh by QGIS, 2DM", "C4: as QGIS 3.40 writes it", by_qgis("mesh_2dm", "dam.2dm")),
    Case("mesh by QGIS, its file is missing", "C4", by_qgis("mesh_2dm"), (NOT_THERE,)),
    *(
        Case(
            f"mesh, {driver}", "C4: each driver of MDAL writes its name so", one(f'{driver}:"./dam.x"', "mdal", "dam.x")
        )
        for driver in ("XMDF", "SELAFIN", "NETCDF", "GRIB", "ESRI_TIN", "PLY", "XDMF", "TUFLOWFV", "3Di", "H2i")
    ),
    Case("mesh, Ugrid with a mesh's name", "C4", one('Ugrid:"./m.nc":mesh2d', "mdal", "m.nc")),
    Case("mesh, Ugrid whose file is missing", "C4", one('Ugrid:"./m.nc":mesh2d', "mdal"), (NOT_THERE,)),
    Case(
        "mesh with Lizmap",
        "C4: Lizmap 3.9 wants a map-layer-style-manager of each layer, and QGIS writes none of a mesh",
        {**in_lizmap(written("mesh_2dm"), dam="dam_1"), "dam.2dm": "x"},
        (NOT_READ,),
        True,
    ),
    Case("annotations by QGIS", "QGIS Server draws them", by_qgis("annotation", "meadow.geojson")),
    Case(
        "annotations with Lizmap",
        "QGIS writes neither a provider nor a map-layer-style-manager of them",
        in_lizmap(written("annotation"), meadow="meadow_1", notes="notes_1"),
        (NOT_READ,),
        True,
    ),
    Case(
        "mesh whose results are missing",
        "the mesh itself draws",
        one("./dam.2dm", "mdal", "dam.2dm", style="<extra-datasets><uri>./depth.dat</uri></extra-datasets>"),
        (warned(NO_DATASET),),
    ),
    Case("folder of tiles by QGIS", "C5: as QGIS 3.40 writes a relative one", by_qgis("xyz_local", "tiles/0/0/0.png")),
    Case(
        "folder of tiles",
        "C5: no internet is needed",
        one(f"type=xyz&url=file:./tiles/{TILE}", "wms", "tiles/0/0/0.png"),
    ),
    Case("folder of tiles that is missing", "C5", one(f"type=xyz&url=file:./tiles/{TILE}", "wms"), (NO_TILES,)),
    Case("tiles of the internet only", "C8: right, and warned of", project(OSM), (warned(TILES), warned(BLANK))),
    Case("tiles and a meadow", "the meadow draws anywhere", project(OSM, MEADOW), (warned(TILES),)),
    Case(
        "only tiles are ticked",
        "C12: the page opens blank",
        {"map.qgs": unticked(qgs([OSM, MEADOW]), "meadow"), "meadow.geojson": "{}"},
        (warned(TILES), warned(OPENS_BLANK)),
    ),
    Case(
        "vector tiles in a file",
        "MBTiles are a file",
        one("type=mbtiles&url=./t.mbtiles", "mbtilesvectortiles", "t.mbtiles"),
    ),
    Case("vector tiles by QGIS", "as QGIS 3.40 writes them", by_qgis("vector_tiles", "tiles.mbtiles")),
    Case("VTPK", "a file", one("type=vtpk&url=./t.vtpk", "vtpkvectortiles", "t.vtpk")),
    Case("point cloud, COPC", "a file", one("./cloud.copc.laz", "copc", "cloud.copc.laz")),
    Case("point cloud that is missing", "a file", one("./cloud.laz", "pdal"), (NOT_THERE,)),
    Case("raster in a GeoPackage", "GDAL's name for it", one("GPKG:./a.gpkg:relief", "gdal", "a.gpkg")),
    Case("raster in NetCDF of the laptop", "its path", one('NETCDF:"/home/ann/r.nc":t', "gdal"), (LAPTOPS_PATH,)),
    Case("raster by QGIS", "as QGIS 3.40 writes it", by_qgis("raster", "ground.tif")),
    Case("virtual layer by QGIS", "made of other layers", by_qgis("virtual", "meadow.geojson")),
    Case("join by QGIS", "no file of its own", by_qgis("join", "meadow.geojson", "owners.csv")),
    Case("relation by QGIS", "two layers and no password", by_qgis("relation", "meadow.geojson", "owners.csv")),
    Case("CSV by QGIS", "an address of a file", by_qgis("csv", "points.csv")),
    Case("GeoPackage by QGIS, which was never copied", "its file is not here", by_qgis("geopackage"), (NOT_THERE,)),
    Case("table of PostGIS by QGIS", "by the service", by_qgis("postgis")),
    Case("view of PostGIS by QGIS", "by the service, with a key of its own", by_qgis("view")),
    Case("scratch layer by QGIS", "gone with QGIS Desktop", by_qgis("scratch"), (SCRATCH,)),
    Case("table by its host by QGIS", "not the Pi's", by_qgis("postgis_host"), (OTHER_HOST,)),
    Case("WMS by QGIS", "asked when the project opens", by_qgis("wms"), (FROM_SERVER,)),
    Case("WFS by QGIS", "asked when the project opens", by_qgis("wfs"), (FROM_SERVER,)),
    Case(
        "WMS by QGIS where the Pi has internet",
        "internet is true; blank while there is none",
        by_qgis("wms"),
        (warned(FROM_SERVER_OR_NOT), warned(BLANK)),
        internet=True,
    ),
    Case(
        "WFS by QGIS where the Pi has internet",
        "internet is true; blank while there is none",
        by_qgis("wfs"),
        (warned(FROM_SERVER_OR_NOT), warned(BLANK)),
        internet=True,
    ),
    Case("tiles of the internet by QGIS", "asked when drawn", by_qgis("xyz"), (warned(TILES), warned(BLANK))),
    Case("shapefile without its .dbf", "parts of it", one("./a.shp", "ogr", "a.shp", "a.shx"), (PARTS,)),
    Case("file of another folder", "only the folder goes", one("../a.gpkg"), (OUTSIDE,)),
    Case("base map that no Pi has", "it is named nowhere", one("../basemaps/a.mbtiles", "gdal"), (NO_BASEMAP,)),
    Case("file of Windows", "a drive", one("C:/maps/a.shp"), (LAPTOPS_PATH,)),
    Case("file of a share", "a server of the office", one("\\\\office\\maps\\a.shp"), (LAPTOPS_PATH,)),
    Case("file in capitals", "case counts", one("./Meadow.GeoJSON"), (CASE_DIFFERS,)),
    Case("no path at all", "a layer that was never repaired", one(""), (EMPTY_PATH,)),
    Case("localized data", "QGIS Desktop's own folder", one("localized:world.gpkg"), (LOCALIZED,)),
    Case(
        "world map of QGIS", "QGIS Desktop's own", one("inbuilt:/data/world_map.gpkg|layername=countries"), (INBUILT,)
    ),
    Case("SQL Server", "another database", one("dbname='x' host=h table=\"a\"", "mssql"), (OTHER_DATABASE,)),
    Case("another service", "a Pi knows one", one("service='office' table=\"a\" (geom)", "postgres"), (OTHER_SERVICE,)),
    Case(
        "service with a user",
        "it overrides",
        one("service='poppyfield' user='ann' table=\"a\"", "postgres"),
        (OVERRIDES,),
    ),
    Case("GeoJSON of 11 MB", "read as a whole", project(MEADOW, **{"meadow.geojson": TEXT_OF_11_MB}), (warned(LARGE),)),
    Case(
        "CSV of 11 MB",
        "kept in memory as QGIS has it",
        {**one("file:./a.csv?type=csv&xField=x&yField=y", "delimitedtext"), "a.csv": TEXT_OF_11_MB},
        (warned(LARGE),),
    ),
    Case(
        "KML of 11 MB",
        "kept in memory twenty times over",
        {**one("./a.kml"), "a.kml": TEXT_OF_11_MB},
        (warned(LARGE),),
    ),
    Case("GeoPackage of 11 MB", "it has an index", {**one("./a.gpkg|layername=a"), "a.gpkg": TEXT_OF_11_MB}),
]

EMBEDDED = [
    Case(
        "embedded layer",
        "its project is here",
        {"map.qgs": embedding("./base.qgs"), **for_lizmap("base", qgs([MEADOW]))},
    ),
    Case(
        "embedded layer by QGIS",
        "as QGIS 3.40 writes it",
        {**by_qgis("embedded", "meadow.geojson"), "base.qgs": qgs([MEADOW])},
    ),
    Case(
        "embedded layer whose project is missing",
        "a file",
        {**project(), "map.qgs": embedding("./no.qgs")},
        (NO_PARENT,),
    ),
    Case(
        "embedded layer of a project in PostgreSQL",
        "no file, and its address may hold a login",
        {"map.qgs": embedding("postgresql://office:5432?dbname=gis&amp;project=base"), "meadow.geojson": "{}"},
        (IN_POSTGRESQL,),
    ),
    Case(
        "embedded layer of a refused project",
        "C11: told as that",
        {"map.qgs": embedding("./base.qgs"), "base.qgs": qgs([Layer("./gone.gpkg")]), "meadow.geojson": "{}"},
        (NOT_THERE, PARENT_REFUSED),
    ),
    Case(
        "embedded group whose project is missing",
        "C11",
        {
            "map.qgs": qgs([MEADOW]).replace(
                "<layer-tree-group>",
                '<layer-tree-group><layer-tree-group name="Base"><customproperties><Option type="Map">'
                '<Option name="embedded_project" value="./no.qgs" type="QString"/></Option></customproperties>'
                "</layer-tree-group>",
                1,
            ),
            "meadow.geojson": "{}",
        },
        (NO_PARENT_OF_GROUP,),
    ),
    Case(
        "group shown as a layer by QGIS",
        "C11: not gone, but QGIS writes neither a provider nor a map-layer-style-manager of it, which Lizmap wants",
        in_lizmap(written("group_layer"), meadow="meadow_1", Base="Base_1"),
        (NOT_READ,),
        True,
    ),
    Case("group shown as a layer, without Lizmap", "QGIS Server draws it", by_qgis("group_layer", "meadow.geojson")),
    Case(
        "group that Lizmap's plugin shows as a layer",
        "C11: not gone, and nothing of it is in the project but its name",
        in_lizmap(
            qgs([MEADOW]).replace("</layer-tree-group>", '<layer-tree-group name="Base"/></layer-tree-group>'),
            meadow="layer_id_meadow",
            Base="Base",
        ),
        (),
        True,
    ),
    Case(
        "layer that the .cfg does not list", "C11", for_lizmap("map", qgs([MEADOW]), "other"), (warned(OLD_CFG),), True
    ),
    Case(
        "one bad project of two",
        "C10: named alone",
        {**project(MEADOW), "b.qgs": qgs([Layer("./no.shp")])},
        (NOT_THERE,),
    ),
]

PASSWORDS = [
    Case(
        "password of PostGIS",
        "everybody reads it",
        one(f"service='poppyfield' password='{SECRET}' table=\"a\"", "postgres"),
        (PASSWORD,),
    ),
    Case(
        "password of SQL Server", "any provider", one(f"MSSQL:server=h;uid=a;pwd={SECRET};"), (PASSWORD, OTHER_DATABASE)
    ),
    Case(
        "password of a WMS",
        "in its address",
        one(f"layers=a&url=https://maps.example/wms?user%3Dann%26password%3D{SECRET}", "wms"),
        (PASSWORD, FROM_SERVER),
    ),
    Case(
        "password of a tile server",
        "in its address",
        one(f"type=xyz&url=https://ann:{SECRET}@tile.example/{TILE}", "wms"),
        (PASSWORD, warned(TILES), warned(BLANK)),
    ),
    Case(
        "login of QGIS",
        "an auth config",
        one("service='poppyfield' authcfg=a1b2c3d table=\"a\"", "postgres"),
        (STORED_LOGIN,),
    ),
    Case(
        "password of a value relation",
        "a form keeps the source",
        styled(f"""<Option name="LayerSource" value="dbname='gis' password='{SECRET}'"/>"""),
        (PASSWORD,),
    ),
    Case(
        "password of a relation",
        "outside of the layers",
        {
            "map.qgs": qgs([MEADOW]).replace("<Layouts>", f"<relation dataSource=\"password='{SECRET}'\"/><Layouts>"),
            "meadow.geojson": "{}",
        },
        (PASSWORD_OUTSIDE,),
    ),
    Case(
        "action that sends a code",
        "C6: an expression, no password",
        styled("""<actionsetting action='https://e.example/?password=[% "code" %]'/>"""),
    ),
    Case("action by QGIS that sends a code", "C6, as QGIS 3.40 writes it", by_qgis("action", "meadow.geojson")),
    Case("filter by a column password", "what is compared", one(f"{TABLE} sql=password='x'", "postgres")),
]

LIZMAP = [
    Case("with its .cfg", "nothing to say", for_lizmap("map", qgs([MEADOW])), (), True),
    Case("without a .cfg", "Lizmap shows no such project", project(MEADOW), (warned(NO_CFG),), True),
    Case("with a broken .cfg", "no JSON", {**project(MEADOW), "map.qgs.cfg": "{"}, (BAD_CFG,), True),
    Case(
        "a file is to be edited",
        "read-only on the Pi",
        for_lizmap("map", qgs([MEADOW]), editionLayers={"meadow": {"layerId": "layer_id_meadow"}}),
        (warned(EDITS_FILE),),
        True,
    ),
    Case(
        ".qgz with Lizmap",
        "QGIS's default kind, unpacked on the way",
        {"map.qgz": zipped(qgs([MEADOW])), "map.qgz.cfg": cfg("meadow"), "meadow.geojson": "{}"},
        (warned(UNPACKED),),
        True,
    ),
    Case(
        ".qgz with labels moved by hand, with Lizmap",
        "what is lost is told",
        {"map.qgz": zipped(qgs([MEADOW]), "map.qgd"), "map.qgs.cfg": cfg("meadow"), "meadow.geojson": "{}"},
        (warned(UNPACKED),),
        True,
    ),
    Case(
        ".qgz without Lizmap",
        "the map page shows it",
        {"map.qgz": zipped(qgs([MEADOW]), "map.qgd"), "meadow.geojson": "{}"},
    ),
]


def saved_by(version: str) -> str:
    """Give a project that says which QGIS saved it."""
    return qgs([MEADOW]).replace("3.40.6-Bratislava", version)


FILES = [
    Case(
        "saved by QGIS 3.22", "older than the Pi's", {"map.qgs": saved_by("3.22.16-Białowieża"), "meadow.geojson": "{}"}
    ),
    Case(
        "saved by QGIS 3.44",
        "newer than the Pi's",
        {"map.qgs": saved_by("3.44.1-Solothurn"), "meadow.geojson": "{}"},
        (NEWER,),
    ),
    Case(
        "saved by QGIS 3.44 and accepted",
        "a warning",
        {"map.qgs": saved_by("3.44.1-Solothurn"), "meadow.geojson": "{}"},
        (warned(NEWER),),
        newer=True,
    ),
    Case("half a project", "a copy that was cut off", {"map.qgs": qgs([MEADOW])[:900]}, (NO_PROJECT,)),
    Case("a page of HTML", "saved by a browser", {"map.qgs": "<html/>"}, (NO_PROJECT,)),
    Case("no project", "stored in PostgreSQL, or elsewhere", {"readme.txt": "x"}, (NO_PROJECT_FILE,)),
    Case(
        "a GeoPackage that is open",
        "QGIS Desktop has it",
        {**one("./a.gpkg|layername=a", "ogr", "a.gpkg"), "a.gpkg-wal": "x"},
        (OPEN,),
    ),
]

DRAWN = [
    Case("layout by QGIS with a font that the image has", "printed the same", by_qgis("layout", "meadow.geojson")),
    Case(
        "labels in a font of Windows", "another takes its place", by_qgis("labels", "meadow.geojson"), (warned(FONTS),)
    ),
    *(
        Case(
            f"labels in {font}",
            whose,
            styled(f'<labeling type="simple"><settings><text-style fontFamily="{font}"/></settings></labeling>'),
            (warned(FONTS),) if named else (),
        )
        for font, whose, named in (
            ("Open Sans", "what QGIS itself writes in much of the time: the image lacks it, and says so", True),
            ("PibotoLt", "the desktop's of Raspberry Pi OS", True),
            ("MS Sans Serif", "an old Windows's", True),
            ("MS Shell Dlg 2", "Windows's name for whatever it writes in", False),
            ("DejaVu Sans Condensed Bold", "a style of one that the image has", False),
        )
    ),
    Case(
        "symbol of the laptop",
        "a question mark on the Pi",
        styled(
            '<layer class="SvgMarker"><Option type="Map"><Option name="name" value="/home/ann/t.svg"/></Option></layer>'
        ),
        (warned(PICTURE),),
    ),
    Case(
        "symbol in the folder",
        "on the Pi",
        {**styled('<layer class="SvgMarker"><prop k="name" v="./t.svg"/></layer>'), "t.svg": "<svg/>"},
    ),
    Case(
        "symbol whose name only looks the same",
        "C3",
        {
            **styled(f'<layer class="SvgMarker"><prop k="name" v="./{COMPOSED}"/></layer>'),
            DECOMPOSED: "<svg/>",
        },
        (warned(PICTURE_LOOKS),),
    ),
    Case(
        "symbol of QGIS's own",
        "in the image",
        styled('<layer class="SvgMarker"><prop k="name" v="arrows/Arrow_01.svg"/></layer>'),
    ),
]

BY_ONE_QGIS = [
    Case(
        "vector tiles with Lizmap",
        "QGIS 3.40 writes all that Lizmap wants of a layer",
        {**in_lizmap(written("vector_tiles"), tiles="tiles_1"), "tiles.mbtiles": "x"},
        (),
        True,
    ),
    Case(
        "vector tiles with Lizmap, 3.22",
        "QGIS 3.22 writes no provider of them",
        {**in_lizmap(written("vector_tiles", OLDER_QGIS), tiles="tiles_1"), "tiles.mbtiles": "x"},
        (NOT_READ,),
        True,
    ),
]
"""Of which the same is not right for another one's."""

CASES = [*NAMES, *LAYERS, *EMBEDDED, *PASSWORDS, *LIZMAP, *FILES, *DRAWN]
CASES += [*of_other_qgis(CASES, OLDER_QGIS), *of_other_qgis(CASES, NEWEST_QGIS, NEWER), *BY_ONE_QGIS]
