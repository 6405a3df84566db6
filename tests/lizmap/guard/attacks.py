"""Requests of a visitor that do more than look, each in the form in which QGIS Server gets it from Lizmap.

An attack shows by its key: it writes it into a table of SQLite, or has a listener asked for it. What Lizmap's front
itself refuses or hands on is not tried here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

FOLDER = "/tmp/attack"
ATLAS = "atlas"
"""The layout that has a page for each feature."""
LISTENER = "http://127.0.0.1:9999"
FORM = "application/x-www-form-urlencoded"
WFS = {"SERVICE": "WFS", "VERSION": "1.0.0", "REQUEST": "GetFeature", "TYPENAME": "meadow"}
GET_MAP = {
    **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": "meadow", "STYLES": "", "CRS": "EPSG:4326"},
    **{"BBOX": "46,2,47,4", "WIDTH": "20", "HEIGHT": "10", "FORMAT": "image/png"},
}
GET_INFO = {
    **GET_MAP,
    **{"REQUEST": "GetFeatureInfo", "QUERY_LAYERS": "meadow", "INFO_FORMAT": "text/xml", "I": "5", "J": "5"},
}
LEGEND = {**GET_MAP, "REQUEST": "GetLegendGraphic", "LAYER": "meadow"}
PRINT = {
    **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetPrint", "TEMPLATE": "print", "FORMAT": "png"},
    **{"CRS": "EPSG:4326", "DPI": "30", "LAYERS": "meadow", "map0:LAYERS": "meadow", "map0:EXTENT": "46,2,47,4"},
}
DXF = {**GET_MAP, "FORMAT": "application/dxf", "FORMAT_OPTIONS": "MODE:FEATURESYMBOLOGY;SCALE:500"}
OGC = "http://www.opengis.net/ogc"


@dataclass(frozen=True)
class Attack:
    """A request, and what it misuses."""

    name: str
    kind: str
    query: str
    body: str = ""
    content_type: str = FORM
    project: str = "fields/printed.qgs"
    path: str = "/"

    @property
    def harms(self) -> bool:
        """Whether QGIS Server alone lets it do harm."""
        return self.name not in HARMLESS

    @property
    def request(self) -> dict[str, str]:
        """Give it as inside.py takes it."""
        named = f"MAP={self.project}&" if self.project else ""
        return {"address": f"{self.path}?{named}{self.query}", "body": self.body, "type": self.content_type}


def write(key: str) -> str:
    """Give an expression that writes a key."""
    return f"sqlite_fetch_and_increment('{FOLDER}/accounts.db','t','n','k','{key}') > 0"


def without(letters: str, expression: str) -> str:
    """Give the same expression without some letters."""
    text = "'" + expression.replace("'", "''") + "'"
    for letter in letters:
        text = text.replace(letter, f"' || char({ord(letter)}) || '")
    return f"eval({text})"


def function(key: str, called: str = 'name="{}"') -> str:
    """Give the same as an element of OGC's filters."""
    values = (f"{FOLDER}/accounts.db", "t", "n", "k", key)
    literals = "".join(f"<ogc:Literal>{value}</ogc:Literal>" for value in values)
    return f"<ogc:Function {called.format('sqlite_fetch_and_increment')}>{literals}</ogc:Function>"


def ogc_filter(key: str, tag: str = "Filter", **options: str) -> str:
    """Give a filter that writes a key."""
    return (
        f'<{tag} xmlns="{OGC}" xmlns:ogc="{OGC}"><ogc:PropertyIsGreaterThan>{function(key, **options)}'
        f"<ogc:Literal>0</ogc:Literal></ogc:PropertyIsGreaterThan></{tag}>"
    )


def style(inner: str) -> str:
    """Give a style with one rule."""
    return (
        '<StyledLayerDescriptor version="1.1.0" xmlns="http://www.opengis.net/sld" xmlns:se="http://www.opengis.net/se"'
        f' xmlns:ogc="{OGC}"><NamedLayer><se:Name>meadow</se:Name><UserStyle><se:FeatureTypeStyle><se:Rule>{inner}'
        "<se:PolygonSymbolizer><se:Fill/></se:PolygonSymbolizer></se:Rule></se:FeatureTypeStyle></UserStyle></NamedLayer>"
        "</StyledLayerDescriptor>"
    )


