"""A small HTTP server that answers like Lizmap Web Client 3.9 with one project, sample/france, that can be edited.

After each answer its source in Lizmap's files (below lizmap/), or in those of Jelix, its framework.
"""

from __future__ import annotations

import io
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from PIL import Image

from tests.doubles.map_server import png

WMS = """<?xml version="1.0"?>
<WMS_Capabilities version="1.3.0" xmlns="http://www.opengis.net/wms">
 <Service><Name>WMS</Name><Title>France</Title></Service>
 <Capability><Layer><Name>root</Name><Title>root</Title>
  <BoundingBox CRS="EPSG:3857" minx="-500000" miny="5000000" maxx="1000000" maxy="6600000"/>
  <Layer><Name>observations</Name><Title>Observations</Title><CRS>EPSG:3857</CRS>{limits}</Layer>
  <Layer><Name>towns</Name><Title>Towns</Title><CRS>EPSG:3857</CRS></Layer>
  <Layer><Name>ground</Name><Title>Ground</Title><CRS>EPSG:3857</CRS></Layer>
 </Layer></Capability>
</WMS_Capabilities>"""

WFS = b"""<WFS_Capabilities xmlns="http://www.opengis.net/wfs"><FeatureTypeList>
 <FeatureType><Name>observations</Name></FeatureType><FeatureType><Name>towns</Name></FeatureType>
</FeatureTypeList></WFS_Capabilities>"""

# lizmap/modules/lizmap/lib/Project/Project.php, getUpdatedConfig; the layers are those of the project's .cfg.
CONFIG: dict[str, Any] = {
    "options": {"projection": {"ref": "EPSG:3857"}},
    "layers": {
        "observations": {
            "id": "observations_1",
            "name": "observations",
            "type": "layer",
            "geometryType": "point",
            "crs": "EPSG:4326",
            "extent": [-4.0, 42.0, 8.0, 50.0],
        },
        "towns": {"id": "towns_1", "name": "towns", "type": "layer", "geometryType": "point", "crs": "EPSG:4326"},
        "ground": {"id": "ground_1", "name": "ground", "type": "layer"},
        "people": {"id": "people_1", "name": "people", "type": "layer", "geometryType": "none"},
    },
    "editionLayers": {
        "observations": {
            "layerId": "observations_1",
            "geometryType": "point",
            "capabilities": {"createFeature": "True", "deleteFeature": "True"},
        }
    },
}
EXCEPTIONS = {401: "AuthorizationRequired", 403: "Forbidden", 404: "ProjectNotDefined", 501: "OperationNotSupported"}
Point = tuple[float, float]


@dataclass
class Session:
    """What Lizmap knows of a browser."""

    user: str = ""
    saw_the_map: bool = False
    message: str = ""
    token: str = ""


