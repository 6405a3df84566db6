"""Somebody in front of Lizmap's pages."""

from __future__ import annotations

import io
import re
from pathlib import Path

import requests
from PIL import Image

REQUEST_SECONDS = 120


class Browser:
    """Somebody who has opened Lizmap's pages, by HTTPS whose certificate is given."""

    def __init__(self, url: str, certificate: Path | None = None) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        if certificate:
            self.session.verify = str(certificate)

    def get(self, path: str, **parameters: str) -> requests.Response:
        """Ask for a page; a refusal is a redirection, which is not followed."""
        return self.session.get(self.url + path, params=parameters, allow_redirects=False, timeout=REQUEST_SECONDS)

    def log_in(self, login: str, password: str) -> bool:
        """Try to log in; tell whether that worked."""
        page = self.get("/admin.php/auth/login").text
        token = re.search(r'name="__JFORMS_TOKEN__" value="(\w+)"', page)
        assert token, page
        form = {"__JFORMS_TOKEN__": token[1], "auth_login": login, "auth_password": password}
        address = f"{self.url}/admin.php/auth/login/in"
        answer = self.session.post(address, data=form, allow_redirects=False, timeout=REQUEST_SECONDS)
        assert answer.status_code == 303, answer.text
        return self.is_logged_in()

    def is_logged_in(self) -> bool:
        """Tell whether Lizmap knows who this is."""
        page = self.get("/index.php/view/")
        assert page.ok
        return "info-user-login" in page.text

    def sees(self, repository: str, project: str) -> bool:
        """Tell whether a map opens."""
        code = self.get("/index.php/view/map", repository=repository, project=project).status_code
        assert code in (200, 303)
        return code == 200

    def picture(self, repository: str, project: str, layers: str, box: str) -> Image.Image | None:
        """Ask for a picture of the map, of an extent in EPSG:3857; None when it is refused."""
        asked = {"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": layers, "STYLES": ""}
        size = {"CRS": "EPSG:3857", "BBOX": box, "WIDTH": "400", "HEIGHT": "360", "FORMAT": "image/png"}
        answer = self.get("/index.php/lizmap/service", repository=repository, project=project, **asked, **size)
        if answer.status_code in (401, 403):
            return None
        assert answer.headers["Content-Type"] == "image/png", answer.text[:500]
        return Image.open(io.BytesIO(answer.content)).convert("RGB")
