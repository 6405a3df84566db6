#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: asserts that a published map really draws."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: published_map
short_description: Check that a published map draws
version_added: "0.1.0"
description:
  - Asks a map server for the capabilities of a map, a picture of it and features, as a browser or QGIS would, and fails
    when a layer is not drawn where its features are, or when nothing is drawn although a layer ought to be.
  - A map that has no features yet, as before the first day in the field, is right. It is drawn and its features are
    counted, and a warning says that nothing shows yet. Of a map that has only tables no picture is asked for.
  - Of the map page it also asks for a feature by OGC API Features.
  - Of Lizmap Web Client it also asks for the page of the map and the project's configuration, and, where the project
    may be edited, for the form in which people add a feature. It sends none, so that editing is tried without a trace.
    Whether PostgreSQL would take the feature is what M(editing_trial) asks.
  - Runs where the map is to be reached from, usually on the controller with C(delegate_to).
  - A server that is still starting is waited for, and one that fails is asked a few times more. Any other wrong answer
    fails at once.
requirements:
  - requests
  - Pillow
  - defusedxml
options:
  url:
    description: Address of the map server.
    type: str
    required: true
  web_client:
    description: What shows the map, Poppyfield's map page or Lizmap Web Client.
    type: str
    choices: [map_page, lizmap]
    default: map_page
  project:
    description: The map, as repository/project. Without it only the list of projects is asked for.
    type: str
  folder:
    description:
      - The folder of the project on the host where the module runs. The project there tells which layers come from the
        internet. They are not drawn, since a Pi may have none, and of a map that has nothing else a warning says so.
      - Without it, or when the project is not there, every layer is drawn.
    type: path
  certificate:
    description:
      - The certificate that the server must show, in PEM, for an O(url) with HTTPS. It need not be of an authority that
        this host trusts, nor for the name in O(url). Without it, it must be both.
    type: str
  user:
    description: Who asks Lizmap, by the name to log in with. Anybody when empty.
    type: str
  password:
    description: The password of O(user). It goes over the network as from a browser, so in the clear without HTTPS.
    type: str
  password_file:
    description: File with the password of O(user), on the host where the module runs.
    type: path
  login:
    description:
      - When O(user) logs in. With V(if_needed) only when Lizmap sends who does not to the page to log in, so that a map
        for everybody is asked for as anybody.
    type: str
    choices: [always, if_needed]
    default: always
  editing:
    description:
      - Whether to open the form for a new feature, of each layer that O(user) may edit.
      - With V(auto) it warns of a form that does not open and of layers that O(user) may not edit, so that no map is
        taken for broken for these. With V(required) it fails when there is such a form, or no layer to edit.
    type: str
    choices: [auto, never, required]
    default: auto
  trials:
    description:
      - What M(editing_trial) found of the layers that people may add features to, of all maps.
      - It tells why a form does not open, which fields it must have, and which forms are left closed since a sequence
        would go on when they are opened.
    type: list
    elements: dict
    default: []
  layers:
    description: Layers to draw and to count features of. All of the map when empty.
    type: list
    elements: str
    default: []
  min_features:
    description: Least number of features. A survey that starts has none.
    type: int
    default: 0
  width:
    description: Width of the picture in pixels. The height follows from the extent of the map.
    type: int
    default: 800
  picture:
    description: File to save the picture in, as PNG.
    type: path
  seconds:
    description:
      - Whether to tell how long each layer alone takes to draw, at four scales, see RV(seconds). It keeps a Pi busy for
        a while.
    type: bool
    default: false
  timeout:
    description:
      - Seconds to wait for an answer, waiting for the server to start included.
      - The count starts again with each answer, so that a slow server is not taken for one that does not answer.
    type: int
    default: 180
attributes:
  check_mode:
    support: full
    description: Asks once, does not wait, does not edit and does not fail, since there may be no map yet.
  diff_mode:
    support: none
    description: There is no difference to show.
  idempotent:
    support: full
    description: >-
      It leaves nothing changed on the host that it asks. The picture is written again each time.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Check that the map draws
  published_map:
    url: "http://{{ ansible_host }}"
    project: sample/france
    picture: build/map.png
  delegate_to: localhost

- name: Check only that the server answers
  published_map:
    url: "http://{{ ansible_host }}"
  delegate_to: localhost

- name: Check that a map for logged-in users draws and can be edited
  published_map:
    url: "{{ lizmap_url }}"
    web_client: lizmap
    project: sample/france
    user: admin
    password_file: passwords/admin
    editing: required
  delegate_to: localhost
