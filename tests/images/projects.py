"""Small QGIS projects, written by hand, and the data that they show: one meadow, in every format that people bring.

The meadow is the western half of the ground that the pictures show: a picture has two colours, each in its place.
"""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

WEST, SOUTH, EAST, NORTH = 2.0, 46.0, 4.0, 47.0
"""The ground, in degrees."""
MIDDLE = 3.0, 46.5
"""The origin of EPSG:2154, where its coordinates are exactly 700000, 6600000."""
POPPY = 184, 50, 63
GRASS = 90, 140, 60
WHITE = 255, 255, 255
NAME = "Pré d'Été"
HECTARES = 12.5
Ring = tuple[tuple[float, float], ...]
RING: Ring = ((WEST, SOUTH), (WEST, NORTH), (MIDDLE[0], NORTH), (MIDDLE[0], SOUTH), (WEST, SOUTH))
POLYGON_WKT = f"Polygon (({', '.join(f'{x} {y}' for x, y in RING)}))"
POINT_WKT = f"Point ({MIDDLE[0]} {MIDDLE[1]})"


@dataclass(frozen=True)
class Layer:
    """A layer of a project: where its data are, and how it is drawn."""

    source: str
    provider: str = "ogr"
    name: str = "meadow"
    geometry: str = "Polygon"
    """Polygon, Point, or nothing for a raster."""
    encoding: str = "UTF-8"
    crs: int = 4326
    """EPSG's number of the data's reference system."""
    style: str = ""
    """QGIS's XML of how it is drawn; nothing is POPPY all over."""
    fields: tuple[str, ...] = ()
    """Names of the fields, which Lizmap wants to know before it reads or edits a layer in PostGIS."""

    def xml(self) -> str:
        """Give it as QGIS saves it."""
        mesh = self.provider in ("mdal", "mesh_memory")
        kind = f'type="vector" geometry="{self.geometry}"' if self.geometry else 'type="raster"'
        # QGIS writes nothing of the styles of a mesh.
        styles = (
            '<map-layer-style-manager current="default"><map-layer-style name="default"/></map-layer-style-manager>'
        )
        style = self.style or (single_symbol(fill(POPPY)) if self.geometry else pipe(self.provider, self.source))
        return f"""
    <maplayer {'type="mesh"' if mesh else kind} styleCategories="AllStyleCategories" hasScaleBasedVisibilityFlag="0">
      <id>{self.id}</id>
      <datasource>{escape(self.source)}</datasource>
      <shortname>{self.name}</shortname>
      <layername>{self.name}</layername>
      <srs>{crs(self.crs)}</srs>
      <provider encoding="{self.encoding}">{self.provider}</provider>
      {"" if mesh else styles}
      {form(self.fields) if self.fields else ""}
      {style}
    </maplayer>"""

    @property
    def id(self) -> str:
        """The layer's id; QGIS replaces ids that are shorter than ten characters."""
        return f"layer_id_{self.name}"


PROJ4 = {
    4326: "+proj=longlat +datum=WGS84 +no_defs",
    3857: "+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0 +k=1 +units=m +nadgrids=@null +wktext",
    2154: "+proj=lcc +lat_0=46.5 +lon_0=3 +lat_1=49 +lat_2=44 +x_0=700000 +y_0=6600000 +ellps=GRS80 +units=m +no_defs",
}


def crs(code: int) -> str:
    """Give one of EPSG's reference systems as QGIS saves it; without a srid QGIS would not look it up."""
    ids = f"<srsid>{code}</srsid><srid>{code}</srid><authid>EPSG:{code}</authid>"
    return f"<spatialrefsys><proj4>{PROJ4[code]}</proj4>{ids}</spatialrefsys>"