def get_feature(query: str, root: str = "", head: str = "") -> str:
    """Give the document of a request for features."""
    return (
        f'{head}<GetFeature xmlns="http://www.opengis.net/wfs" xmlns:ogc="{OGC}" service="WFS" version="1.0.0" {root}>'
        f'<Query typeName="meadow">{query}</Query></GetFeature>'
    )


def by_wfs() -> Iterator[Attack]:
    """Give those by WFS."""
    for name, changes in {
        "exp_filter": {},
        "exp_filter-geojson": {"OUTPUTFORMAT": "GeoJSON"},
        "exp_filter-gml3": {"VERSION": "1.1.0"},
    }.items():
        yield Attack(f"wfs-{name}", "expression", urlencode({**WFS, **changes, "EXP_FILTER": write(f"wfs-{name}")}))
    for name, changes in {"postgis-gml": {}, "postgis-geojson": {"OUTPUTFORMAT": "GeoJSON"}}.items():
        asked = urlencode({**WFS, **changes, "EXP_FILTER": write(f"wfs-{name}")})
        yield Attack(f"wfs-{name}", "expression", asked, project="fields/postgis.qgs")
    small = urlencode({**WFS, "exp_filter": write("wfs-small-letters")})
    yield Attack("wfs-small-letters", "expression", small)
    posted = urlencode({**WFS, "MAP": "fields/printed.qgs", "EXP_FILTER": write("wfs-form")})
    yield Attack("wfs-form", "expression", "", posted)
    hidden = without("_", write("wfs-eval"))
    yield Attack("wfs-eval", "expression", urlencode({**WFS, "EXP_FILTER": hidden}))
    for name, expression in {
        "wfs-case": "CASE WHEN {} THEN 1 ELSE 0 END",
        "wfs-in": "1 IN (2, {})",
        "wfs-index": "array(1, {})[0] = 1",
        "wfs-between": "1 BETWEEN 0 AND {}",
        "wfs-argument": "coalesce(NULL, {})",
        "wfs-named-argument": "coalesce(\"name\", 'x') = 'x' OR {}",
        "wfs-comment": "1 = 1 /* ' */ AND {}",
        "wfs-variable": "with_variable('a', {}, @a)",
    }.items():
        yield Attack(name, "expression", urlencode({**WFS, "EXP_FILTER": expression.format(write(name))}))
    name = "wfs-second-of-two"
    twice = {**WFS, "TYPENAME": "meadow,meadow", "EXP_FILTER": f"1 = 1 -- ;{write(name)}"}
    yield Attack(name, "expression", urlencode(twice))
    name = "wfs-encoded-twice"
    yield Attack(name, "expression", urlencode({**WFS, "EXP_FILTER": quote(write(name))}))
    name = "wfs-name-encoded-twice"
    yield Attack(name, "expression", f"{urlencode(WFS)}&E%2558P_FILTER={quote(write(name))}")
    name = "wfs-ligature"
    yield Attack(name, "expression", f"{urlencode(WFS)}&EXP_{quote('ﬁlter')}={quote(write(name))}")


