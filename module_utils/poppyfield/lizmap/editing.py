"""Tries how a map is edited in Lizmap Web Client: makes a feature, reads it back, and removes it again.

Lizmap refuses WFS-T (its service knows no Transaction), so this goes the way of its edit tool: a form for a new
feature, which is filled in and sent, all in one session.
"""

from __future__ import annotations

import secrets
from typing import Protocol

from ansible.module_utils.poppyfield.containers.services import LIZMAP
from ansible.module_utils.poppyfield.lizmap import answers
from ansible.module_utils.poppyfield.lizmap.answers import EditableLayer
from ansible.module_utils.poppyfield.lizmap.web_page import Form, Page, read_page
from ansible.module_utils.poppyfield.projects import map_checks
from ansible.module_utils.poppyfield.projects.map_checks import MapError

TRIES_TO_REMOVE = 3
# What Lizmap says, in English, when the database refuses.
SAVE_FAILED = "An error has been raised when saving"
LEAST_SPAN = 0.001
NOT_PUBLISHED = "Publish the layer in WFS (QGIS Desktop: Project properties, QGIS Server, WFS), which editing needs."
RIGHTS = "Give the right lizmap.tools.edition.use on the repository to who asks."
NOT_WRITTEN = (
    "Check that the database's user, which the layer's service names, may insert rows into its table and use its "
    f"sequences. `docker logs {LIZMAP.container}` on the Pi tells more."
)


class PageAnswer(Protocol):
    """What a server answered."""

    @property
    def status(self) -> int:
        """Give the code of HTTP."""

    @property
    def body(self) -> bytes:
        """Give what came."""

    @property
    def location(self) -> str:
        """Give where it sends on, if it does."""


class Asking(Protocol):
    """What this needs of a server."""

    def get(self, url: str) -> bytes:
        """Give the body of an answer."""

    def follow(self, url: str) -> bytes:
        """Give the body of the answer at the end of redirects."""

    def post(self, url: str, fields: dict[str, str]) -> PageAnswer:
        """Send a form, once."""

    def allow_time(self) -> None:
        """Start counting the time again."""