"""

RETURN = r"""
map_url:
  description: Address of the map server's page.
  returned: always
  type: str
verified:
  description: Whether every check passed.
  returned: always
  type: bool
projects:
  description: Projects that the server lists, with their id and title.
  returned: always
  type: list
  elements: dict
capabilities:
  description: Title and layers of the map.
  returned: when O(project) is given
  type: dict
  contains:
    title:
      description: Title of the map.
      type: str
    layers:
      description: Names of its layers, the uppermost first.
      type: list
      elements: str
getmap:
  description: The picture.
  returned: when O(project) is given and there is something to draw
  type: dict
  contains:
    path:
      description: Where it was saved, empty without O(picture).
      type: str
    distinct_colors:
      description: Number of its colours.
      type: int
    bytes:
      description: Its size.
      type: int
    url:
      description: Address that it came from.
      type: str
feature_count:
  description: Number of features, at most 1000 of each layer.
  returned: when O(project) is given
  type: int
features:
  description: Number of features of each layer.
  returned: when O(project) is given
  type: dict
not_checked:
  description:
    - Layers that cannot be asked for, because their name has a comma or Lizmap's configuration does not list them. A
      warning names them.
  returned: when O(project) is given
  type: list
  elements: str
drawn:
  description:
    - How each layer is drawn where its features are, V(drawn), V(drawn when zoomed in), or V(not drawn at this scale).
      Layers without features, or that WFS does not publish, are not in it.
  returned: when O(project) is given
  type: dict
seconds:
  description:
    - How long each layer alone takes to draw in the size of a tablet's window, all of it and its middle from nearer and
      nearer, the slowest first.
  returned: with O(seconds)
  type: list
  elements: dict
  contains:
    layer:
      description: Name of the layer.
      type: str
    scale:
      description: About the scale, V(25000) for 1:25,000.
      type: int
    seconds:
      description: The time from the question to the whole picture.
      type: float
    problem:
      description: Why there is no picture, if there is none.
      type: str
is_in_errors_log:
  description: That Lizmap itself failed, and that its C(errors.log) has more of it than it shows.
  returned: when it is so
  type: bool
checks:
  description: Each check, whether it passed, and what was found.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description:
        - One of V(catalogue), V(capabilities), V(picture), V(features), V(layers), V(ogc_api) and V(seconds) of the map
          page.
        - One of V(login), V(page), V(configuration), V(capabilities), V(picture), V(features), V(layers), V(seconds),
          V(print) and V(editing) of Lizmap Web Client.
      type: str
    ok:
      description: Whether it passed.
      type: bool
    detail:
      description: What was found, or what is wrong and what helps.
      type: str