def by_wfs_documents() -> Iterator[Attack]:
    """Give those by WFS that are XML."""
    forms: dict[str, Callable[[str], str]] = {
        "filter": ogc_filter,
        "filter-prefix": lambda key: ogc_filter(key, "ogc:Filter"),
        "filter-list": lambda key: f"({ogc_filter(key)})",
        "filter-prefix-list": lambda key: f"({ogc_filter(key, 'ogc:Filter')})",
        "filter-name-with-prefix": lambda key: ogc_filter(key, called='ogc:name="{}"'),
        "filter-two-names": lambda key: ogc_filter(key, called='ogc:name="{}" name="abs"'),
        "filter-capitals": lambda key: ogc_filter(key).replace("sqlite_fetch", "SQLITE_fetch"),
        "filter-references": lambda key: ogc_filter(key).replace("sqlite_", "&#115;qlite_"),
        "filter-encoded-twice": lambda key: quote(ogc_filter(key)),
    }
    for name, form in forms.items():
        key = f"wfs-{name}"
        yield Attack(key, "OGC filter", urlencode({**WFS, "FILTER": form(key)}))
    for name, head in {
        "post": "",
        "post-entity": '<!DOCTYPE a [<!ENTITY f "sqlite_fetch_and_increment">]>',
        "post-declared": '<?xml version="1.0" encoding="UTF-16"?>',
    }.items():
        named = "&f;" if head.startswith("<!") else "sqlite_fetch_and_increment"
        document = get_feature(ogc_filter(f"wfs-{name}", "ogc:Filter"), head=head)
        document = document.replace('name="sqlite_fetch_and_increment"', f'name="{named}"')
        yield Attack(f"wfs-{name}", "OGC filter", "", document, "text/xml")
    document = get_feature(ogc_filter("wfs-body-by-get", "ogc:Filter"))
    yield Attack("wfs-body-by-get", "OGC filter", urlencode({**WFS, "REQUEST_BODY": document}))
    document = get_feature(quote(ogc_filter("wfs-post-encoded", "ogc:Filter")))
    yield Attack("wfs-post-encoded", "OGC filter", "", document, "text/xml")
    root = f'EXP_FILTER="{write("wfs-root").replace("&", "&amp;").replace(">", "&gt;")}" TYPENAME="meadow"'
    yield Attack("wfs-root", "OGC filter", "", get_feature("", root=root), "text/xml")


def by_order() -> Iterator[Attack]:
    """Give those that sort by an expression."""
    for name, by in {"sortby": "{}", "sortby-down": "{} DESC", "sortby-second": "name,{} A"}.items():
        key = f"wfs-{name}"
        yield Attack(key, "order", urlencode({**WFS, "SORTBY": by.format(without(",", write(key)))}))
    key = "wfs-post-sortby"
    by = without("/:", write(key)).replace(">", "&gt;")
    order = f"<ogc:SortBy><ogc:SortProperty><ogc:PropertyName>{by}</ogc:PropertyName></ogc:SortProperty></ogc:SortBy>"
    yield Attack(key, "order", "", get_feature(order), "text/xml")
    key = "wfs3-sortby"
    path = "/fields/printed/wfs3/collections/meadow/items"
    yield Attack(key, "order", urlencode({"sortby": write(key)}), path=path)


def by_number() -> Iterator[Attack]:
    """Give those that put an expression in the place of a feature's number."""
    key = "wfs-featureid"
    number = f"meadow.1) OR ({without(',.', write(key))}"
    yield Attack(key, "number", urlencode({**WFS, "FEATUREID": number}), project="fields/postgis.qgs")
    key = "wms-selection"
    number = f"meadow:1) OR ({without(',:', write(key))}"
    yield Attack(key, "number", urlencode({**GET_MAP, "SELECTION": number}), project="fields/postgis.qgs")


def by_wms() -> Iterator[Attack]:
    """Give those by WMS."""
    for name, base in {"wms-map": GET_MAP, "wms-info": GET_INFO, "wms-legend": LEGEND}.items():
        yield Attack(f"{name}-filter", "OGC filter", urlencode({**base, "FILTER": ogc_filter(f"{name}-filter")}))
        for form in ("meadow:{}", "(meadow:{})", "meadow:({})"):
            key = f"{name}-{form.format('')}"
            yield Attack(key, "expression", urlencode({**base, "FILTER": form.format(write(key))}))
    key = "wms-style-rule"
    yield Attack(key, "style", urlencode({**GET_MAP, "SLD_BODY": style(ogc_filter(key, "ogc:Filter"))}))
    key = "wms-style-label"
    yield Attack(key, "style", urlencode({**GET_MAP, "SLD_BODY": label_style(key)}))
    key = "wms-highlight"
    highlight = {
        "HIGHLIGHT_GEOM": "POLYGON((2 46,3 46,3 47,2 46))",
        "HIGHLIGHT_SYMBOL": style(ogc_filter(key, "ogc:Filter")),
    }
    yield Attack(key, "style", urlencode({**GET_MAP, **highlight}))


