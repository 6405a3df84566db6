#!/usr/bin/env python3
"""Make the sample's QGIS project (projects/sample/france.qgs) with PyQGIS.

Needs python3-qgis 3.40, the fonts of fonts-dejavu-core, and a libpq service "poppyfield" that leads to a
database with sample.sql in it, because QGIS reads the columns from there:

    PGSERVICEFILE=my-services.conf QT_QPA_PLATFORM=offscreen python3 workshop/demo/sample/make_project.py
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeatureRequest,
    QgsFillSymbol,
    QgsGraduatedSymbolRenderer,
    QgsLayerMetadata,
    QgsLineSymbol,
    QgsMapLayer,
    QgsMarkerSymbol,
    QgsPalLayerSettings,
    QgsProject,
    QgsRectangle,
    QgsReferencedRectangle,
    QgsRendererRange,
    QgsRuleBasedLabeling,
    QgsRuleBasedRenderer,
    QgsSimpleMarkerSymbolLayer,
    QgsSingleSymbolRenderer,
    QgsTextBufferSettings,
    QgsTextFormat,
    QgsUnitTypes,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)
from qgis.PyQt.QtCore import QDateTime, QPointF
from qgis.PyQt.QtGui import QColor, QFont

OUTPUT = Path(__file__).resolve().parent / "projects" / "sample" / "france.qgs"
FONT = "DejaVu Sans"
FRANCE = QgsRectangle(-680000, 5000000, 1180000, 6720000)  # EPSG:3857

SEA = "#cfe2ec"
LAND = "#efece5"
INK = "#33303a"
WATER = "#5b9dc4"
# From ripe wheat to poppy: people per square kilometre up to the number.
DENSITY = (
    (30, "#fdf5df"),
    (60, "#fae3b9"),
    (100, "#f6c892"),
    (200, "#ee9f73"),
    (500, "#dc6a56"),
    (20000, "#b8323f"),
)
NATURAL_EARTH = "Natural Earth"
INSEE = "Insee"
GEONAMES = "GeoNames (CC BY 4.0)"


def database_layer(table: str, geometry_type: str, title: str, abstract: str, attribution: str) -> QgsVectorLayer:
    """Return a layer of one table of the schema sample, named and described for WMS and WFS."""
    source = (
        f"service='poppyfield' sslmode=prefer key='id' estimatedmetadata=true srid=4326 type={geometry_type} "
        f'checkPrimaryKeyUnicity=\'0\' table="sample"."{table}" (geom)'
    )
    layer = QgsVectorLayer(source, title, "postgres")
    if not layer.isValid():
        raise SystemExit(f"{table}: {layer.dataProvider().error().summary() if layer.dataProvider() else source}")
    # A fixed id, longer than ten characters: QGIS replaces shorter ones when it opens the project.
    layer.setId(f"sample_layer_{table}")
    # The key is for the database; people who click need not see it.
    key = layer.fields().indexOf("id")
    layer.setFieldConfigurationFlag(key, Qgis.FieldConfigurationFlag.HideFromWms, True)
    server = layer.serverProperties()
    server.setShortName(table)
    server.setTitle(title)
    server.setAbstract(abstract)
    server.setAttribution(attribution)
    metadata = QgsLayerMetadata()
    metadata.setTitle(title)
    metadata.setAbstract(abstract)
    if attribution:
        metadata.setLicenses([attribution])
    layer.setMetadata(metadata)
    return layer


def text(size: float, color: str, *, bold: bool = False, italic: bool = False, spacing: float = 0.0) -> QgsTextFormat:
    """Return a text format with a halo, so that it reads on every ground."""
    font = QFont(FONT)
    font.setBold(bold)
    font.setItalic(italic)
    if spacing:
        font.setLetterSpacing(QFont.AbsoluteSpacing, spacing)
    halo = QgsTextBufferSettings()
    halo.setEnabled(True)
    halo.setSize(0.7)
    halo.setColor(QColor(255, 253, 247, 215))
    style = QgsTextFormat()
    style.setFont(font)
    style.setSize(size)
    style.setSizeUnit(QgsUnitTypes.RenderPoints)
    style.setColor(QColor(color))
    style.setBuffer(halo)
    return style


def label(expression: str, style: QgsTextFormat, priority: int) -> QgsPalLayerSettings:
    """Return label settings for an expression."""
    settings = QgsPalLayerSettings()
    settings.fieldName = expression
    settings.isExpression = True
    settings.setFormat(style)
    settings.priority = priority
    return settings


def fill(color: str, line: str, width: float) -> QgsFillSymbol:
    """Return an area with a thin border."""
    return QgsFillSymbol.createSimple(
        {"color": color, "outline_color": line, "outline_width": str(width), "joinstyle": "round"}
    )


def dot(size: float, color: str, line: str, width: float) -> QgsMarkerSymbol:
    """Return a round marker."""
    return QgsMarkerSymbol.createSimple(
        {
            "name": "circle",
            "size": str(size),
            "color": color,
            "outline_color": line,
            "outline_width": str(width),
        }
    )


def disc(
    size: float, color: str, line: str, width: float, offset: tuple[float, float] = (0, 0)
) -> QgsSimpleMarkerSymbolLayer:
    """Return one round part of a marker."""
    part = QgsSimpleMarkerSymbolLayer(Qgis.MarkerShape.Circle, size)
    part.setColor(QColor(color))
    part.setStrokeColor(QColor(line))
    part.setStrokeWidth(width)
    part.setOffset(QPointF(*offset))
    return part


def sea() -> QgsVectorLayer:
    """Return the blue ground."""
    layer = database_layer("sea", "Polygon", "Mer", "Le fond bleu de la carte.", NATURAL_EARTH)
    layer.setRenderer(QgsSingleSymbolRenderer(fill(SEA, SEA, 0)))
    layer.setFlags(layer.flags() & ~QgsMapLayer.Identifiable)
    return layer


def countries() -> QgsVectorLayer:
    """Return the neighbours: quiet, named in wide capitals."""
    layer = database_layer("countries", "MultiPolygon", "Pays voisins", "Les pays autour de la France.", NATURAL_EARTH)
    layer.setRenderer(QgsSingleSymbolRenderer(fill(LAND, "#c3bdb0", 0.25)))
    names = label('upper("name")', text(8.5, "#9b9484", spacing=1.6), priority=2)
    names.placement = Qgis.LabelPlacement.Horizontal
    names.fitInPolygonOnly = True
    names.scaleVisibility = True
    names.minimumScale = 12000000
    names.maximumScale = 1000000
    layer.setLabeling(QgsVectorLayerSimpleLabeling(names))
    layer.setLabelsEnabled(True)
    return layer


def departments() -> QgsVectorLayer:
    """Return the departments, coloured by density."""
    layer = database_layer(
        "departments",
        "MultiPolygon",
        "Départements",
        "Les 96 départements de France métropolitaine et leur densité de population.",
        f"{NATURAL_EARTH}, {INSEE}",
    )
    ranges = []
    lower = 0
    for upper, color in DENSITY:
        if lower == 0:
            words = f"moins de {upper} hab./km²"
        elif upper == DENSITY[-1][0]:
            words = f"plus de {lower} hab./km²"
        else:
            words = f"{lower} à {upper} hab./km²"
        ranges.append(QgsRendererRange(lower, upper, fill(color, "#ffffff", 0.3), words))
        lower = upper
    renderer = QgsGraduatedSymbolRenderer("density", ranges)
    layer.setRenderer(renderer)
    names = label('"name"', text(7.5, "#7c5a49", italic=True, spacing=0.4), priority=3)
    names.placement = Qgis.LabelPlacement.Horizontal
    names.scaleVisibility = True
    names.minimumScale = 3200000
    names.maximumScale = 200000
    layer.setLabeling(QgsVectorLayerSimpleLabeling(names))
    layer.setLabelsEnabled(True)
    for column, alias in {
        "code": "Code",
        "name": "Département",
        "region": "Région",
        "prefecture": "Préfecture",
        "population": "Population (Insee)",
        "area_km2": "Superficie approchée (km²)",
        "density": "Densité approchée (hab./km²)",
    }.items():
        layer.setFieldAlias(layer.fields().indexOf(column), alias)
    layer.setDisplayExpression("\"name\" || ' (' || \"code\" || ')'")
    return layer


def rivers() -> QgsVectorLayer:
    """Return the great rivers, named along their course."""
    layer = database_layer("rivers", "MultiLineString", "Fleuves", "Les grands fleuves de France.", NATURAL_EARTH)
    line = QgsLineSymbol.createSimple({"color": WATER, "width": "0.6", "capstyle": "round", "joinstyle": "round"})
    layer.setRenderer(QgsSingleSymbolRenderer(line))
    names = label('"name"', text(7.5, "#2f6f99", italic=True, spacing=1.0), priority=6)
    names.placement = Qgis.LabelPlacement.Curved
    line_settings = names.lineSettings()
    line_settings.setPlacementFlags(Qgis.LabelLinePlacementFlags(Qgis.LabelLinePlacementFlag.AboveLine))
    names.setLineSettings(line_settings)
    names.dist = 0.4
    layer.setLabeling(QgsVectorLayerSimpleLabeling(names))
    layer.setLabelsEnabled(True)
    layer.setFieldAlias(layer.fields().indexOf("name"), "Fleuve")
    return layer


def towns() -> QgsVectorLayer:
    """Return the towns: the higher the seat of the State, the stronger, and the earlier it shows."""
    layer = database_layer(
        "towns",
        "Point",
        "Villes",
        "Préfectures, sous-préfectures et communes de plus de 20 000 habitants.",
        f"{INSEE}, {GEONAMES}",
    )
    capital = dot(3.0, "#ffffff", INK, 0.5)
    capital.appendSymbolLayer(disc(1.3, INK, INK, 0))
    ranks = (
        # kind, legend, marker, text, shown from 1:n, named from 1:n, priority
        ("préfecture de région", "Préfecture de région", capital, text(9.5, INK, bold=True), 0, 0, 10),
        ("préfecture", "Préfecture", dot(1.9, INK, "#ffffff", 0.3), text(8.5, INK), 0, 3600000, 8),
        (
            "sous-préfecture",
            "Sous-préfecture",
            dot(1.5, "#6d6873", "#ffffff", 0.25),
            text(7.5, "#4d4955"),
            3600000,
            1600000,
            6,
        ),
        ("ville", "Ville", dot(1.3, "#94909a", "#ffffff", 0.25), text(7.0, "#5c5864"), 1800000, 900000, 4),
    )
    rules = QgsRuleBasedRenderer.Rule(None)
    labels = QgsRuleBasedLabeling.Rule(None)
    for kind, legend, marker, style, shown, named, priority in ranks:
        condition = f"\"kind\" = '{kind}'"
        rule = QgsRuleBasedRenderer.Rule(marker, filterExp=condition, label=legend)
        rule.setMinimumScale(shown)
        rules.appendChild(rule)
        settings = label('"name"', style, priority)
        settings.placement = Qgis.LabelPlacement.OrderedPositionsAroundPoint
        settings.offsetType = Qgis.LabelOffsetType.FromSymbolBounds
        settings.dist = 0.5
        naming = QgsRuleBasedLabeling.Rule(settings, filterExp=condition, description=legend)
        naming.setMinimumScale(named)
        labels.appendChild(naming)
    renderer = QgsRuleBasedRenderer(rules)
    # The larger town lies on top.
    smallest_first = QgsFeatureRequest.OrderByClause("population", True)
    renderer.setOrderBy(QgsFeatureRequest.OrderBy([smallest_first]))
    renderer.setOrderByEnabled(True)
    layer.setRenderer(renderer)
    layer.setLabeling(QgsRuleBasedLabeling(labels))
    layer.setLabelsEnabled(True)
    for column, alias in {
        "insee_code": "Code Insee",
        "name": "Commune",
        "kind": "Statut",
        "department": "Département",
        "region": "Région",
        "population": "Population (Insee)",
    }.items():
        layer.setFieldAlias(layer.fields().indexOf(column), alias)
    layer.setDisplayExpression('"name"')
    return layer


def observations() -> QgsVectorLayer:
    """Return the layer to edit: a poppy for every observation, at every scale."""
    layer = database_layer(
        "observations",
        "Point",
        "Observations",
        "Ce que l'on voit sur le terrain : vide au départ, modifiable.",
        "",
    )
    poppy = dot(5.6, "#ffffff", "#ffffff", 0)
    petal = 1.15
    for offset in ((-petal, 0), (petal, 0), (0, -petal), (0, petal)):
        poppy.appendSymbolLayer(disc(2.8, "#e5202b", "#a80f1c", 0.15, offset))
    poppy.appendSymbolLayer(disc(1.5, "#221c22", "#221c22", 0))
    layer.setRenderer(QgsSingleSymbolRenderer(poppy))
    settings = label('"species"', text(8, "#a80f1c", bold=True, italic=True), priority=9)
    settings.placement = Qgis.LabelPlacement.OrderedPositionsAroundPoint
    settings.offsetType = Qgis.LabelOffsetType.FromSymbolBounds
    settings.dist = 0.5
    settings.scaleVisibility = True
    settings.minimumScale = 3600000
    layer.setLabeling(QgsVectorLayerSimpleLabeling(settings))
    layer.setLabelsEnabled(True)
    for column, alias in {
        "species": "Espèce",
        "observed_on": "Date",
        "observer": "Observateur",
        "note": "Note",
    }.items():
        layer.setFieldAlias(layer.fields().indexOf(column), alias)
    layer.setDisplayExpression('"species"')
    return layer


def publish(project: QgsProject, layers: list[QgsVectorLayer]) -> None:
    """Set what QGIS Server says and allows."""
    project.setTitle("France : départements et villes")
    rights = f"{NATURAL_EARTH} (domaine public) ; {INSEE}, Licence Ouverte ; {GEONAMES}"
    metadata = project.metadata()
    metadata.setTitle(project.title())
    metadata.setAbstract(
        "Carte d'exemple de Poppyfield : les départements de France métropolitaine, leur densité, les "
        "villes et une couche d'observations à remplir sur le terrain."
    )
    metadata.setAuthor("Poppyfield")
    metadata.setCreationDateTime(QDateTime())
    project.setMetadata(metadata)
    write = project.writeEntry
    project.writeEntryBool("WMSServiceCapabilities", "/", True)
    write("WMSServiceTitle", "/", project.title())
    write("WMSServiceAbstract", "/", metadata.abstract())
    write("WMSKeywordList", "/", ["France", "départements", "villes", "données ouvertes"])
    write("WMSContactOrganization", "/", "Poppyfield")
    write("WMSFees", "/", "none")
    write("WMSAccessConstraints", "/", rights)
    write("WMSRootName", "/", "france")
    project.writeEntryBool("WMSUseLayerIDs", "/", False)
    project.writeEntryBool("WMSAddWktGeometry", "/", True)
    project.writeEntryBool("WMSSegmentizeFeatureInfoGeometry", "/", True)
    write("WMSPrecision", "/", "6")
    write("WMSMaxWidth", "/", 4096)
    write("WMSMaxHeight", "/", 4096)
    write("WMSCrsList", "/", ["EPSG:3857", "EPSG:4326", "EPSG:2154"])
    write("WMSExtent", "/", [f"{v:.0f}" for v in FRANCE.toRectF().getCoords()])
    published = [layer for layer in layers if layer.id() != "sample_layer_sea"]
    write("WFSLayers", "/", [layer.id() for layer in published])
    for layer in published:
        write("WFSLayersPrecision", f"/{layer.id()}", 6)
    for right in ("Insert", "Update", "Delete"):
        write("WFSTLayers", f"/{right}", ["sample_layer_observations"])


def neutral(path: Path) -> None:
    """Take out of the saved project who saved it and when, and most of what differs on every run."""
    tree = ET.parse(path)  # noqa: S314 - our own file, written a moment ago
    root = tree.getroot()
    for attribute in ("saveUser", "saveUserFull", "saveDateTime"):
        root.attrib.pop(attribute, None)
    for settings in root.iter("individual-layer-settings"):
        settings[:] = sorted(settings, key=lambda setting: setting.get("id", ""))
    for element in root.iter():
        ordered = sorted(element.attrib.items())
        element.attrib.clear()
        element.attrib.update(ordered)
    ET.indent(root)
    content = ET.tostring(root, encoding="unicode")
    # QGIS gives every symbol layer and rule a random id; numbered ones keep the file the same on every run.
    numbers: dict[str, str] = {}
    content = re.sub(
        r"[0-9a-f]{8}([-_])[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}",
        lambda match: numbers.setdefault(
            match[0], f"00000000-0000-4000-8000-{len(numbers) + 1:012x}".replace("-", match[1])
        ),
        content,
    )
    doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    path.write_text(doctype + content + "\n", encoding="utf-8")


def main() -> None:
    """Write the project."""
    application = QgsApplication([], False)
    application.initQgis()
    project = QgsProject.instance()
    web_mercator = QgsCoordinateReferenceSystem("EPSG:3857")
    project.setCrs(web_mercator)
    project.setBackgroundColor(QColor(SEA))
    layers = [observations(), towns(), rivers(), departments(), countries(), sea()]
    project.addMapLayers(layers)
    publish(project, layers)
    project.viewSettings().setDefaultViewExtent(QgsReferencedRectangle(FRANCE, web_mercator))
    project.viewSettings().setPresetFullExtent(QgsReferencedRectangle(FRANCE, web_mercator))
    project.setFilePathStorage(Qgis.FilePathType.Relative)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.unlink(missing_ok=True)  # else QGIS keeps a backup beside it
    if not project.write(str(OUTPUT)):
        raise SystemExit(f"{OUTPUT}: {project.error()}")
    project.clear()
    # QGIS puts an empty style database beside the project; nothing needs it.
    OUTPUT.with_name("france_attachments.zip").unlink(missing_ok=True)
    neutral(OUTPUT)
    application.exitQgis()


if __name__ == "__main__":
    main()