"""

import hashlib
import ssl
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.poppyfield.host import password_file
from ansible.module_utils.poppyfield.host.password_file import PasswordFileError
from ansible.module_utils.poppyfield.lizmap import answers, editing, errors_log
from ansible.module_utils.poppyfield.lizmap.web_page import read_page
from ansible.module_utils.poppyfield.projects import map_checks, qgis_project
from ansible.module_utils.poppyfield.projects.findings import GIVE_SHORT_NAME, WITH_COMMA
from ansible.module_utils.poppyfield.projects.folder_difference import beginning
from ansible.module_utils.poppyfield.projects.map_checks import MapError
from ansible.module_utils.poppyfield.projects.names import can_be_asked
from ansible.module_utils.poppyfield.projects.words import plain

MISSING: list[tuple[str, str]] = []
try:
    import requests
except ImportError:
    MISSING.append(("requests", traceback.format_exc()))
try:
    import PIL  # noqa: F401 - map_checks needs it
except ImportError:
    MISSING.append(("Pillow", traceback.format_exc()))
try:
    import defusedxml  # noqa: F401 - map_checks needs it
except ImportError:
    MISSING.append(("defusedxml", traceback.format_exc()))

STARTING = (502, 503, 504)
FAILED = 500
TOO_MANY = 429
TRIES_AFTER_FAILURE = 5
OK = 200
REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 5
END_OF_CERTIFICATE = "-----END CERTIFICATE-----"
LOGIN_PAGE = "/auth/login"
PDF = b"%PDF"
INTERNAL = "the server failed with HTTP 500"
PAUSE = 2.0
LONGEST_ANSWER = 120.0
LARGEST_ANSWER = 64 * 1024**2
CHUNK = 64 * 1024
# Lizmap speaks the language that is asked for, and some of what it says is understood here.
HEADERS = {"Accept-Language": "en"}
ONE_FEATURE = {"limit": 1}
TRANSPARENT = {"TRANSPARENT": "TRUE"}
NOT_LISTED = (
    "it is not checked, because Lizmap's configuration of the project does not list it for {who}: its .cfg is older "
    "than the project, or it is hidden. If people are to see it, choose Apply in the Lizmap plugin of QGIS Desktop, "
    "and publish it again."
)

LOGS = answers.LOGS
# What helps when a check fails and the answer itself does not tell.
REMEDIES = {
    "catalogue": f"See whether both containers run: `docker ps` on the Pi. {LOGS}",
    "login": "Check the user's name and password.",
    "page": f"See whether both containers run: `docker ps` on the Pi. {LOGS}",
    "configuration": "Write the project's .cfg again with the Lizmap plugin of QGIS Desktop.",
    "capabilities": f"QGIS Server cannot open the project: see that it can reach the data of each layer. {LOGS}",
    "picture": f"See that the project has layers that are drawn and that QGIS Server can reach their data. {LOGS}",
    "features": f"See that the layer's table or file is there, has rows and may be read by the database's user. {LOGS}",
    "layers": "Look at the layer's style in QGIS Desktop. If it draws nothing on purpose, name the layers to check.",
    "ogc_api": LOGS,
    "print": LOGS,
    "editing": LOGS,
}
ANOTHER_CERTIFICATE = "The server shows another certificate than expected, or one that this host does not trust."
PHP_IS_DOWN = f"nginx answers, but not PHP behind it. {LOGS}"

ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "web_client": {"type": "str", "choices": ["map_page", "lizmap"], "default": "map_page"},
    "project": {"type": "str"},
    "folder": {"type": "path"},
    "certificate": {"type": "str"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "password_file": {"type": "path", "no_log": False},
    "login": {"type": "str", "choices": ["always", "if_needed"], "default": "always"},
    "editing": {"type": "str", "choices": ["auto", "never", "required"], "default": "auto"},
    "trials": {"type": "list", "elements": "dict", "default": []},
    "layers": {"type": "list", "elements": "str", "default": []},
    "min_features": {"type": "int", "default": 0},
    "width": {"type": "int", "default": 800},
    "picture": {"type": "path"},
    "seconds": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 180},
}


@dataclass(frozen=True)
class MapServerAnswer:
    """What a server answered; it may be a redirect or a refusal."""

    status: int
    body: bytes
    location: str


class Server:
    """Asks a map server, and waits for it while it starts; the time for that is counted again from each answer."""

    def __init__(
        self,
        session: Any,
        url: str,
        seconds: float,
        *,
        patient: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.session = session
        self.host = host_of(url)
        self.seconds = seconds
        self.patient = patient
        self.clock = clock
        self.sleep = sleep
        self.deadline = clock() + seconds

    def allow_time(self) -> None:
        """Start counting the time again."""
        self.deadline = self.clock() + self.seconds

    def get(self, url: str) -> bytes:
        """Give the body of an answer."""
        return self._body(url, self.answer(url))

    def follow(self, url: str) -> bytes:
        """Give the body of the answer at the end of redirects."""
        return self.follow_to_end(url)[1]

    def follow_to_end(self, url: str) -> tuple[str, bytes]:
        """Give where redirects end, and the body of the answer there."""
        for _ in range(MOST_REDIRECTS):
            answer = self.answer(url)
            if answer.status not in REDIRECTS:
                return url, self._body(url, answer)
            url = map_checks.join(url, answer.location)
        raise MapError(f"{url}: the server redirects without end.")

    def answer(self, url: str) -> MapServerAnswer:
        """Ask until the server answers in earnest."""
        failures = 0
        while True:
            answer, why, status = self._ask("get", url)
            if answer is not None:
                self.allow_time()
                return answer
            failures += why.startswith(INTERNAL)
            if not self.patient or failures > TRIES_AFTER_FAILURE:
                raise MapError(f"{url}: {why}", status=status)
            if self.clock() + PAUSE >= self.deadline:
                raise MapError(f"{url}: {why}, and still after {self.seconds:.0f} seconds.", status=status)
            self.sleep(PAUSE)

    def post(self, url: str, fields: dict[str, str]) -> MapServerAnswer:
        """Send a form, once: who knows what a second time would do."""
        answer, why, status = self._ask("post", url, data=fields)
        if answer is None:
            raise MapError(f"{url}: {why}", status=status)
        return answer

    @staticmethod
    def _body(url: str, answer: MapServerAnswer) -> bytes:
        if answer.status == OK:
            return answer.body
        explained = answers.explain_refusal(answer.status, answer.body)
        if explained is not None:
            raise explained
        text = plain(answer.body[:300].decode("utf-8", "replace"))
        raise MapError(f"{url}: the server refused with HTTP {answer.status}: {text}", status=answer.status)

    def _ask(self, method: str, url: str, **given: Any) -> tuple[MapServerAnswer | None, str, int]:
        self._stay_with_the_pi(url)
        now = self.clock()
        left = min(max(self.deadline - now, 1.0), LONGEST_ANSWER)
        try:
            with self.session.request(
                method, url, timeout=left, allow_redirects=False, headers=HEADERS, stream=True, **given
            ) as answer:
                body = self._read(url, answer, now + LONGEST_ANSWER)
        except requests.exceptions.SSLError as error:
            raise MapError(f"{url}: HTTPS fails: {error}", remedy=ANOTHER_CERTIFICATE) from error
        except requests.Timeout:
            return None, "no answer in time", 0
        except requests.ConnectionError:
            return None, "nobody answers there", 0
        except requests.RequestException as error:
            raise MapError(f"{url}: {error}") from error
        if answer.status_code in STARTING:
            return None, f"the server is not ready (HTTP {answer.status_code})", answer.status_code
        if answer.status_code == FAILED:
            # After a restart of the database each QGIS Server process fails once, on its old connection.
            return None, f"{INTERNAL}: {plain(body[:300].decode('utf-8', 'replace'))}", FAILED
        return MapServerAnswer(answer.status_code, body, answer.headers.get("Location", "")), "", 0

    def _read(self, url: str, answer: Any, end: float) -> bytes:
        """Give the whole of an answer, unless it is too large or does not end."""
        body = bytearray()
        for chunk in answer.iter_content(CHUNK):
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise MapError(f"{url}: the answer has more than {LARGEST_ANSWER // 1024**2} MB.")
            if self.clock() > end:
                raise MapError(f"{url}: the answer does not end within {LONGEST_ANSWER:.0f} seconds.")
        return bytes(body)

    def _stay_with_the_pi(self, url: str) -> None:
        """Refuse to go where a redirect, a form or a link leads to another machine, as this laptop reaches more."""
        if host_of(url) != self.host:
            raise MapError(
                f"{url}: the map leads there, to another server than {self.host}.", remedy=map_checks.TELL_THE_ADDRESS
            )


def host_of(url: str) -> str:
    """Give the name or number of the machine that an address is of, empty if it is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def pin(session: Any, certificate: str) -> None:
    """Let a session talk by HTTPS with who shows this certificate, and with nobody else."""
    try:
        print_of = hashlib.sha256(ssl.PEM_cert_to_DER_cert(first_of(certificate))).hexdigest()
    except ValueError as error:
        raise MapError(f"The certificate is not one in PEM: {error}") from error

    class PinnedAdapter(requests.adapters.HTTPAdapter):
        """Checks the fingerprint instead of the authority and the name."""

        def init_poolmanager(self, *arguments: Any, **given: Any) -> None:
            super().init_poolmanager(*arguments, **given, assert_fingerprint=print_of)

    session.mount("https://", PinnedAdapter())
    session.verify = False