def label_style(key: str) -> str:
    """Give a style with a label that writes a key."""
    text = without(",/:", write(key)).replace(">", "&gt;")
    return style(
        f"<se:TextSymbolizer><se:Label><ogc:PropertyName>{text}</ogc:PropertyName></se:Label></se:TextSymbolizer>"
    )


def by_drawing() -> Iterator[Attack]:
    """Give those by drawings for CAD."""
    key = "wms-dxf-filter"
    yield Attack(key, "OGC filter", urlencode({**DXF, "FILTER": ogc_filter(key)}))
    for form in ("meadow:{}", "(meadow:{})"):
        key = f"wms-dxf-{form.format('')}"
        yield Attack(key, "expression", urlencode({**DXF, "FILTER": form.format(write(key))}))
    key = "wms-dxf-style-rule"
    yield Attack(key, "style", urlencode({**DXF, "SLD_BODY": style(ogc_filter(key, "ogc:Filter"))}))
    key = "wms-dxf-style-label"
    yield Attack(key, "style", urlencode({**DXF, "SLD_BODY": label_style(key)}))
    key = "wms-dxf-attributes"
    options = f"LAYERATTRIBUTES:{without(',;:', write(key))}"
    yield Attack(key, "expression", urlencode({**DXF, "FORMAT_OPTIONS": options}))


def by_print() -> Iterator[Attack]:
    """Give those by prints."""
    for name, text, number in (
        ("words", "[% {} %]", 0),
        ("WORDS", "Day [%{}%] and night", 0),
        ("words", "[% {} %]", 1),
    ):
        key = f"print-{name}-{number}"
        asked = text.format(write(key))
        yield Attack(key, "print", urlencode({**PRINT, name: quote(asked) if number else asked}))
    key = "print-filter"
    yield Attack(key, "OGC filter", urlencode({**PRINT, "FILTER": ogc_filter(key)}))
    key = "print-highlight"
    highlight = {
        "map0:HIGHLIGHT_GEOM": "POLYGON((2 46,3 46,3 47,2 46))",
        "map0:HIGHLIGHT_SYMBOL": style(ogc_filter(key, "ogc:Filter")),
    }
    yield Attack(key, "style", urlencode({**PRINT, **highlight}))


def by_atlas() -> Iterator[Attack]:
    """Give those by prints of a page for each feature."""
    page = {**PRINT, "TEMPLATE": ATLAS}
    for name, number in {"atlas": "-1 OR {}", "atlas-parenthesis": "-1) OR ({}", "atlas-alone": "{}"}.items():
        key = f"print-{name}"
        yield Attack(key, "number", urlencode({**page, "ATLAS_PK": number.format(without(",", write(key)))}))
    key = "print-atlas-words"
    yield Attack(key, "print", urlencode({**page, "ATLAS_PK": "0", "words": f"[% {write(key)} %]"}))
    # As the plugin AtlasPrint takes it, which an operator may add.
    for name, changes in {
        "plugin-atlas": {"SERVICE": "ATLAS"},
        "plugin-atlas-by-wms": {"REQUEST": "GetPrintAtlas"},
    }.items():
        yield Attack(name, "expression", urlencode({**page, **changes, "EXP_FILTER": write(name)}))


def external(key: str, name: str = "x") -> dict[str, str]:
    """Give the parameters of another server's map."""
    return {
        **{f"{name}:url": f"{LISTENER}/{key}?", f"{name}:layers": "meadow", f"{name}:format": "image/png"},
        **{f"{name}:crs": "EPSG:4326", f"{name}:styles": "", f"{name}:dpiMode": "7"},
    }