def qgs(layers: Iterable[Layer], layouts: str = "", title: str = "Test", project_crs: int = 4326) -> str:
    """Give a project with these layers, the first on top, published by WMS, WMTS and WFS."""
    layers = tuple(layers)
    tree = "".join(
        f'<layer-tree-layer id="{layer.id}" name="{layer.name}" checked="Qt::Checked" providerKey="{layer.provider}"/>'
        for layer in layers
    )
    ids = "".join(f"<value>{layer.id}</value>" for layer in layers if layer.geometry)
    return f"""<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis projectname="{title}" version="3.40.6-Bratislava">
  <title>{title}</title>
  <projectCrs>{crs(project_crs)}</projectCrs>
  <layer-tree-group>{tree}</layer-tree-group>
  <projectlayers>{"".join(layer.xml() for layer in layers)}</projectlayers>
  <Layouts>{layouts}</Layouts>
  <properties>
    <Gui>
      <CanvasColorRedPart type="int">255</CanvasColorRedPart>
      <CanvasColorGreenPart type="int">255</CanvasColorGreenPart>
      <CanvasColorBluePart type="int">255</CanvasColorBluePart>
    </Gui>
    <WMSServiceCapabilities type="bool">true</WMSServiceCapabilities>
    <WMSServiceTitle type="QString">{title}</WMSServiceTitle>
    <WMSAddWktGeometry type="bool">true</WMSAddWktGeometry>
    <WMSCrsList type="QStringList">
      <value>EPSG:4326</value><value>EPSG:3857</value><value>EPSG:2154</value>
    </WMSCrsList>
    <WFSLayers type="QStringList">{ids}</WFSLayers>
    <WMTSLayers><Project type="bool">true</Project></WMTSLayers>
    <WMTSPngLayers><Project type="bool">true</Project></WMTSPngLayers>
  </properties>
</qgis>
"""


def form(fields: Iterable[str]) -> str:
    """Give what QGIS saves of fields that are lines of text, without names, rules or values of their own."""
    elements = {
        "fieldConfiguration": '<field name="{}" configurationFlags="NoFlag"><editWidget type="TextEdit"><config>'
        '<Option type="Map"><Option type="bool" name="IsMultiline" value="false"/></Option></config></editWidget>'
        "</field>",
        "aliases": '<alias field="{}" index="0" name=""/>',
        "defaults": '<default field="{}" expression="" applyOnUpdate="0"/>',
        "constraints": '<constraint field="{}" constraints="0" notnull_strength="0" unique_strength="0"'
        ' exp_strength="0"/>',
        "constraintExpressions": '<constraint field="{}" exp="" desc=""/>',
        "editable": '<field name="{}" editable="1"/>',
    }
    return "".join(
        f"<{name}>{''.join(element.format(field) for field in fields)}</{name}>" for name, element in elements.items()
    )


# How a layer is drawn ------------------------------------------------------------------------------------------------


def options(**values: str) -> str:
    """Give a symbol layer's properties."""
    rows = "".join(f"<Option type='QString' name='{name}' value={quoteattr(value)}/>" for name, value in values.items())
    return f"<Option type='Map'>{rows}</Option>"


def rgba(color: tuple[int, int, int]) -> str:
    """Give a colour as QGIS saves it."""
    return ",".join(map(str, (*color, 255)))


def symbol(kind: str, layer_class: str, properties: str, name: str = "0") -> str:
    """Give a symbol with one symbol layer; the kind is marker or fill."""
    return (
        f'<symbol type="{kind}" name="{name}" alpha="1" clip_to_extent="1">'
        f'<layer class="{layer_class}" enabled="1" pass="0">{properties}</layer></symbol>'
    )


def fill(color: tuple[int, int, int]) -> str:
    """Give an area of one colour without a border."""
    return symbol("fill", "SimpleFill", options(color=rgba(color), style="solid", outline_style="no"))


def marker(layer_class: str = "SimpleMarker", **properties: str) -> str:
    """Give a marker without a border; sizes are in pixels."""
    given = {"color": rgba(POPPY), "size": "20", "size_unit": "Pixel", "outline_style": "no", **properties}
    return symbol("marker", layer_class, options(**given))


def single_symbol(drawn: str) -> str:
    """Give a renderer that draws everything with one symbol."""
    return f'<renderer-v2 type="singleSymbol"><symbols>{drawn}</symbols></renderer-v2>'


def pipe(provider: str, source: str) -> str:
    """Give how QGIS draws a raster of colours; without it Lizmap does not read the project."""
    bands = 'band="1"' if provider == "wms" else 'redBand="1" greenBand="2" blueBand="3"'
    kind = "singlebandcolordata" if provider == "wms" else "multibandcolor"
    alpha = 4 if source.endswith(".mbtiles") else -1
    return (
        f'<pipe><rasterrenderer type="{kind}" {bands} alphaBand="{alpha}" opacity="1" nodataColor="">'
        "<rasterTransparency/></rasterrenderer></pipe>"
    )


def categorized(field: str, value: str, drawn: str) -> str:
    """Give a renderer that draws only what has this value."""
    return (
        f'<renderer-v2 type="categorizedSymbol" attr="{field}"><categories>'
        f"<category value={quoteattr(value)} symbol='0' label='Meadows' render='true'/></categories>"
        f"<symbols>{drawn}</symbols></renderer-v2>"
    )


