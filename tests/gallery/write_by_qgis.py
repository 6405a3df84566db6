"""Writes the gallery's projects by QGIS's own library: python3 write_by_qgis.py FOLDER, where python3-qgis is.

What it packs there is beside it, by the version of QGIS: written_by_qgis_3.40.zip, from the Lizmap image, which has it,
and written_by_qgis_3.22.zip, from a root that `mmdebstrap --variant=apt --include=python3-qgis bookworm ROOT` makes;
that of 3.44 is from Debian's unstable release in the same way, and lacks group_layer and annotation, which are newer.

Data that a project shows need not be there: QGIS writes a layer that it cannot open as well.
What differs from run to run, such as ids and dates, is taken out, and so are the user's name and the folder.
"""

from __future__ import annotations

import os
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from qgis.core import (
    Qgis,
    QgsAction,
    QgsAnnotationLayer,
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFillSymbol,
    QgsLayoutItemLabel,
    QgsMeshLayer,
    QgsPalLayerSettings,
    QgsPrintLayout,
    QgsProject,
    QgsRasterLayer,
    QgsRelation,
    QgsSingleSymbolRenderer,
    QgsTextFormat,
    QgsVectorLayer,
    QgsVectorLayerJoinInfo,
    QgsVectorLayerSimpleLabeling,
    QgsVectorTileLayer,
)
from qgis.PyQt.QtGui import QFont

try:
    from qgis.core import QgsGroupLayer
except ImportError:  # before QGIS 3.24
    QgsGroupLayer = None

MEADOW = (
    '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"name":"meadow","owner":1},"geometry":'
    '{"type":"Polygon","coordinates":[[[2,46],[2,47],[3,47],[3,46],[2,46]]]}}]}'
)
TABLE = '{0} key=\'id\' srid=4326 type=Polygon table="public"."{1}" (geom)'
MESH = "MESH2D\nND 1 0 0 1\nND 2 1 0 1\nND 3 0 1 1\nE3T 1 1 2 3 1\n"


def meadow(project: QgsProject, folder: Path) -> QgsVectorLayer:
    """Add the meadow."""
    (folder / "meadow.geojson").write_text(MEADOW, "utf-8")
    layer = QgsVectorLayer(str(folder / "meadow.geojson"), "meadow", "ogr")
    fill = QgsFillSymbol.createSimple({"color": "184,50,63", "outline_style": "no"})
    layer.setRenderer(QgsSingleSymbolRenderer(fill))
    project.addMapLayer(layer)
    return layer


def vector(source: str, provider: str, name: str = "layer") -> Callable[[QgsProject, Path], None]:
    """Give what adds a vector layer; {folder} in its source is the project's."""

    def add(project: QgsProject, folder: Path) -> None:
        project.addMapLayer(QgsVectorLayer(source.replace("{folder}", str(folder)), name, provider))

    return add


def raster(source: str, provider: str) -> Callable[[QgsProject, Path], None]:
    """Give what adds a raster layer."""

    def add(project: QgsProject, folder: Path) -> None:
        project.addMapLayer(QgsRasterLayer(source.replace("{folder}", str(folder)), "layer", provider))

    return add


def mesh(project: QgsProject, folder: Path) -> None:
    """Add a mesh."""
    (folder / "dam.2dm").write_text(MESH, "utf-8")
    project.addMapLayer(QgsMeshLayer(str(folder / "dam.2dm"), "dam", "mdal"))


def owners(project: QgsProject, folder: Path) -> QgsVectorLayer:
    """Add a table of owners."""
    (folder / "owners.csv").write_text("id,name\n1,Ann\n", "utf-8")
    layer = QgsVectorLayer(
        f"file://{folder}/owners.csv?type=csv&geomType=none&detectTypes=yes", "owners", "delimitedtext"
    )
    project.addMapLayer(layer)
    return layer


def points(project: QgsProject, folder: Path) -> None:
    """Add points of a CSV file."""
    (folder / "points.csv").write_text("x,y\n3,46.5\n", "utf-8")
    vector("file://{folder}/points.csv?type=csv&xField=x&yField=y&crs=EPSG:4326", "delimitedtext")(project, folder)


def join(project: QgsProject, folder: Path) -> None:
    """Join the owners to the meadow."""
    info = QgsVectorLayerJoinInfo()
    info.setJoinLayer(owners(project, folder))
    info.setJoinFieldName("id")
    info.setTargetFieldName("owner")
    meadow(project, folder).addJoin(info)


def relation(project: QgsProject, folder: Path) -> None:
    """Relate the meadow to its owner."""
    found = QgsRelation()
    found.setId("owned")
    found.setName("owned")
    found.setReferencedLayer(owners(project, folder).id())
    found.setReferencingLayer(meadow(project, folder).id())
    found.addFieldPair("owner", "id")
    project.relationManager().addRelation(found)


def virtual(project: QgsProject, folder: Path) -> None:
    """Add a layer that is computed of the meadow."""
    meadow(project, folder)
    vector("?query=SELECT * FROM meadow", "virtual")(project, folder)


def vector_tiles(project: QgsProject, folder: Path) -> None:
    """Add vector tiles of a file."""
    project.addMapLayer(QgsVectorTileLayer(f"type=mbtiles&url={folder}/tiles.mbtiles", "tiles"))


def group_layer(project: QgsProject, folder: Path) -> None:
    """Show a group as a layer."""
    group = project.layerTreeRoot().addGroup("Base")
    layer = meadow(project, folder)
    group.addLayer(layer)
    shown = group.convertToGroupLayer(QgsGroupLayer.LayerOptions(project.transformContext()))
    # As QGIS Desktop does, or it would not be in the file.
    project.addMapLayer(shown, False)