class LizmapServer(ThreadingHTTPServer):
    """Answers like Lizmap; tests change how."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.sessions: dict[str, Session] = {}
        self.rows: dict[str, dict[str, Point]] = {
            "observations": {"1": (2.0, 47.0)},
            "towns": {"1": (-1.5, 43.5), "2": (7.0, 49.5)},
        }
        self.config: dict[str, Any] = json.loads(json.dumps(CONFIG))
        self.limits = ""
        self.password = "correct horse"
        self.logins_left = 100
        self.anonymous_may_view = True
        self.anonymous_may_edit = True
        # The page of the map sends the browser to the list of projects, which says this.
        self.refusal = ""
        self.php_is_down = False
        self.invisible: set[str] = set()
        # Only pictures that show less than these degrees show features.
        self.widest_view = 1000.0
        self.refusing_wfs: set[str] = set()
        # What Lizmap says in place of the form, in English; or that it fails, or leads elsewhere, without a word.
        self.form_refusal = ""
        self.form_fails = False
        self.form_leads_elsewhere = False
        self.config_body = b""
        self.before_each: Callable[[str], None] = lambda url: None
        self.canvas = png(5)
        self.page = b"%PDF-1.4 a page"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: LizmapServer

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._serve({name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()})

    def _serve(self, sent: dict[str, str]) -> None:
        split = urlsplit(self.path)
        self.given = {name: values[0] for name, values in parse_qs(split.query).items()}
        self.sent = sent
        self.server.asked.append(f"{self.command} {self.path}")
        self._find_session()
        self.server.before_each(self.path)
        actions = {
            "/admin.php/auth/login": self._login_page,
            "/admin.php/auth/login/in": self._log_in,
            "/index.php/view/": self._home,
            "/index.php/view/map": self._map,
            "/index.php/lizmap/service/getProjectConfig": self._config,
            "/index.php/lizmap/service": self._service,
            "/index.php/lizmap/edition/createFeature": self._create_feature,
            "/index.php/lizmap/edition/editFeature": self._edit_feature,
        }
        if self.server.php_is_down:
            # nginx, when php-fpm does not listen.
            self._answer(502, b"<html><h1>502 Bad Gateway</h1></html>")
        elif split.path in actions:
            actions[split.path]()
        else:
            self._answer(404, b"nothing there")

    def _find_session(self) -> None:
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("PHPSESSID")
        self.key = cookie.value if cookie else secrets.token_hex(8)
        self.session = self.server.sessions.setdefault(self.key, Session())

    def _may_view(self) -> bool:
        return bool(self.session.user) or self.server.anonymous_may_view

    def _may_edit(self) -> bool:
        return bool(self.session.user) or self.server.anonymous_may_edit

    # jcommunity: templates/login.tpl, a form of Jelix (lib/jelix/forms/Builder/HtmlBuilder.php) with its token.
    def _login_page(self) -> None:
        self.session.token = secrets.token_hex(8)
        self._answer(
            200,
            f"""<html><form action="/index.php/view/"><input name="search" value="x"></form>
            <form action="/admin.php/auth/login/in" method="post">
            <input type="hidden" name="__JFORMS_TOKEN__" value="{self.session.token}">
            <label class="jforms-required" for="l">Login</label>
            <input name="auth_login" class="jforms-required" type="text" value="">
            <input name="auth_password" type="password"><input type="checkbox" name="auth_remember_me" value="1">
            <input type="submit" name="auth_submit" value="ok"></form></html>""".encode(),
        )

    # jcommunity: controllers/login.classic.php, in: back to the form, or to the first page of the administration.
    def _log_in(self) -> None:
        self.server.logins_left -= 1
        if self.server.logins_left < 0:
            self._answer(429, b"Too many attempts.")
        elif self.sent["__JFORMS_TOKEN__"] != self.session.token:
            self._answer(500, b"invalid token")
        elif "auth_remember_me" not in self.sent and self.sent["auth_password"] == self.server.password:
            self.session.user = self.sent["auth_login"]
            self._redirect("/admin.php")
        else:
            self._redirect("/admin.php/auth/login")

    # modules/view/templates/main.tpl, whose messages are written by plugins/tpl/html/function.jmessage_bootstrap.php.
    def _home(self) -> None:
        said, self.session.message = self.session.message, ""
        alert = '<div class="alert alert-block alert-error fade in"><a class="close" href="#">x</a><p>{}</p></div>'
        self._answer(
            200,
            f"""<html><body>{alert.format(escape(said)) if said else ""}<div>Projects
            <a href="/index.php/view/map?repository=sample&amp;project=france">Load</a></div></html>""".encode(),
        )

    # modules/view/controllers/lizMap.classic.php, index.
    def _map(self) -> None:
        if self.server.refusal:
            self.session.message = self.server.refusal
            self._redirect("/index.php/view/")
        elif not self._may_view():
            self._redirect("/admin.php/auth/login")
        elif self.given != {"repository": "sample", "project": "france"}:
            self.session.message = f"The lizmap project {self.given['project'].upper()} does not exist !"
            self._redirect("/index.php/view/")
        else:
            self.session.saw_the_map = True
            self._answer(200, b"<html><title>France</title></html>")

    # modules/lizmap/controllers/service.classic.php: getServiceParameters, serviceException.
    def _refused(self) -> bool:
        if self.given["project"] != "france":
            self._exception(404, "The lizmap project does not exist !")
        elif not self._may_view():
            self._exception(401, "Access denied to the service.")
        elif self.given.get("SERVICE") == "WFS" and not self.session.saw_the_map:
            self._exception(403, "Access forbidden to the service.")
        else:
            return False
        return True

    def _exception(self, status: int, said: str) -> None:
        # modules/lizmap/templates/wms_exception.tpl
        body = (
            f'<ServiceExceptionReport version="1.3.0" xmlns="http://www.opengis.net/ogc">\n  <ServiceException '
            f'code="{EXCEPTIONS.get(status, "Error")}">\n    {said}\n  </ServiceException>\n</ServiceExceptionReport>'
        )
        self._answer(status, body.encode())

    def _config(self) -> None:
        if self._refused():
            return
        config = dict(self.server.config)
        if not self._may_edit():
            del config["editionLayers"]
        self._answer(200, self.server.config_body or json.dumps(config).encode())

    def _service(self) -> None:
        if self._refused():
            return
        request = self.given["REQUEST"]
        if request == "GetCapabilities":
            self._answer(200, WFS if self.given["SERVICE"] == "WFS" else WMS.format(limits=self.server.limits).encode())
        elif request == "GetMap" and set(self.given["LAYERS"].split(",")) - set(self.server.config["layers"]):
            # As PHP ends where the .cfg does not list a layer.
            self._answer(500, b"")
        elif request == "GetMap":
            self._answer(200, self._picture())
        elif request == "GetPrint":
            # QGIS Server's answer, which Lizmap hands on.
            self._answer(200, self.server.page)
        elif request == "GetFeature":
            self._get_feature()
        else:
            # Any other, Transaction too.
            self._exception(501, f"Request {request.upper()} is not supported")

    def _picture(self) -> bytes:
        if self.given.get("TRANSPARENT") != "TRUE":
            return self.server.canvas
        # What asks in another reference system asks for the whole map.
        box = self.given["BBOX"] if self.given["CRS"] == "CRS:84" else "-180,-90,180,90"
        west, south, east, north = (float(number) for number in box.split(","))
        visible = set(self.given["LAYERS"].split(",")) - self.server.invisible
        points = [point for layer in visible for point in self.server.rows.get(layer, {}).values()]
        seen = [p for p in points if west <= p[0] <= east and south <= p[1] <= north]
        picture = Image.new("RGBA", (16, 16))
        if seen and east - west < self.server.widest_view:
            picture.putpixel((8, 8), (200, 0, 0, 255))
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        return stream.getvalue()

    # modules/lizmap/lib/Request/WFSRequest.php
    def _get_feature(self) -> None:
        layer = self.given["TYPENAME"]
        if layer in self.server.refusing_wfs:
            self._exception(400, f"TYPENAME '{layer}' is not available")
            return
        rows = self.server.rows[layer]
        features = [
            {"type": "Feature", "id": f"{layer}.{key}", "geometry": {"type": "Point", "coordinates": list(point)}}
            for key, point in rows.items()
        ]
        self._answer(200, json.dumps({"type": "FeatureCollection", "features": features}).encode())

    # modules/lizmap/controllers/edition.classic.php, from here on.
    def _create_feature(self) -> None:
        said = self.server.form_refusal
        if not self._may_edit():
            said = "You have not the right to use the edition tools."
        if self.server.form_fails:
            # What Jelix answers when PHP throws an exception.
            self._answer(500, b"<html><h1>500 - internal server error</h1></html>")
        elif said:
            # modules/view/templates/jmessage_answer.tpl
            words = f'<ul class="jelix-msg"><li class="jelix-msg-item-AuthorizationRequired">{escape(said)}</li></ul>'
            self._answer(200, words.encode())
        elif self.server.form_leads_elsewhere:
            self._redirect("/index.php/view/")
        else:
            self._redirect(f"/index.php/lizmap/edition/editFeature?{urlencode(self.given)}")

    # modules/view/templates/edition_form.tpl and modules/view/forms/edition.form.xml.
    def _edit_feature(self) -> None:
        self.session.token = secrets.token_hex(8)
        hidden = {
            "__JFORMS_TOKEN__": self.session.token,
            "liz_project": "france",
            "liz_repository": "sample",
            "liz_layerId": "observations_1",
            "liz_featureId": "",
            "liz_srid": "4326",
            "liz_geometryColumn": "geom",
            "geom": "",
            "author": "anna",
            "hidden": "",
        }
        inputs = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in hidden.items())
        self._answer(
            200,
            f"""<div><h3>Observations</h3></div><form action="/index.php/lizmap/edition/saveFeature" method="post">
            <div class="jforms-hiddens">{inputs}</div>
            <input name="species" class="jforms-ctrl-input jforms-required" value="">
            <textarea name="remark">none
            yet</textarea>
            <select name="kind" class="jforms-required"><option value="">-</option><option value="bird">Bird</option>
            <option value="tree">Tree</option></select>
            <input type="file" name="photo"><input type="checkbox" name="seen[]" value="1">
            <input type="radio" name="sure" value="yes" checked="checked"><input type="radio" name="sure" value="no">
            <select name="liz_future_action"><option value="close">Close</option>
            <option value="edit" selected="selected">Reopen</option></select>
            <button name="_submit" value="cancel">Cancel</button></form>""".encode(),
        )

    def _redirect(self, location: str) -> None:
        self._answer(303, b"", location)

    def _answer(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", f"PHPSESSID={self.key}; path=/; HttpOnly")
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""


@contextmanager
def running_lizmap_server() -> Iterator[LizmapServer]:
    """Let one run on a free port of this machine."""
    with LizmapServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
