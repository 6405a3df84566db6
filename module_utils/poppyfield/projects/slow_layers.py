"""What makes a layer slow to draw on a small computer, and what helps. Pure: warnings, which refuse nothing.

The laptop knows the project and the files beside it, and the Pi what its database has; both ask here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.poppyfield.projects.findings import ProjectFinding

LARGE_TABLE = 1_000_000
WORTH_AN_INDEX = 10_000
"""So many features are read as a whole for each picture in a moment."""
LARGE_PICTURE = 16_000_000
"""Pixels; 4,000 by 4,000 are read as a whole in a moment."""

FEW = 500
"""So many features are drawn in a moment, whatever is computed for each."""

PER_FEATURE = r"aggregate|relation_aggregate|overlay_\w+|get_feature\w*"
"""Functions of QGIS that ask for other features, by their names as a pattern."""
SHAPING = (
    r"buffer\w*|single_sided_buffer|tapered_buffer|offset_curve|intersection|difference|sym_difference|union|"
    r"collect_geometries|voronoi\w*|concave_hull|delaunay\w*|pole_of_inaccessibility|smooth|densify_by_\w+"
)
"""Functions that compute a new shape: in a symbol, of each feature for each picture."""
LOOKS_ELSEWHERE = re.compile(rf"(?<!\w)({PER_FEATURE})\s*\(", re.IGNORECASE)
SHAPES = re.compile(rf"(?<!\w)({SHAPING})\s*\(", re.IGNORECASE)
NO_CODE = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/""", re.DOTALL)
"""Texts, names of fields and comments in an expression."""
PLACE = re.compile(
    r'\btable="(?P<schema>[^"(]+)"\."(?P<name>[^"]+)" \((?P<column>[^()]+)\)'
    r'|\btable="(?P<only>[^"(]+)" \((?P<place>[^()]+)\)'
)

SCALE = (
    "In QGIS Desktop, let the layer be drawn only when zoomed in (Layer Properties > Rendering > Scale dependent "
    "visibility), save the project, and run again."
)
SCALE_LATER = (
    "In QGIS Desktop, let layers of it be drawn only when zoomed in (Layer Properties > Rendering > Scale dependent "
    "visibility)."
)
INDEX_IN_QGIS = (
    "In QGIS Desktop, make one (Layer Properties > Source > Create Spatial Index), save the project, and run again."
)
OVERVIEWS = (
    "In QGIS Desktop, build them (Layer Properties > Pyramids; format 'Internal', or 'External', whose .ovr stays "
    "beside the file), save the project, and run again."
)
WRITE_DOWN = (
    "In QGIS Desktop, write the result into a field of the layer (Field Calculator) and use that field in its place, "
    "or let it be computed only when zoomed in; save the project, and run again."
)
SHAPE_ONCE = (
    "In QGIS Desktop, make a layer of the new shapes (Processing Toolbox > Geometry by expression) and show that in "
    "its place, or draw the layer only when zoomed in; save the project, and run again."
)

Slow = tuple[str, str]
"""What is slow and what helps."""


@dataclass(frozen=True)
class FileFacts:
    """What the head of a file tells of a layer in it."""

    features: int = 0
    has_index: bool = True
    pixels: int = 0
    has_overviews: bool = True


@dataclass(frozen=True)
class TableFacts:
    """What the catalogue of a database tells of a table."""

    rows: int
    """About, as PostgreSQL has counted last."""
    indexed: Mapping[str, bool]
    """Of each column with geometries whether it has a spatial index."""


@dataclass(frozen=True)
class Drawing:
    """What a project says of how a layer is drawn."""

    always: bool = True
    """At all scales, and all features of it."""
    looks_elsewhere: tuple[str, ...] = ()
    """Functions that ask for other features for each one that is drawn."""
    shapes: tuple[str, ...] = ()
    """Functions that compute a new shape for each one."""


# Reading -------------------------------------------------------------------------------------------------------------


def read_drawing(element: Any, source: str) -> Drawing:
    """Read how a layer is drawn, from its element in the project."""
    expressions = list(_expressions(element))
    everywhere = [_without_texts(text) for text, _ in expressions]
    drawn = [_without_texts(text) for text, is_shape in expressions if is_shape]
    return Drawing(
        always=not _has_scale_limit(element) and not is_filtered(source),
        looks_elsewhere=_named(LOOKS_ELSEWHERE, everywhere),
        shapes=_named(SHAPES, drawn),
    )


def is_filtered(source: str) -> bool:
    """Tell a layer of which a filter chooses features; how many these are nobody knows here."""
    return bool(re.search(r"(?:\ssql=|\|subset=)\s*\S", source))


def _has_scale_limit(element: Any) -> bool:
    """Tell whether a layer is not drawn when zoomed out, itself or each of its rules."""
    if element.get("hasScaleBasedVisibilityFlag") == "1" and _number(element.get("minScale")) > 0:
        return True
    rules = [rule for rule in element.findall("./renderer-v2/rules/rule") if rule.get("checkstate") != "0"]
    return bool(rules) and all(_number(rule.get("scalemaxdenom")) > 0 for rule in rules)


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _expressions(element: Any) -> Iterator[tuple[str, bool]]:
    """Give the expressions that are computed for each feature, and whether they make the shape that is drawn."""
    for part in element.findall("./renderer-v2"):
        yield from _within(part)
    if element.get("labelsEnabled") != "0":
        for part in element.findall("./labeling"):
            yield from _within(part)