class Trial:
    """The trial of one layer."""

    def __init__(self, server: Asking, url: str, project: str, layer: EditableLayer) -> None:
        self.server = server
        self.url = url
        self.project = project
        self.layer = layer
        self.service = answers.service_url(url, project)
        self.box: tuple[float, ...] = ()
        # Polygons of others may lie where the new feature goes.
        self.others: set[str] = set()

    def run(self) -> str:
        """Run it; tell in a few words what was done."""
        name = self.layer.name
        form = self._open_form()
        if not self.layer.deletable:
            return f"{name}: its form opens; nothing was written, because features of it may not be deleted again"
        place = choose_place(self.layer, form.fields.get("liz_srid", ""))
        if place is None:
            return (
                f"{name}: its form opens; nothing was written, because the project does not say where its features are"
            )
        self.box = (place[0] - 1e-6, place[1] - 1e-6, place[0] + 1e-6, place[1] + 1e-6)
        # Removing goes by WFS, so it has to answer before anything is written.
        self.others = self._features_here()
        try:
            key = self._insert(form, place)
        except FormRefusedError as refusal:
            return f"{name}: its form opens; nothing was written, because it wants what only a person knows: {refusal}"
        try:
            self._read_back(key)
        finally:
            self._remove(key)
        return f"{name}: feature {key} made, read back and removed again"

    def _open_form(self) -> Form:
        url = answers.edition_url(self.url, "createFeature", self.project, self.layer.layer_id)
        page = read_page(self.server.follow(url))
        if page.form is None:
            said = _said(page)
            raise MapError(
                f"The form for a new feature of the layer {self.layer.name} does not open: {said}",
                remedy=RIGHTS if "not the right" in said else "",
            )
        return page.form

    def _insert(self, form: Form, place: tuple[float, float]) -> str:
        fields = fill_in(form, self.layer.geometry, place)
        address = map_checks.join(f"{self.url}/", form.action)
        try:
            answer = self.server.post(address, fields)
        except MapError as error:
            # The answer was lost, but maybe not the question.
            self._remove_strays()
            raise MapError(f"A new feature of the layer {self.layer.name} was not saved: {error}") from error
        key: str = answers.saved_key(answer.location)
        if key:
            return key
        self._remove_strays()
        page = read_page(
            self.server.follow(map_checks.join(address, answer.location)) if answer.location else answer.body
        )
        if page.form is not None and not any(SAVE_FAILED in message for message in page.messages):
            raise FormRefusedError(_said(page))
        raise MapError(
            f"A new feature of the layer {self.layer.name} was not saved (HTTP {answer.status}): {_said(page)}",
            remedy=NOT_WRITTEN,
        )

    def _read_back(self, key: str) -> None:
        url = answers.feature_url(self.service, self.layer.type_name, key)
        features = map_checks.read_features(self.server.get(url))
        if answers.keys_of(features) != [key]:
            raise MapError(f"The new feature {key} of the layer {self.layer.name} was saved, but WFS does not give it.")

    def _features_here(self) -> set[str]:
        url = answers.features_within_url(self.service, self.layer.type_name, self.box)
        try:
            return set(answers.keys_of(map_checks.read_features(self.server.get(url))))
        except MapError as error:
            raise MapError(
                f"The layer {self.layer.name} can be edited, but WFS does not answer for it: {error}",
                remedy=error.remedy or NOT_PUBLISHED,
                status=error.status,
            ) from error

    def _remove_strays(self) -> None:
        self.server.allow_time()
        try:
            strays = self._features_here() - self.others
        except MapError as error:
            raise MapError(
                f"It is not known whether this check wrote a feature into the layer {self.layer.name}, because the "
                f"server does not answer any more: {error}",
                remedy=f"Look for a feature at {self.box[0]} {self.box[1]} ({self.layer.crs}) and delete it.",
            ) from error
        for key in sorted(strays):
            self._remove(key)

    def _remove(self, key: str) -> None:
        """Remove it, whatever happened before, and make sure that it is gone."""
        self.server.allow_time()
        url = answers.edition_url(self.url, "deleteFeature", self.project, self.layer.layer_id, key)
        why = ""
        for _ in range(TRIES_TO_REMOVE):
            try:
                page = read_page(self.server.follow(url))
                if page.succeeded or key not in self._features_here():
                    return
                why = _said(page)
            except MapError as error:
                why = str(error)
        raise MapError(
            f"ATTENTION: the feature {key} of the layer {self.layer.name}, which this check wrote, is still there and "
            f"could not be removed: {why}",
            remedy=f"Delete the feature {key} of {self.layer.name} by hand, in Lizmap or in the database.",
        )


class FormRefusedError(Exception):
    """A form that is not content with what was filled in."""


def choose_place(layer: EditableLayer, srid: str) -> tuple[float, float] | None:
    """Give a place in the middle of the layer, another one each time."""
    if layer.crs != f"EPSG:{srid}" or len(layer.extent) != len(("west", "south", "east", "north")):
        return None
    west, south, east, north = layer.extent
    if not (west <= east and south <= north):
        return None
    return _between(west, east), _between(south, north)


def _between(least: float, most: float) -> float:
    part = 0.4 + 0.2 * secrets.randbelow(10**6) / 10**6
    return round(least + max(most - least, LEAST_SPAN) * part, 7)


def fill_in(form: Form, geometry: str, place: tuple[float, float]) -> dict[str, str]:
    """Give what to send for a new feature: as little as the form allows."""
    fields = dict(form.fields)
    for name in form.required:
        if not fields.get(name):
            # This is a text and a number.
            fields[name] = form.choices.get(name, "1")
    column = fields.get("liz_geometryColumn", "")
    if column:
        fields[column] = shape(geometry, place)
    return {**fields, "liz_future_action": "close", "_submit": "submit"}


def shape(geometry: str, place: tuple[float, float]) -> str:
    """Give a small shape in WKT that begins at a place."""
    x, y = place
    corners = [(x, y), (x + 1e-5, y), (x, y + 1e-5), (x, y)]
    points = ", ".join(f"{east:.7f} {north:.7f}" for east, north in corners)
    if "polygon" in geometry:
        return f"POLYGON(({points}))"
    if "line" in geometry:
        return f"LINESTRING({points})"
    return f"POINT({x:.7f} {y:.7f})"


def _said(page: Page) -> str:
    return "; ".join(page.messages) or "it does not say why."
