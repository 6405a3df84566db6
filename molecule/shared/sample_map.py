"""The demo's map: all of France, and one place in the middle of it with what somebody observes there."""

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
FRANCE_ROWS = "SELECT count(*), md5(string_agg(t::text, '' ORDER BY id)) FROM sample.departments t"
FRANCE = (
    f"{MAP_URL}/ows/sample/france/?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap"
    "&LAYERS=countries,departments,rivers,towns,observations&STYLES="
    "&CRS=EPSG:3857&BBOX=-680000,5020000,1150000,6680000&WIDTH=600&HEIGHT=544&FORMAT=image/png"
)


def picture_of_france() -> bytes:
    """Ask for the whole map; give the file."""
    answer = requests.get(FRANCE, timeout=REQUEST_SECONDS)
    assert answer.headers["Content-Type"] == "image/png", answer.text[:500]
    return answer.content


def picture() -> Image.Image:
    """Ask for the map, where somebody has observed something."""
    answer = requests.get(MAP, timeout=REQUEST_SECONDS)
    assert answer.ok and answer.headers["Content-Type"].startswith("image/"), answer.text[:500]
    return Image.open(io.BytesIO(answer.content)).convert("RGB")
