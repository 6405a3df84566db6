"""What QGIS Desktop writes into a project that QGIS Server can do without, and Lizmap cannot.

Lizmap's lib/Project/Qgis/ says what it reads; without these it answers that the project does not exist, or HTTP 500.
"""

from __future__ import annotations

from collections.abc import Sequence

OF_THE_MAP = {
    "<authid>EPSG:4326</authid>": "<proj4>+proj=longlat +datum=WGS84 +no_defs</proj4>",
    "<properties>": "<Gui>{}</Gui>".format(
        "".join(f'<CanvasColor{part}Part type="int">255</CanvasColor{part}Part>' for part in ("Blue", "Green", "Red"))
    ),
}
OF_A_LAYER = '<map-layer-style-manager current="default"><map-layer-style name="default"/></map-layer-style-manager>'
WIDGET = (
    '<field name="{}" configurationFlags="NoFlag"><editWidget type="TextEdit"><config><Option type="Map">'
    '<Option type="bool" name="IsMultiline" value="false"/></Option></config></editWidget></field>'
)
OF_A_FIELD = {
    "fieldConfiguration": WIDGET,
    "aliases": '<alias field="{}" index="0" name=""/>',
    "defaults": '<default field="{}" expression="" applyOnUpdate="0"/>',
    "constraints": '<constraint field="{}" constraints="0" notnull_strength="0"/>',
    "constraintExpressions": '<constraint field="{}" exp="" desc=""/>',
    "editable": '<field name="{}" editable="1"/>',
}


def as_desktop_writes(project: str, fields: Sequence[str]) -> str:
    """Give a project with all that Lizmap needs, the same fields for each layer."""
    of_fields = "".join(
        f"<{block}>{''.join(element.format(name) for name in fields)}</{block}>"
        for block, element in OF_A_FIELD.items()
    )
    for element, more in {**OF_THE_MAP, "</layername>": OF_A_LAYER + of_fields}.items():
        project = project.replace(element, f"{element}{more}")
    return project