def first_of(certificate: str) -> str:
    """Give the server's own certificate, which comes before those of its issuers."""
    return certificate.partition(END_OF_CERTIFICATE)[0] + END_OF_CERTIFICATE


class MapCheck:
    """The checks of one map on the map page, in order; each one needs what the previous one found."""

    def __init__(self, server: Server, params: dict[str, Any]) -> None:
        self.server = server
        self.params = params
        project = project_here(params["folder"], params["project"])
        self.from_internet = qgis_project.names_from_internet(project) if project else frozenset()
        self.from_servers = qgis_project.names_from_servers(project) if project else frozenset()
        self.url: str = map_checks.server_address(params["url"])
        self.checks: list[dict[str, Any]] = []
        self.found: dict[str, Any] = {"map_url": f"{self.url}/", "projects": []}
        self.address = ""
        self.layers: tuple[map_checks.MapLayer, ...] = ()
        self.features: dict[str, list[dict[str, Any]]] = {}
        self.not_checked: dict[str, str] = {}
        self.blank = False
        self.warnings: list[str] = []
        self.failures: list[MapError] = []

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Give the checks by name."""
        steps: list[tuple[str, Callable[[], str]]] = [("catalogue", self._catalogue)]
        return [*steps, *self.steps_of_a_map(), ("ogc_api", self._ogc_api)] if self.params["project"] else steps

    def steps_of_a_map(self) -> list[tuple[str, Callable[[], str]]]:
        """Give those that any web client has to pass."""
        return [
            ("capabilities", self._capabilities),
            ("picture", self._picture),
            ("features", self._features),
            ("layers", self._layers),
            *([("seconds", self._seconds)] if self.params["seconds"] else []),
        ]

    def run(self) -> bool:
        """Run the checks up to the first that fails; tell whether all passed."""
        for name, check in self.steps():
            try:
                self.checks.append({"check": name, "ok": True, "detail": check()})
            except MapError as error:
                self.failures.append(error)
                detail = f"{error} {error.remedy or REMEDIES[name]}"
                self.checks.append({"check": name, "ok": False, "detail": detail})
                return False
        return True

    def is_in_errors_log(self) -> bool:
        """Tell whether Lizmap wrote more of a failure than it shows; there is none here."""
        return False

    def _catalogue(self) -> str:
        self.found["projects"] = map_checks.parse_catalogue(self.server.get(f"{self.url}/index.json"))
        return f"{len(self.found['projects'])} projects"

    def service(self) -> str:
        """Give the address of the map's WMS and WFS."""
        return str(map_checks.project_address(self.url, self.params["project"]))

    def _capabilities(self) -> str:
        self.address = self.service()
        capabilities = map_checks.parse_capabilities(self.server.get(map_checks.capabilities_url(self.address)))
        names = [layer.name for layer in capabilities.layers]
        self.found["capabilities"] = {"title": capabilities.title, "layers": names}
        chosen = map_checks.choose_layers(capabilities, self.params["layers"])
        self.not_checked = {layer.name: why for layer in chosen if (why := self.why_not_asked(layer))}
        self.layers = tuple(layer for layer in chosen if layer.name not in self.not_checked)
        self.found["not_checked"] = list(self.not_checked)
        if unreached := sorted(self.from_servers - set(names)):
            self.warnings.append(
                f"the map goes on without what comes from servers that the Pi does not reach: {', '.join(unreached)}."
            )
        if not self.layers:
            *others, last = (f"'{name}'" for name in self.not_checked)
            told = " and ".join([", ".join(others), last] if others else [last])
            raise MapError(f"No layer of the map can be asked for, of {told}:", remedy=self.not_checked[chosen[0].name])
        return f"layers: {', '.join(names)}"

    def why_not_asked(self, layer: map_checks.MapLayer) -> str:
        """Say why a layer cannot be asked for, and what helps; empty when it can."""
        return "" if can_be_asked(layer.name) else f"{WITH_COMMA} {GIVE_SHORT_NAME}"

    def pictured(self) -> tuple[map_checks.MapLayer, ...]:
        """Give the layers that the picture shows: what a Pi can draw without internet."""
        return tuple(layer for layer in self.layers if not layer.is_table and layer.name not in self.from_internet)

    def _picture(self) -> str:
        layers = self.pictured()
        if not layers:
            return self._without_picture()
        if not any(layer.boxes for layer in layers):
            self.blank = True
            return "no picture: no layer has an extent, as before the first feature"
        url = map_checks.map_url(self.address, layers, self.params["width"])
        body = self.server.get(url)
        colors = map_checks.distinct_colors(body)
        path = self.params["picture"] or ""
        if path:
            save_picture(Path(path), body)
        self.found["getmap"] = {"path": path, "distinct_colors": colors, "bytes": len(body), "url": url}
        # One colour is an empty ground, or an area that fills the picture: only on a transparent ground they differ.
        self.blank = colors == 1 and not map_checks.paints(self.server.get(map_checks.ask(url, TRANSPARENT)))
        return "nothing is drawn" if self.blank else f"{colors} colours, {len(body)} bytes"

    def _without_picture(self) -> str:
        names = quoted(layer for layer in self.layers if not layer.is_table)
        if not names:
            return "no picture: there are only tables"
        self.warnings.append(f"nothing of its map was drawn, for all that it draws comes from the internet: {names}.")
        return f"no picture: from the internet come {names}"

    def _features(self) -> str:
        published = map_checks.parse_feature_types(self.server.get(map_checks.feature_types_url(self.address)))
        wanted = {map_checks.type_name(layer.name) for layer in self.layers if layer.name not in self.from_internet}
        self.features = {name: self._features_of(name) for name in published if map_checks.type_name(name) in wanted}
        counts = {name: len(features) for name, features in self.features.items()}
        asked = [layer for layer in self.pictured() if layer.queryable and layer.boxes]
        if not counts and asked:
            counts = {"all layers": self._count_in_picture(asked)}
        total = sum(counts.values())
        self.found["features"] = counts
        self.found["feature_count"] = total
        least = self.params["min_features"]
        if total < least:
            raise MapError(f"The map has {total} features, but at least {least} are expected.")
        return f"{total} features"

    def _count_in_picture(self, layers: Sequence[map_checks.MapLayer]) -> int:
        url = map_checks.feature_info_url(self.address, layers, self.params["width"])
        return int(map_checks.count_features(self.server.get(url)))

    def _features_of(self, name: str) -> list[dict[str, Any]]:
        try:
            body = self.server.get(map_checks.features_url(self.address, name))
            features: list[dict[str, Any]] = map_checks.read_features(body)
        except MapError as error:
            message = f"WFS does not give the features of the layer {name}: {error}"
            raise MapError(message, remedy=error.remedy, status=error.status) from error
        return features

    def _layers(self) -> str:
        """Ask for each layer alone, on a transparent ground, where its features are: only they can paint it."""
        drawn: dict[str, str] = {}
        self.found["drawn"] = drawn
        features = {map_checks.type_name(name): found for name, found in self.features.items()}
        for layer in self.layers:
            places = map_checks.find_places(features.get(map_checks.type_name(layer.name), []))
            if places:
                drawn[layer.name] = self._how_drawn(layer, places)
        if self.blank:
            self._account_for_blank(drawn)
        if not drawn:
            return "no layer has features in WFS"
        told = [f"{name}: {how}" for name, how in drawn.items()]
        if others := ", ".join(layer.name for layer in self.layers if layer.name not in drawn):
            told.append(f"not looked at alone, for WFS gives no features with a place: {others}")
        return "; ".join(told)

    def _account_for_blank(self, drawn: dict[str, str]) -> None:
        """Fail when a layer ought to be in the picture, in which nothing is."""
        if missing := quoted(layer for layer in self.pictured() if self._ought_to_show(layer)):
            told = f"Nothing is drawn, and of {missing} it is not known that there is nothing to draw."
            raise MapError(f"{told} {self.found['getmap']['url']}", remedy=REMEDIES["picture"])
        if not drawn:
            names = quoted(self.pictured())
            self.warnings.append(f"its map shows nothing yet, for there are no features: {names}.")

    def _ought_to_show(self, layer: map_checks.MapLayer) -> bool:
        """Tell whether a layer was to be seen in the picture, as far as WFS has not told what it has and where."""
        told = {map_checks.type_name(name) for name in self.features}
        if map_checks.type_name(layer.name) in told or layer.min_scale or layer.max_scale or not layer.boxes:
            return False
        return not layer.queryable or self._count_in_picture([layer]) > 0

    def _how_drawn(self, layer: map_checks.MapLayer, places: list[map_checks.Place]) -> str:
        looks = map_checks.views(places, layer)
        for number, view in enumerate(looks):
            if map_checks.paints(self.server.get(map_checks.view_url(self.address, layer.name, view))):
                return "drawn when zoomed in" if number else "drawn"
        if layer.min_scale or layer.max_scale:
            return "not drawn at this scale"
        url = map_checks.view_url(self.address, layer.name, looks[0])
        raise MapError(f"The layer {layer.name} has features, but nothing is drawn where they are. {url}")

    def _seconds(self) -> str:
        """Time each layer alone. That one is slow, or is not drawn at some scale, is no fault of the map."""
        timed = [
            self._time(layer.name, view)
            for layer in self.pictured()
            if layer.boxes
            for view in map_checks.timed_views(self.address, layer)
        ]
        timed.sort(key=lambda view: view["seconds"], reverse=True)
        self.found["seconds"] = timed
        return f"{len(timed)} views of single layers" + (f", {timed[0]['seconds']} s at most" if timed else "")

    def _time(self, layer: str, view: map_checks.TimedView) -> dict[str, Any]:
        began, problem = self.server.clock(), ""
        try:
            self.server.get(view.url)
        except MapError as error:
            problem = str(error)
        took = round(self.server.clock() - began, 2)
        return {"layer": layer, "scale": view.scale, "seconds": took, "problem": problem}

    def _ogc_api(self) -> str:
        """Ask for one feature as a program that only knows the address of the map: by the links."""
        body = self.server.get(map_checks.collections_url(self.address))
        collections = map_checks.parse_collections(body, self.address)
        name = next((name for name, features in self.features.items() if features), "")
        if not name:
            return "no layer has features in WFS"
        if (key := map_checks.type_name(name)) not in collections:
            raise MapError(f"OGC API Features does not give the layer {name}, which WFS gives.")
        url = map_checks.ask(collections[key], ONE_FEATURE)
        if not map_checks.count_features(self.server.get(url)):
            raise MapError(f"OGC API Features gives no feature of the layer {name}. {url}")
        return f"a feature of {name}"