def _within(part: Any) -> Iterator[tuple[str, bool]]:
    """Go down where something is switched on."""
    if part.get("checkstate") == "0" or (part.tag == "rule" and part.get("active") == "0"):
        return
    if part.tag == "layer" and part.get("enabled") == "0":
        return
    values = {key: value for option in part for key, value in [_setting(option)]}
    if values.get("expression") and values.get("active", "true") == "true":
        yield values["expression"], False
    if values.get("geometryModifier"):
        yield values["geometryModifier"], True
    if part.get("geometryGenerator") and part.get("geometryGeneratorEnabled") == "1":
        yield part.get("geometryGenerator"), True
    if part.tag == "text-style" and part.get("isExpression") == "1":
        yield part.get("fieldName", ""), False
    for name in ("filter", "attr"):
        if part.tag in ("rule", "renderer-v2") and part.get(name):
            yield part.get(name), False
    for child in part:
        yield from _within(child)


def _setting(option: Any) -> tuple[str, str]:
    """Give a setting as QGIS 3.22 (<prop k= v=>) and 3.40 (<Option name= value=>) write it."""
    return option.get("name") or option.get("k") or "", option.get("value") or option.get("v") or ""


def _without_texts(expression: str) -> str:
    return NO_CODE.sub(" ", expression)


def _named(pattern: re.Pattern[str], expressions: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({found[1].lower() for text in expressions for found in pattern.finditer(text)}))


def read_place(source: str) -> tuple[str, str, str] | None:
    """Give schema, table and column of a layer's source in PostGIS; None for a query."""
    found = PLACE.search(source)
    if found is None:
        return None
    return found["schema"] or "", found["name"] or found["only"], found["column"] or found["place"]


# Judging -------------------------------------------------------------------------------------------------------------


def of_drawing(drawing: Drawing, features: int | None = None) -> Iterator[Slow]:
    """Say what of the way that a layer is drawn is slow; not where it is known to have few features."""
    if features is not None and features <= FEW:
        return
    if drawing.looks_elsewhere:
        yield (
            f"for each feature that it draws it looks at others ({', '.join(drawing.looks_elsewhere)}), which is slow "
            "where there are many.",
            WRITE_DOWN,
        )
    if drawing.shapes:
        yield (
            f"it computes a new shape of each feature for each picture ({', '.join(drawing.shapes)}), which is slow "
            "where there are many.",
            SHAPE_ONCE,
        )


def of_file(path: str, facts: FileFacts, drawing: Drawing) -> Iterator[Slow]:
    """Say what of a layer's file is slow."""
    if not facts.has_index and facts.features >= WORTH_AN_INDEX:
        yield (
            f"its file {path} has {facts.features:,} features and no spatial index: for each picture all are read.",
            INDEX_IN_QGIS,
        )
    if facts.features >= LARGE_TABLE and drawing.always:
        yield f"its file {path} has {facts.features:,} features, and all are drawn when people zoom out.", SCALE
    if not facts.has_overviews and facts.pixels >= LARGE_PICTURE and drawing.always:
        yield (
            f"its file {path} has {facts.pixels / 1e6:,.0f} million pixels and no overviews: all are read when people "
            "zoom out.",
            OVERVIEWS,
        )


def of_tables(
    repository: str,
    projects: Mapping[str, Mapping[str, Mapping[str, Any]]],
    tables: Mapping[tuple[str, str], TableFacts],
) -> list[ProjectFinding]:
    """Say what of the tables of projects is slow, of layers as qgis_project.describe gives them."""
    return [
        ProjectFinding(repository, name, problem, remedy, layer["name"], refuses=False)
        for name, layers in sorted(projects.items())
        for layer in layers.values()
        if layer.get("place")
        for problem, remedy in _of_layer(layer, tables)
    ]


def _of_layer(layer: Mapping[str, Any], tables: Mapping[tuple[str, str], TableFacts]) -> Iterator[Slow]:
    schema, name, column = layer["place"]
    # Without a schema PostgreSQL looks where most tables are.
    facts = tables.get((schema or "public", name))
    if facts is None:
        return
    told = f"{schema or 'public'}.{name}"
    if not facts.indexed.get(column, True) and facts.rows >= WORTH_AN_INDEX:
        yield (
            f"its table {told} has about {facts.rows:,} rows and no spatial index on {column}: for each picture all "
            "are read.",
            index_remedy(schema or "public", name, column),
        )
    if facts.rows >= LARGE_TABLE and layer["always"]:
        yield f"its table {told} has about {facts.rows:,} rows, and all are drawn when people zoom out.", SCALE


def of_loaded(schema: str, name: str, rows: int, indexed: Mapping[str, bool]) -> Iterator[Slow]:
    """Say what of a table that was loaded will make maps slow; of a small one too, since it grows."""
    told = f"{schema}.{name}"
    for column, has_index in indexed.items():
        if not has_index:
            yield f"{told} has no spatial index on {column}: maps of it are slow.", index_remedy(schema, name, column)
    if rows >= LARGE_TABLE and indexed:
        yield f"{told} has {rows:,} rows: a map that draws all of them is slow.", SCALE_LATER


def index_remedy(schema: str, name: str, column: str) -> str:
    """Give the statement that makes the index, and where it is run."""
    quoted = (identifier.replace('"', '""') for identifier in (schema, name, column))
    statement = 'CREATE INDEX ON "{}"."{}" USING gist ("{}");'.format(*quoted)
    return f"In the Pi's database, run once: {statement}"