def label(expression: str, font: str = "DejaVu Sans") -> str:
    """Give labels in POPPY, 40 pixels high, over the middle of each feature, whose symbol does not show."""
    return f"""{single_symbol(marker(color="0,0,0,0"))}
      <labeling type="simple"><settings>
        <text-style fontFamily="{font}" fontSize="40" fontSizeUnit="Pixel" textColor="{rgba(POPPY)}" textOpacity="1"
          fieldName={quoteattr(expression)} isExpression="1"/>
        <placement placement="1" quadOffset="4"/>
        <rendering displayAll="1" obstacle="0"/>
      </settings></labeling>"""


def layout(name: str, each: Layer | None = None) -> str:
    """Give an A4 page in landscape with a map, 200 by 100 mm, and a text above it; or one for each feature."""
    atlas = f'<Atlas enabled="1" coverageLayer="{each.id}" hideCoverage="0" filterFeatures="0"/>' if each else ""
    return f"""
    <Layout name="{name}" units="mm" printResolution="96">
      <PageCollection>
        <LayoutItem type="65638" size="297,210,mm" position="0,0,mm" visibility="1"/>
      </PageCollection>
      <LayoutItem type="65639" id="map0" uuid="{{00000000-0000-4000-8000-000000000001}}" size="200,100,mm"
        position="48.5,60,mm" positionOnPage="48.5,60,mm" referencePoint="0" visibility="1" background="true"
        frame="false" opacity="1" keepLayerSet="false" followPreset="false">
        <BackgroundColor red="255" green="255" blue="255" alpha="255"/>
        <Extent xmin="{WEST}" ymin="{SOUTH}" xmax="{EAST}" ymax="{NORTH}"/>
      </LayoutItem>
      <LayoutItem type="65641" id="words" uuid="{{00000000-0000-4000-8000-000000000002}}" size="200,15,mm"
        position="48.5,20,mm" positionOnPage="48.5,20,mm" referencePoint="0" visibility="1" background="false"
        frame="false" opacity="1" labelText="Les prés" htmlState="0" halign="1" valign="32">
        <text-style fontFamily="DejaVu Sans" fontSize="30" fontSizeUnit="Point" textColor="0,0,0,255" textOpacity="1"/>
      </LayoutItem>
      {atlas}
    </Layout>"""


# The meadow in each format -------------------------------------------------------------------------------------------


def geojson(folder: Path) -> Layer:
    """Write it as GeoJSON."""
    coordinates = ",".join(f"[{x},{y}]" for x, y in RING)
    (folder / "meadow.geojson").write_text(
        '{"type":"FeatureCollection","features":[{"type":"Feature",'
        f'"properties":{{"name":"{NAME}","hectares":{HECTARES}}},'
        f'"geometry":{{"type":"Polygon","coordinates":[[{coordinates}]]}}}}]}}',
        encoding="utf-8",
    )
    return Layer("./meadow.geojson")


def kml(folder: Path) -> Layer:
    """Write it as KML."""
    coordinates = " ".join(f"{x},{y}" for x, y in RING)
    (folder / "meadow.kml").write_text(
        '<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Schema name="s" id="s">'
        '<SimpleField name="hectares" type="float"/></Schema><Folder><name>meadow</name><Placemark>'
        f'<name>{NAME}</name><ExtendedData><SchemaData schemaUrl="#s"><SimpleData name="hectares">{HECTARES}'
        "</SimpleData></SchemaData></ExtendedData><Polygon><outerBoundaryIs><LinearRing><coordinates>"
        f"{coordinates}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></Folder></Document></kml>",
        encoding="utf-8",
    )
    return Layer("./meadow.kml")


def csv(folder: Path) -> Layer:
    """Write it as CSV with a column of WKT."""
    (folder / "meadow.csv").write_text(f'name;hectares;wkt\n"{NAME}";{HECTARES};"{POLYGON_WKT}"\n', encoding="utf-8")
    return Layer(
        "file:./meadow.csv?encoding=UTF-8&type=csv&delimiter=;&wktField=wkt&geomType=Polygon&crs=EPSG:4326"
        "&detectTypes=yes",
        "delimitedtext",
    )


def wkb(ring: Ring) -> bytes:
    """Give a polygon as well-known binary, little-endian."""
    return struct.pack("<BIII", 1, 3, 1, len(ring)) + b"".join(struct.pack("<dd", *point) for point in ring)