def quoted(layers: Iterable[map_checks.MapLayer]) -> str:
    """Give the names of layers for a sentence."""
    return " and ".join(f"'{layer.name}'" for layer in layers)


def project_here(folder: str | None, project: str | None) -> qgis_project.Project | None:
    """Read the project that was published; None when it is not here."""
    name = (project or "").partition("/")[2]
    for path in (Path(folder or "", f"{name}{ending}") for ending in qgis_project.ENDINGS if folder and name):
        try:
            content = beginning(path, qgis_project.LARGEST_PROJECT)
            return qgis_project.parse_project(path.name, content)
        except (OSError, qgis_project.ProjectError):
            continue
    return None


def save_picture(path: Path, body: bytes) -> None:
    """Save the picture for people to look at."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    except OSError as error:
        raise MapError(
            f"The map draws, but its picture cannot be saved to {path}: {error.strerror}.",
            remedy="Give `picture` (in the inventory lizmap_picture_folder) a place that you may write to.",
        ) from error


class LizmapCheck(MapCheck):
    """The checks of one map in Lizmap Web Client."""

    def __init__(self, server: Server, params: dict[str, Any], password: str, *, edit: bool, prints: bool) -> None:
        super().__init__(server, params)
        self.password = password
        self.edit = edit
        self.prints = prints
        self.config = answers.ProjectConfig((), ())
        self.who = "anybody without logging in"

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Give the checks by name."""
        steps: list[tuple[str, Callable[[], str]]] = [("page", self._page)]
        if self.params["user"] and self.params["login"] == "always":
            steps.insert(0, ("login", self._login))
        if self.params["project"]:
            steps += [("configuration", self._configuration), *self.steps_of_a_map()]
            if self.prints:
                steps.append(("print", self._print))
            if self.edit:
                steps.append(("editing", self._editing))
        return steps

    def service(self) -> str:
        """Give the address of the map's WMS and WFS."""
        return str(answers.service_url(self.url, self.params["project"]))

    def why_not_asked(self, layer: map_checks.MapLayer) -> str:
        """Say why a layer cannot be asked for, and what helps; Lizmap fails where it does not know one."""
        # The list names layers as QGIS does; a layer with a short name has that name as its title in WMS.
        if not {layer.name, layer.title} & self.config.listed:
            return NOT_LISTED.format(who=self.who)
        return super().why_not_asked(layer)

    def pictured(self) -> tuple[map_checks.MapLayer, ...]:
        """Give the layers with features: a base layer may be of a server that cannot be reached from here."""
        drawn = super().pictured()
        return tuple(layer for layer in drawn if layer.name in self.config.vector_layers) or drawn

    def _login(self) -> str:
        address = answers.login_url(self.url)
        form = read_page(self._get_page(address)).form
        if form is None:
            raise MapError(f"{address} has no form to log in.", remedy=LOGS)
        fields = {**form.fields, "auth_login": self.params["user"], "auth_password": self.password}
        answer = self.server.post(map_checks.join(address, form.action), fields)
        if answer.status == TOO_MANY:
            raise MapError("Lizmap has had too many attempts to log in.", remedy="Wait a minute, then try again.")
        if answer.status not in REDIRECTS or LOGIN_PAGE in answer.location:
            raise MapError(f"Lizmap does not let {self.params['user']} in with this password.")
        self.who = self.params["user"]
        return f"logged in as {self.who}"

    def _page(self) -> str:
        if not self.params["project"]:
            page = read_page(self._get_page(answers.home_url(self.url)))
            self.found["projects"] = answers.projects_of(page)
            return f"{len(self.found['projects'])} projects"
        url = answers.page_url(self.url, self.params["project"])
        answer = self._answer_of_page(url)
        if LOGIN_PAGE in answer.location and self.params["user"] and self.params["login"] == "if_needed":
            self._login()
            answer = self._answer_of_page(url)
        if answer.status in REDIRECTS:
            target = map_checks.join(url, answer.location)
            raise answers.explain_page(target, read_page(self.server.follow(target)).messages)
        if answer.status != OK:
            told = map_checks.excerpt(answer.body)
            raise MapError(f"{url}: the server refused with HTTP {answer.status}, and answered {told}.")
        return f"{url} opens to {self.who}"

    def _answer_of_page(self, url: str) -> MapServerAnswer:
        try:
            return self.server.answer(url)
        except MapError as error:
            raise MapError(str(error), remedy=PHP_IS_DOWN if error.status in STARTING else "") from error

    def _get_page(self, url: str) -> bytes:
        answer = self._answer_of_page(url)
        if answer.status != OK:
            told = map_checks.excerpt(answer.body)
            raise MapError(f"{url}: the server answered HTTP {answer.status} instead of a page: {told}.")
        return answer.body

    def _configuration(self) -> str:
        body = self.server.get(answers.config_url(self.url, self.params["project"]))
        self.config = answers.read_config(body)
        editable = ", ".join(layer.name for layer in self.config.editable) or "none"
        return f"{len(self.config.vector_layers)} layers with features; to edit: {editable}"

    def _print(self) -> str:
        """Print a page where there is a layout. The map is well without it, so that a failure is only warned of."""
        layers = [layer for layer in self.pictured() if layer.boxes]
        if not self.config.layouts or not layers:
            return "no layout to print"
        layout, frame = self.config.layouts[0]
        try:
            body = self.server.get(map_checks.print_url(self.address, layers, layout, frame))
            if not body.startswith(PDF):
                raise MapError(f"the server answered something that is not a PDF: {map_checks.excerpt(body)}")
        except MapError as error:
            self.warnings.append(f"The layout '{layout}' does not print: {error}")
            return f"{layout} does not print"
        return f"{layout}: {len(body)} bytes"

    def is_in_errors_log(self) -> bool:
        """Tell whether Lizmap itself failed, of which it writes more than it shows."""
        inside = (FAILED, answers.SENT_AWAY)
        return any(error.status in inside or error.remedy == errors_log.LOOK for error in self.failures)

    def _editing(self) -> str:
        project = self.params["project"]
        trials = {trial["layer_id"]: trial for trial in self.params["trials"] if trial["map"] == project}
        required = self.params["editing"] == "required"
        if required and not self.config.editable:
            raise MapError(f"There is no layer that {self.who} may edit.", remedy=editing.RIGHTS)
        told = []
        for layer in self.config.editable:
            try:
                told.append(editing.try_form(self.server, self.url, project, layer, trials.pop(layer.layer_id, None)))
            except editing.FormError as error:
                if required:
                    raise
                self.failures.append(error)
                self.warnings.append(f"{error} {error.remedy}".strip())
                told.append(str(error))
        if trials:
            names = " and ".join(f"'{trial['layer']}'" for trial in trials.values())
            self.warnings.append(editing.NOT_TRIED.format(names=names, who=self.who))
        return "; ".join(told) or "no layer to edit"