def annotation(project: QgsProject, folder: Path) -> None:
    """Add a layer of annotations."""
    meadow(project, folder)
    project.addMapLayer(QgsAnnotationLayer("notes", QgsAnnotationLayer.LayerOptions(project.transformContext())))


def base(project: QgsProject, folder: Path) -> None:
    """Have the meadow in a group, for others to embed."""
    meadow(project, folder)
    root = project.layerTreeRoot()
    root.insertGroup(0, "Base").addChildNode(root.children()[-1].clone())
    root.removeChildNode(root.children()[-1])


def embedded(project: QgsProject, folder: Path) -> None:
    """Embed the group of the project base, which was written before."""
    project.setFileName(str(folder / "embedded.qgs"))
    group = project.createEmbeddedGroup("Base", str(folder / "base.qgs"), [])
    project.layerTreeRoot().addChildNode(group)


def action(project: QgsProject, folder: Path) -> None:
    """Give the meadow an action that sends a code."""
    address = 'https://e.example/?password=[% "name" %]'
    # Before QGIS 3.24 the kinds of actions were those of QgsAction.
    kind = Qgis.AttributeActionType.OpenUrl if hasattr(Qgis, "AttributeActionType") else QgsAction.OpenUrl
    meadow(project, folder).actions().addAction(QgsAction(kind, "send", address))


def labels(project: QgsProject, folder: Path) -> None:
    """Label the meadow in a font of Windows."""
    words = QgsTextFormat()
    words.setFont(QFont("Comic Sans MS"))
    settings = QgsPalLayerSettings()
    settings.fieldName = "name"
    settings.setFormat(words)
    layer = meadow(project, folder)
    layer.setLabeling(QgsVectorLayerSimpleLabeling(settings))
    layer.setLabelsEnabled(True)


def layout(project: QgsProject, folder: Path) -> None:
    """Add a page to print, whose words are in a font that the image has."""
    meadow(project, folder)
    page = QgsPrintLayout(project)
    page.initializeDefaults()
    page.setName("A4")
    label = QgsLayoutItemLabel(page)
    label.setText("Les prés")
    if hasattr(label, "setTextFormat"):
        words = QgsTextFormat()
        words.setFont(QFont("DejaVu Sans"))
        label.setTextFormat(words)
    else:  # before QGIS 3.24
        label.setFont(QFont("DejaVu Sans"))
    page.addLayoutItem(label)
    project.layoutManager().addLayout(page)


PROJECTS: dict[str, Callable[[QgsProject, Path], Any]] = {
    "mesh_2dm": mesh,
    "xyz_local": raster("type=xyz&url=file://{folder}/tiles/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=1&zmin=0", "wms"),
    "xyz": raster("type=xyz&url=https://tile.example/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=19&zmin=0", "wms"),
    "wms": raster("crs=EPSG:3857&format=image/png&layers=a&styles=&url=https://maps.example/wms", "wms"),
    "wfs": vector(" url='https://maps.example/wfs' typename='a' version='auto'", "WFS"),
    "vector_tiles": vector_tiles,
    "raster": raster("{folder}/ground.tif", "gdal"),
    "virtual": virtual,
    "join": join,
    "relation": relation,
    "csv": points,
    "geopackage": vector("{folder}/fields.gpkg|layername=fields", "ogr"),
    "postgis": vector(TABLE.format("service='poppyfield'", "meadow"), "postgres"),
    "view": vector(TABLE.format("service='poppyfield'", "meadow_view"), "postgres"),
    "postgis_host": vector(TABLE.format("dbname='gis' host=localhost port=5432", "meadow"), "postgres"),
    "scratch": vector("Point?crs=EPSG:4326&field=name:string", "memory"),
    "base": base,
    "embedded": embedded,
    **({"group_layer": group_layer, "annotation": annotation} if QgsGroupLayer else {}),
    "action": action,
    "labels": labels,
    "layout": layout,
}


def tidy(text: str, folder: Path) -> str:
    """Take out what differs from run to run, and what is long and says nothing here."""
    text = re.sub(r"_[0-9a-f]{8}_(?:[0-9a-f]{4}_){3}[0-9a-f]{12}", "_1", text)
    text = re.sub(r"\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}", "{00000000-0000-4000-8000-000000000001}", text)
    text = re.sub(r' (?:saveUser|saveUserFull)="[^"]*"', "", text)
    text = re.sub(r'saveDateTime="[^"]*"', 'saveDateTime="2026-01-01T00:00:00"', text)
    text = re.sub(r"<(creation|author)>[^<]*</\1>", r"<\1></\1>", text)
    text = re.sub(r"<date [^>]*/>", "", text)
    text = text.replace(str(folder), "/home/ann/maps")
    return "\n".join(line.strip() for line in text.splitlines()) + "\n"


def main() -> None:
    """Write all of them."""
    folder = Path(sys.argv[1]).resolve()
    application = QgsApplication([], GUIenabled=False)
    application.initQgis()
    for name, fill in PROJECTS.items():
        project = QgsProject.instance()
        project.clear()
        project.setCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
        fill(project, folder)
        path = folder / f"{name}.qgs"
        assert project.write(str(path)), project.error()
        path.write_text(tidy(path.read_text("utf-8"), folder), "utf-8")
    version = ".".join(Qgis.QGIS_VERSION.split(".")[:2])
    with zipfile.ZipFile(
        folder / f"written_by_qgis_{version}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9
    ) as archive:
        for name in sorted(PROJECTS):
            archive.writestr(
                zipfile.ZipInfo(f"{name}.qgs"), (folder / f"{name}.qgs").read_bytes(), zipfile.ZIP_DEFLATED
            )
    application.exitQgis()


if __name__ == "__main__":
    main()
