"""The demo's map around one place in the middle of France, with what somebody observes there."""

from __future__ import annotations

import io

import requests
from PIL import Image

from emulated_pi import MAP_URL, REQUEST_SECONDS

PROJECTS = "/srv/poppyfield/lizmap/projects"
POINT = "ST_SetSRID(ST_MakePoint(2.5, 46.6), 4326)"
OBSERVE = f"INSERT INTO sample.observations (species, note, geom) VALUES ('Papaver rhoeas', 'seen', {POINT})"
MAP = (
    f"{MAP_URL}/ows/sample/france/?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=observations&STYLES="
    "&CRS=CRS:84&BBOX=2.4,46.5,2.6,46.7&WIDTH=64&HEIGHT=64&FORMAT=image/png"
)


def picture() -> Image.Image:
    """Ask for the map, where somebody has observed something."""
    answer = requests.get(MAP, timeout=REQUEST_SECONDS)
    assert answer.ok and answer.headers["Content-Type"].startswith("image/"), answer.text[:500]
    return Image.open(io.BytesIO(answer.content)).convert("RGB")