def read_password(module: AnsibleModule) -> str:
    """Give the password of the user, if there is one."""
    if module.params["password_file"]:
        try:
            return str(password_file.read(Path(module.params["password_file"])).rstrip("\r\n"))
        except PasswordFileError as error:
            module.fail_json(msg=str(error))
    return module.params["password"] or ""


def make_check(module: AnsibleModule, server: Server) -> MapCheck:
    """Give the checks of the web client."""
    if module.params["web_client"] == "map_page":
        return MapCheck(server, module.params)
    edit = module.params["editing"] != "never" and not module.check_mode
    return LizmapCheck(server, module.params, read_password(module), edit=edit, prints=not module.check_mode)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        mutually_exclusive=[("password", "password_file")],
        required_by={"password": "user", "password_file": "user"},
    )
    if MISSING:
        library, trace = MISSING[0]
        module.fail_json(msg=missing_required_lib(library), exception=trace)
    with requests.Session() as session:
        # The map is on a Pi nearby: a proxy of the laptop's network would only be in the way.
        session.trust_env = False
        if module.params["certificate"]:
            try:
                pin(session, module.params["certificate"])
            except MapError as error:
                module.fail_json(msg=str(error))
        server = Server(session, module.params["url"], module.params["timeout"], patient=not module.check_mode)
        check = make_check(module, server)
        verified = check.run()
    result = {"changed": False, "verified": verified, "checks": check.checks, **check.found}
    if check.is_in_errors_log():
        result["is_in_errors_log"] = True
    for name, why in check.not_checked.items() if verified else ():
        module.warn(f"{module.params['project']}, layer '{name}': {why}")
    for words in check.warnings if verified else ():
        module.warn(f"{module.params['project']}: {words}")
    if not verified and not module.check_mode:
        failed = check.checks[-1]
        module.fail_json(msg=f"The map does not work. Check of the {failed['check']}: {failed['detail']}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
