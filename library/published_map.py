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
    when the picture is empty or no feature comes.
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
  project:
    description: The map, as repository/project. Without it only the catalogue of the server is asked for.
    type: str
  layers:
    description: Layers to draw and to count features of. All of the map when empty.
    type: list
    elements: str
    default: []
  min_colors:
    description: A picture with fewer colours counts as empty.
    type: int
    default: 3
  min_features:
    description: Least number of features.
    type: int
    default: 1
  width:
    description: Width of the picture in pixels. The height follows from the extent of the map.
    type: int
    default: 800
  picture:
    description: File to save the picture in, as PNG.
    type: path
  timeout:
    description: Seconds that everything may take together, waiting for the server to start included.
    type: int
    default: 180
attributes:
  check_mode:
    support: full
    description: Asks once, does not wait and does not fail, since there may be no map yet.
  diff_mode:
    support: none
    description: There is no difference to show.
  idempotent:
    support: full
    description: It changes nothing on the host that it asks. The picture is written anew each time.
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
  description: Projects of the server's catalogue, with their id and title.
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
  returned: when O(project) is given
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
checks:
  description: Each check, whether it passed, and what was found.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: One of V(catalogue), V(capabilities), V(picture) and V(features).
      type: str
    ok:
      description: Whether it passed.
      type: bool
    detail:
      description: What was found, or what is wrong.
      type: str
"""

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.poppyfield import map_checks
from ansible.module_utils.poppyfield.map_checks import MapError

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
TRIES_AFTER_FAILURE = 5
OK = 200
INTERNAL = "the server failed with HTTP 500"
PAUSE = 2.0
LONGEST_ANSWER = 120.0

ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "project": {"type": "str"},
    "layers": {"type": "list", "elements": "str", "default": []},
    "min_colors": {"type": "int", "default": 3},
    "min_features": {"type": "int", "default": 1},
    "width": {"type": "int", "default": 800},
    "picture": {"type": "path"},
    "timeout": {"type": "int", "default": 180},
}


class Server:
    """Asks a map server, and waits for it while it starts, until a deadline."""

    def __init__(
        self,
        session: Any,
        seconds: float,
        *,
        patient: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.session = session
        self.seconds = seconds
        self.patient = patient
        self.clock = clock
        self.sleep = sleep
        self.deadline = clock() + seconds

    def get(self, url: str) -> bytes:
        """Give the body of an answer."""
        failures = 0
        while True:
            body, why = self._ask(url)
            if body is not None:
                return body
            failures += why.startswith(INTERNAL)
            if not self.patient or failures > TRIES_AFTER_FAILURE:
                raise MapError(f"{url}: {why}")
            if self.clock() + PAUSE >= self.deadline:
                raise MapError(f"{url}: {why}, and still after {self.seconds:.0f} seconds.")
            self.sleep(PAUSE)

    def _ask(self, url: str) -> tuple[bytes | None, str]:
        left = max(self.deadline - self.clock(), 1.0)
        try:
            answer = self.session.get(url, timeout=min(left, LONGEST_ANSWER), allow_redirects=False)
        except requests.Timeout:
            return None, "no answer in time"
        except requests.ConnectionError:
            return None, "nobody answers there"
        except requests.RequestException as error:
            raise MapError(f"{url}: {error}") from error
        if answer.status_code in STARTING:
            return None, f"the server is not ready (HTTP {answer.status_code})"
        text = " ".join(answer.text[:300].split()) if answer.status_code != OK else ""
        if answer.status_code == FAILED:
            # After a restart of the database each QGIS Server process fails once, on its old connection.
            return None, f"{INTERNAL}: {text}"
        if answer.status_code != OK:
            raise MapError(f"{url}: the server refused with HTTP {answer.status_code}: {text}")
        return bytes(answer.content), ""


class MapCheck:
    """The checks of one map, in order; each one needs what the one before it found."""

    def __init__(self, server: Server, params: dict[str, Any]) -> None:
        self.server = server
        self.params = params
        self.url: str = params["url"].rstrip("/")
        self.checks: list[dict[str, Any]] = []
        self.found: dict[str, Any] = {"map_url": f"{self.url}/", "projects": []}
        self.address = ""
        self.layers: tuple[map_checks.Layer, ...] = ()

    def run(self) -> bool:
        """Run the checks up to the first that fails; tell whether all passed."""
        steps = [("catalogue", self._catalogue)]
        if self.params["project"]:
            steps += [
                ("capabilities", self._capabilities),
                ("picture", self._picture),
                ("features", self._features),
            ]
        for name, check in steps:
            try:
                self.checks.append({"check": name, "ok": True, "detail": check()})
            except MapError as error:
                self.checks.append({"check": name, "ok": False, "detail": str(error)})
                return False
        return True

    def _catalogue(self) -> str:
        self.found["projects"] = map_checks.parse_catalogue(self.server.get(f"{self.url}/index.json"))
        return f"{len(self.found['projects'])} projects"

    def _capabilities(self) -> str:
        self.address = map_checks.project_address(self.url, self.params["project"])
        capabilities = map_checks.parse_capabilities(self.server.get(map_checks.capabilities_url(self.address)))
        names = [layer.name for layer in capabilities.layers]
        self.found["capabilities"] = {"title": capabilities.title, "layers": names}
        self.layers = map_checks.choose_layers(capabilities, self.params["layers"])
        return f"layers: {', '.join(names)}"

    def _picture(self) -> str:
        url = map_checks.map_url(self.address, self.layers, self.params["width"])
        body = self.server.get(url)
        colors = map_checks.distinct_colors(body)
        path = self.params["picture"] or ""
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(body)
        self.found["getmap"] = {"path": path, "distinct_colors": colors, "bytes": len(body), "url": url}
        least = self.params["min_colors"]
        if colors < least:
            raise MapError(f"The picture has {colors} colours, but at least {least} are expected: it is empty. {url}")
        return f"{colors} colours, {len(body)} bytes"

    def _features(self) -> str:
        published = map_checks.parse_feature_types(self.server.get(map_checks.feature_types_url(self.address)))
        # WFS writes a space in a layer's name as an underscore.
        wanted = {layer.name.replace(" ", "_") for layer in self.layers}
        counts = {
            name: map_checks.count_features(self.server.get(map_checks.features_url(self.address, name)))
            for name in published
            if name in wanted
        }
        if not counts:
            url = map_checks.feature_info_url(self.address, self.layers, self.params["width"])
            counts = {"all layers": map_checks.count_features(self.server.get(url))}
        total = sum(counts.values())
        self.found["features"] = counts
        self.found["feature_count"] = total
        least = self.params["min_features"]
        if total < least:
            raise MapError(f"The map has {total} features, but at least {least} are expected.")
        return f"{total} features"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if MISSING:
        library, trace = MISSING[0]
        module.fail_json(msg=missing_required_lib(library), exception=trace)
    with requests.Session() as session:
        # The map is on a Pi nearby: a proxy of the laptop's network would only be in the way.
        session.trust_env = False
        server = Server(session, module.params["timeout"], patient=not module.check_mode)
        check = MapCheck(server, module.params)
        verified = check.run()
    result = {"changed": False, "verified": verified, "checks": check.checks, **check.found}
    if not verified and not module.check_mode:
        failed = check.checks[-1]
        module.fail_json(msg=f"The map does not work. Check of the {failed['check']}: {failed['detail']}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