def messengers() -> Iterator[Attack]:
    """Give those that make QGIS Server ask somebody, or read a file."""
    key = "external-map"
    yield Attack(key, "address", urlencode({**GET_MAP, "LAYERS": "EXTERNAL_WMS:x", **external(key)}))
    key = "external-second"
    yield Attack(
        key, "address", urlencode({**GET_MAP, "LAYERS": "meadow,EXTERNAL_WMS:X", "STYLES": ",", **external(key)})
    )
    key = "external-encoded"
    named = urlencode({**GET_MAP, "LAYERS": "EXTERNAL%5FWMS%3Ax"}) + "&" + urlencode(external(key))
    yield Attack(key, "address", named)
    key = "external-name-encoded"
    named = (
        urlencode({**GET_MAP, "LAYERS": "EXTERNAL_WMS:x"}) + "&" + urlencode(external(key)).replace("%3A", "%253A", 1)
    )
    yield Attack(key, "address", named)
    key = "external-tiles"
    tiles = {"x:type": "xyz", "x:url": f"{LISTENER}/{key}/{{z}}/{{x}}/{{y}}.png"}
    yield Attack(key, "address", urlencode({**GET_MAP, "LAYERS": "EXTERNAL_WMS:x", **tiles}))
    key = "external-form"
    form = urlencode({**GET_MAP, "MAP": "fields/printed.qgs", "LAYERS": "EXTERNAL_WMS:x", **external(key)})
    yield Attack(key, "address", "", form)
    key = "external-print"
    drawn = {**PRINT, "map0:LAYERS": "EXTERNAL_WMS:x", "LAYERS": "EXTERNAL_WMS:x"}
    yield Attack(key, "address", urlencode({**drawn, **external(key)}))
    key = "style-address"
    yield Attack(key, "address", urlencode({**GET_MAP, "SLD": f"{LISTENER}/{key}"}))
    key = "style-picture"
    graphic = (
        "<se:PolygonSymbolizer><se:Fill><se:GraphicFill><se:Graphic><se:ExternalGraphic><se:OnlineResource"
        f' xmlns:xlink="http://www.w3.org/1999/xlink" xlink:type="simple" xlink:href="{LISTENER}/{key}.svg"/>'
        "<se:Format>image/svg+xml</se:Format></se:ExternalGraphic><se:Size>10</se:Size></se:Graphic></se:GraphicFill>"
        "</se:Fill></se:PolygonSymbolizer>"
    )
    yield Attack(key, "address", urlencode({**GET_MAP, "SLD_BODY": style(graphic)}))


ATTACKS = (
    *by_wfs(),
    *by_wfs_documents(),
    *by_order(),
    *by_number(),
    *by_wms(),
    *by_drawing(),
    *by_print(),
    *by_atlas(),
    *messengers(),
)

HARMLESS = {
    *("wfs-encoded-twice", "wfs-name-encoded-twice", "wfs-filter-encoded-twice", "wfs-post-encoded", "print-words-1"),
    *(
        "external-encoded",
        "wfs-filter-two-names",
        "wfs-filter-capitals",
        "wfs-post-declared",
        "wfs-body-by-get",
        "wfs-root",
    ),
    *("wfs-sortby", "wfs-sortby-down", "wfs-sortby-second", "wfs3-sortby", "wfs-featureid", "wms-selection"),
    *("wms-map-meadow:", "wms-map-(meadow:)", "wms-map-meadow:()"),
    *("wms-info-meadow:", "wms-info-(meadow:)", "wms-info-meadow:()"),
    *("wms-legend-filter", "wms-legend-meadow:", "wms-legend-(meadow:)", "wms-legend-meadow:()"),
    *("wms-dxf-filter", "wms-dxf-meadow:", "wms-dxf-(meadow:)", "wms-dxf-attributes"),
    *("wms-highlight", "print-filter", "print-highlight", "plugin-atlas", "plugin-atlas-by-wms"),
}
"""What QGIS Server 3.40 itself refuses, or reads otherwise: refused all the same, because another release may not."""

SPELLINGS = {
    **dict.fromkeys(("wfs-small-letters", "wfs-ligature"), "wfs-exp_filter"),
    **dict.fromkeys(("wfs-filter-prefix", "wfs-filter-references"), "wfs-filter"),
    "wfs-filter-prefix-list": "wfs-filter-list",
    "external-name-encoded": "external-map",
    "print-WORDS-0": "print-words-0",
    "print-atlas-parenthesis": "print-atlas",
}
"""Attacks that are another's request, spelled otherwise: both count once."""
