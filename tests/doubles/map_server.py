"""A small HTTP server that answers like a map server with one map, sample/france.

OGC API Features answers as QGIS Server 3.40.6 was seen to.
"""

from __future__ import annotations

import io
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from PIL import Image

WMS = b"""<?xml version="1.0"?>
<WMS_Capabilities version="1.3.0" xmlns="http://www.opengis.net/wms">
 <Service><Name>WMS</Name><Title>France</Title></Service>
 <Capability><Layer><Name>root</Name><Title>root</Title>
  <BoundingBox CRS="EPSG:3857" minx="0" miny="0" maxx="400" maxy="200"/>
  <Layer queryable="1"><Name>observations</Name><Title>Observations</Title><CRS>EPSG:3857</CRS>
   <BoundingBox CRS="EPSG:3857" minx="nan" miny="0" maxx="0" maxy="0"/></Layer>
  <Layer><Name>group</Name><Title>g</Title>
   <Layer queryable="1"><Name>big towns</Name><Title>Towns</Title><CRS>EPSG:3857</CRS>
    <BoundingBox CRS="EPSG:4326" minx="41" miny="-5" maxx="51" maxy="10"/>
    <BoundingBox CRS="EPSG:3857" minx="10" miny="10" maxx="210" maxy="110"/></Layer>
  </Layer>
  <Layer queryable="1"><Name>countries</Name><Title>Countries</Title><CRS>EPSG:3857</CRS></Layer>
 </Layer></Capability>
</WMS_Capabilities>"""

WFS = b"""<WFS_Capabilities xmlns="http://www.opengis.net/wfs"><FeatureTypeList>
 <FeatureType><Name>big_towns</Name></FeatureType><FeatureType><Name>other</Name></FeatureType>
</FeatureTypeList></WFS_Capabilities>"""


COLLECTIONS_PATH = "/ows/sample/france/wfs3/collections"
COLLECTIONS = {
    "collections": [
        {
            "id": name,
            "links": [
                {"rel": "items", "type": kind, "href": f"@{COLLECTIONS_PATH}/{quote(name)}/items.{ending}"}
                for ending, kind in (("html", "text/html"), ("json", "application/geo+json"))
            ],
        }
        for name in ("big towns", "other")
    ]
}


def png(colors: int) -> bytes:
    picture = Image.new("RGB", (10, 10))
    for number in range(colors):
        picture.putpixel((number, 0), (number, 100, 200))
    picture.putpixel((9, 9), (0, 100, 200))
    if colors == 1:
        picture = Image.new("RGB", (10, 10))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def nothing_drawn() -> bytes:
    """Give a picture on a transparent ground with nothing on it."""
    stream = io.BytesIO()
    Image.new("RGBA", (10, 10)).save(stream, "PNG")
    return stream.getvalue()


class MapServer(ThreadingHTTPServer):
    """Answers like a map server; tests change its answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.starting = 0
        self.starting_status = 502
        self.asked: list[dict[str, str]] = []
        self.answers: dict[str, bytes] = {
            "catalogue": json.dumps({"projects": [{"id": "1", "title": "France", "more": 1}]}).encode(),
            "WMS GetCapabilities": WMS,
            "WMS GetMap": png(5),
            "WMS GetMap transparent": png(5),
            "WFS GetCapabilities": WFS,
            "WFS GetFeature": json.dumps({"features": [{}, {}]}).encode(),
            "collections": json.dumps(COLLECTIONS).encode(),
            "items": json.dumps({"features": [{}]}).encode(),
            "WMS GetFeatureInfo": json.dumps({"features": [{}, {}, {}]}).encode(),
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: MapServer

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        self.server.asked.append({"path": split.path, **query})
        if self.server.starting > 0:
            self.server.starting -= 1
            self._answer(self.server.starting_status, b"starting")
        elif split.path == "/index.json":
            self._answer(200, self.server.answers["catalogue"])
        elif split.path == COLLECTIONS_PATH:
            self._answer(200, self.server.answers["collections"].replace(b"@", self._origin()))
        elif split.path == f"{COLLECTIONS_PATH}/big%20towns/items.json":
            self._answer(200, self.server.answers["items"])
        elif split.path == "/ows/sample/france/":
            ground = " transparent" if query.get("TRANSPARENT") == "TRUE" else ""
            self._answer(200, self.server.answers[f"{query['SERVICE']} {query['REQUEST']}{ground}"])
        else:
            self._answer(404, b"no such map")

    def _origin(self) -> bytes:
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        return f"{scheme}://{self.headers['Host']}".encode()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""


@contextmanager
def running_map_server() -> Iterator[MapServer]:
    """Let one run on a free port of this machine."""
    with MapServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