def geopackage(folder: Path) -> Layer:
    """Write it as a GeoPackage, the format of the field apps."""
    path = folder / "meadow.gpkg"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.executescript(f"""
            PRAGMA application_id = 0x47504B47;
            PRAGMA user_version = 10300;
            CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY,
                organization TEXT NOT NULL, organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL,
                description TEXT);
            INSERT INTO gpkg_spatial_ref_sys VALUES
                ('undefined cartesian', -1, 'NONE', -1, 'undefined', NULL),
                ('undefined geographic', 0, 'NONE', 0, 'undefined', NULL),
                ('WGS 84', 4326, 'EPSG', 4326, '{WGS84_WKT}', NULL);
            CREATE TABLE gpkg_contents (table_name TEXT PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
                description TEXT DEFAULT '', last_change DATETIME NOT NULL DEFAULT '2026-01-01T00:00:00.000Z',
                min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER);
            INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id)
                VALUES ('meadow', 'features', 'meadow', 4326);
            CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL,
                geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL);
            INSERT INTO gpkg_geometry_columns VALUES ('meadow', 'geom', 'POLYGON', 4326, 0, 0);
            CREATE TABLE meadow (fid INTEGER PRIMARY KEY, geom POLYGON, name TEXT, hectares DOUBLE);""")
        blob = b"GP\x00\x01" + struct.pack("<i", 4326) + wkb(RING)
        database.execute("INSERT INTO meadow VALUES (1, ?, ?, ?)", (blob, NAME, HECTARES))
    return Layer("./meadow.gpkg|layername=meadow")


WGS84_WKT = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4326"]]'
)


