"""Tries how a map is edited in Lizmap Web Client: opens the form for a new feature, and sends nothing.

That proves the rights, Lizmap's configuration and its PHP. Whether PostgreSQL would take the feature is asked of it
itself, see write_trial.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from ansible.module_utils.poppyfield.lizmap import answers, errors_log
from ansible.module_utils.poppyfield.lizmap.answers import EditableLayer
from ansible.module_utils.poppyfield.lizmap.web_page import Form, read_page
from ansible.module_utils.poppyfield.projects.map_checks import MapError
from ansible.module_utils.poppyfield.projects.words import plain

FAILED = 500
RIGHTS = "Give the right lizmap.tools.edition.use on the repository to who asks."
REMEDIES = {
    "not the right": RIGHTS,
    "no primary key": "Publish the layer in WFS with its key (QGIS Desktop: Project properties, QGIS Server, WFS).",
}
"""What goes with what Lizmap says, in English."""
SHOW_FIELD = (
    "Have the form show it (QGIS Desktop: the layer's Properties, Attributes Form, and Fields: WFS), or give the "
    "column a default."
)
NOT_TRIED = (
    "editing was not tried in Lizmap, for {who} may not edit {names}. To try it, name somebody who may in "
    "lizmap_verify_user and lizmap_verify_password_file, with lizmap_verify_login: always; or "
    "lizmap_verify_editing: never."
)


class FormError(MapError):
    """A form in which nobody can add a feature."""


class Asking(Protocol):
    """What this needs of a server."""

    def follow_to_end(self, url: str) -> tuple[str, bytes]:
        """Give where redirects end, and the body of the answer there."""


def try_form(server: Asking, url: str, project: str, layer: EditableLayer, trial: Mapping[str, Any] | None) -> str:
    """Open the form of a layer; tell in a few words what was found. `trial` is what PostgreSQL says of its table."""
    if trial and trial["counting"]:
        return (
            f"{layer.name}: its form was not opened, for Lizmap asks for the default of a column then, and a sequence "
            f"would go on ({trial['counting']})"
        )
    form = _open_form(server, url, project, layer, (trial or {}).get("form_fails", ""))
    if missing := without_field(form, (trial or {}).get("needed", ())):
        raise FormError(
            f"The form of the layer {layer.name} has no field for what PostgreSQL wants a value of: "
            f"{plain(', '.join(missing))}.",
            remedy=SHOW_FIELD,
        )
    return f"{layer.name}: its form opens; {_of_table(trial)}"


def _of_table(trial: Mapping[str, Any] | None) -> str:
    if trial is None:
        return "a row was not tried"
    if trial["untried"]:
        return f"a row was not tried: {trial['untried']}"
    return f"nobody can add a feature, for {trial['problem']}" if trial["problem"] else "PostgreSQL takes a row"


def _open_form(server: Asking, url: str, project: str, layer: EditableLayer, known: str) -> Form:
    address = answers.form_url(url, project, layer.layer_id)
    told = f"The form for a new feature of the layer {layer.name} does not open"
    try:
        end, body = server.follow_to_end(address)
    except MapError as error:
        if error.status != FAILED:
            raise
        raise FormError(f"{told}: {known or error}", remedy="" if known else errors_log.LOOK) from error
    page = read_page(body)
    if page.form is not None:
        return page.form
    said = plain("; ".join(page.messages))
    remedy = next((remedy for words, remedy in REMEDIES.items() if words in said), "" if said else errors_log.LOOK)
    if known and remedy != RIGHTS:
        raise FormError(f"{told}: {known}")
    nothing = f"Lizmap leads to {plain(urlsplit(end).path)}, a page with neither the form nor a message."
    raise FormError(f"{told}: {said or nothing}", remedy=remedy)


def without_field(form: Form, needed: Collection[str]) -> list[str]:
    """Name the columns that nothing in a form fills in."""
    geometry = form.fields.get("liz_geometryColumn", "")
    return [name for name in needed if name != geometry and not form.fields.get(name) and not _is_shown(form, name)]


def _is_shown(form: Form, name: str) -> bool:
    """Tell whether a field is for people; one for several values or for a file has a name that is longer."""
    return any(shown == name or shown.startswith((f"{name}[", f"{name}_")) for shown in form.shown)