def shapefile(folder: Path) -> Layer:
    """Write it as a shapefile, whose attributes are Latin-1 and whose reference system is in its .prj."""
    box = struct.pack("<4d", WEST, SOUTH, MIDDLE[0], NORTH)
    points = b"".join(struct.pack("<dd", *point) for point in RING)
    record = struct.pack("<i", 5) + box + struct.pack("<iii", 1, len(RING), 0) + points
    record_words = len(record) // 2

    def header(words: int) -> bytes:
        return struct.pack(">7i", 9994, 0, 0, 0, 0, 0, words) + struct.pack("<ii", 1000, 5) + box + bytes(32)

    shape = struct.pack(">ii", 1, record_words) + record
    (folder / "meadow.shp").write_bytes(header(50 + len(shape) // 2) + shape)
    (folder / "meadow.shx").write_bytes(header(54) + struct.pack(">ii", 50, record_words))
    fields = ((b"name", b"C", 40, 0), (b"hectares", b"N", 12, 2))
    described = b"".join(struct.pack("<11sc4xBB14x", *field) for field in fields)
    row = b" " + NAME.encode("latin-1").ljust(40) + f"{HECTARES:12.2f}".encode()
    table = struct.pack("<BBBBIHH20x", 3, 126, 1, 1, 1, 32 + len(described) + 1, len(row))
    (folder / "meadow.dbf").write_bytes(table + described + b"\r" + row + b"\x1a")
    (folder / "meadow.prj").write_text(WGS84_WKT, encoding="ascii")
    (folder / "meadow.cpg").write_text("ISO-8859-1", encoding="ascii")
    return Layer("./meadow.shp", encoding="ISO-8859-1")


def spatialite(folder: Path) -> Layer:
    """Write it as a view over a GeoPackage, computed by SpatiaLite: QGIS's virtual layer."""
    geopackage(folder)
    query = "SELECT name, hectares, st_intersection(geometry, buildmbr(0, 0, 90, 90, 4326)) AS geometry FROM source"
    return virtual_layer(query, "Polygon", "ogr:/srv/projects/virtual/meadow.gpkg|layername=meadow")


def virtual_layer(query: str, geometry: str, source: str = "") -> Layer:
    """Give a layer that SpatiaLite computes, perhaps from a source that the query calls source."""
    provider, _, path = source.partition(":")
    given = f"layer={provider}:{quote(path, safe='')}:source:UTF-8&" if source else ""
    number = {"Point": 1, "Polygon": 3}[geometry]
    where = f"?{given}query={quote(query)}&geometry=geometry:{number}:4326"
    return Layer(where, "virtual", geometry=geometry, style=single_symbol(marker()) if geometry == "Point" else "")


def postgis(_: Path) -> Layer:
    """Name the table of the meadow in PostGIS, reached by the container's own service file."""
    return Layer(
        "service='poppyfield' key='id' srid=4326 type=Polygon table=\"public\".\"meadow\" (geom)",
        "postgres",
        fields=("id", "name", "hectares"),
    )


POSTGIS_SQL = (
    "CREATE TABLE meadow (id int PRIMARY KEY, name text, hectares float, geom geometry(Polygon, 4326));"
    f"INSERT INTO meadow VALUES (1, '{NAME.replace(chr(39), 2 * chr(39))}', {HECTARES},"
    f" ST_GeomFromText('{POLYGON_WKT}', 4326));"
)

VECTORS: dict[str, Callable[[Path], Layer]] = {
    "geopackage": geopackage,
    "geojson": geojson,
    "shapefile": shapefile,
    "kml": kml,
    "csv": csv,
    "virtual": spatialite,
    "postgis": postgis,
}
"""Name of the format -> what writes the meadow into a folder and gives its layer."""


# Pictures of the ground ----------------------------------------------------------------------------------------------


def aerial_picture() -> Image.Image:
    """Give a picture of the ground: the meadow in the west, grass in the east."""
    picture = Image.new("RGB", (256, 128), GRASS)
    picture.paste(POPPY, (0, 0, 128, 128))
    return picture


def geotiff(compression: str) -> Callable[[Path], Layer]:
    """Give what writes the picture as a GeoTIFF with one of TIFF's compressions."""

    def write(folder: Path) -> Layer:
        tags = ImageFileDirectory_v2()
        pixel = (EAST - WEST) / 256
        for tag, kind, values in (
            (33550, 12, (pixel, pixel, 0.0)),
            (33922, 12, (0.0, 0.0, 0.0, WEST, NORTH, 0.0)),
            (34735, 3, (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326)),
        ):
            tags.tagtype[tag] = kind
            tags[tag] = values
        aerial_picture().save(folder / "ground.tif", compression=compression, tiffinfo=tags)
        return Layer("./ground.tif", "gdal", "ground", geometry="")

    return write


def world_file(suffix: str) -> Callable[[Path], Layer]:
    """Give what writes the picture as a plain image with a world file beside it."""

    def write(folder: Path) -> Layer:
        aerial_picture().save(folder / f"ground.{suffix}")
        pixel = (EAST - WEST) / 256
        numbers = (pixel, 0.0, 0.0, -pixel, WEST + pixel / 2, NORTH - pixel / 2)
        (folder / "ground.wld").write_text("\n".join(map(str, numbers)), encoding="ascii")
        return Layer(f"./ground.{suffix}", "gdal", "ground", geometry="")

    return write


def mbtiles(folder: Path) -> Layer:
    """Write the picture as MBTiles, the format of background maps that are carried along: one tile of the world."""
    tile = Image.new("RGB", (256, 256), GRASS)
    tile.paste(POPPY, (0, 0, 129, 256))  # a pixel is 157 km: the border is at 1.4° E
    encoded = io.BytesIO()
    tile.save(encoded, "PNG")
    path = folder / "ground.mbtiles"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.executescript("""
            CREATE TABLE metadata (name TEXT, value TEXT);
            CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB);""")
        metadata = {"name": "ground", "type": "baselayer", "version": "1", "format": "png", "minzoom": 0, "maxzoom": 0}
        database.executemany("INSERT INTO metadata VALUES (?, ?)", metadata.items())
        database.execute("INSERT INTO tiles VALUES (0, 0, 0, ?)", (encoded.getvalue(),))
    return Layer("./ground.mbtiles", "gdal", "ground", geometry="", crs=3857)


RASTERS: dict[str, Callable[[Path], Layer]] = {
    **{f"geotiff-{name}": geotiff(name) for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg")},
    "png": world_file("png"),
    "jpeg": world_file("jpg"),
    "mbtiles": mbtiles,
}
"""Name of the format -> what writes the picture into a folder and gives its layer."""


def point(folder: Path) -> str:
    """Write one point in the middle of the ground as GeoJSON; give its source."""
    x, y = MIDDLE
    (folder / "tree.geojson").write_text(
        '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"name":"oak"},'
        f'"geometry":{{"type":"Point","coordinates":[{x},{y}]}}}}]}}',
        encoding="utf-8",
    )
    return "./tree.geojson"


def trees(folder: Path, places: Iterable[tuple[float, float]]) -> Layer:
    """Write a tree at each of these places, numbered in a field `name`."""
    features = [
        {"type": "Feature", "properties": {"name": f"tree {n}"}, "geometry": {"type": "Point", "coordinates": place}}
        for n, place in enumerate(places)
    ]
    (folder / "trees.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}), "utf-8")
    return Layer("./trees.geojson", name="tree", geometry="Point", style=single_symbol(marker()))


def write_zipped(path: Path, project: str) -> None:
    """Write a project as .qgz."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{path.stem}.qgs", project)
