"""Lizmap Web Client's addresses, and what its answers say: refusals, a project's configuration, forms. Pure.

The addresses are those of its file app/system/urls.xml, where each module has its own, and of its controllers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from ansible.module_utils.poppyfield.containers.services import LIZMAP
from ansible.module_utils.poppyfield.host import foreign_xml
from ansible.module_utils.poppyfield.lizmap.web_page import Page
from ansible.module_utils.poppyfield.projects.map_checks import MapError, excerpt, read_json
from ansible.module_utils.poppyfield.projects.words import plain

LOGS = f"`docker logs {LIZMAP.container}` on the Pi tells more."
TO_LOG_IN = "to the page to log in"
SENT_AWAY = 303
# Which remedy goes with what Lizmap says to a person, in English, when it sends them from the map to another page.
PAGE_REMEDIES = (
    (
        "cannot be displayed",
        "QGIS Server does not answer Lizmap, or its plugin lizmap_server is missing, or one of both is older than this "
        f"Lizmap wants. {LOGS}",
    ),
    ("cannot access this repository", "Give the right lizmap.repositories.view on the repository to who asks."),
    (
        "does not exist",
        "Check that Lizmap has the repository, and that its folder holds the project's .qgs and .qgs.cfg, which the "
        "Lizmap plugin of QGIS Desktop writes.",
    ),
    ("needs an update", "Open the project in QGIS Desktop, and write its .cfg again with a current Lizmap plugin."),
    (
        "Access denied for this project",
        "The project is hidden: unset “hide project” in the Lizmap plugin of QGIS Desktop, and write its .cfg again.",
    ),
)
SERVICE_REMEDIES = {
    "AuthorizationRequired": "Give the right lizmap.repositories.view on the repository to who asks.",
    "Forbidden": "Give the right lizmap.tools.layer.export on the repository to who asks.",
    "ProjectNotDefined": PAGE_REMEDIES[2][1],
    "RepositoryNotDefined": PAGE_REMEDIES[2][1],
}


@dataclass(frozen=True)
class EditableLayer:
    """A layer that the one who asks may add features to."""

    name: str
    layer_id: str


@dataclass(frozen=True)
class ProjectConfig:
    """What Lizmap tells a browser about a project."""

    # By the name in WMS.
    vector_layers: tuple[str, ...]
    editable: tuple[EditableLayer, ...]
    listed: frozenset[str] = frozenset()
    """All that it knows, by name and by the name in WMS: those of the project's .cfg that the one who asks may see."""
    layouts: tuple[tuple[str, str], ...] = ()
    """Layouts that people may print, each with the name of its map."""


def split_project(project: str) -> tuple[str, str]:
    """Give the repository and the name of a project named `repository/project`."""
    repository, slash, name = project.partition("/")
    if not slash or not repository or not name or "/" in name:
        raise MapError(f"The project {project!r} must be given as repository/project.")
    return repository, name


def of_project(project: str) -> dict[str, str]:
    """Give the part of a question that names the project."""
    repository, name = split_project(project)
    return {"repository": repository, "project": name}


def home_url(url: str) -> str:
    """Give the address of the list of projects."""
    return f"{url}/index.php/view/"


def login_url(url: str) -> str:
    """Give the address of the page to log in."""
    return f"{url}/admin.php/auth/login"


def page_url(url: str, project: str) -> str:
    """Give the address of the page of a map."""
    return f"{url}/index.php/view/map?{urlencode(of_project(project))}"


def config_url(url: str, project: str) -> str:
    """Give the address of a project's configuration."""
    return f"{url}/index.php/lizmap/service/getProjectConfig?{urlencode(of_project(project))}"


def service_url(url: str, project: str) -> str:
    """Give the address of a project's WMS and WFS."""
    return f"{url}/index.php/lizmap/service?{urlencode(of_project(project))}"


def form_url(url: str, project: str, layer_id: str) -> str:
    """Give the address of the form for a new feature."""
    return f"{url}/index.php/lizmap/edition/createFeature?{urlencode({**of_project(project), 'layerId': layer_id})}"


def projects_of(page: Page) -> list[dict[str, str]]:
    """Give the projects that the list of projects links to."""
    found = {}
    for link in page.links:
        try:
            split = urlsplit(link)
        except ValueError:  # not an address, so none of a project
            continue
        query = parse_qs(split.query)
        if split.path.endswith("/view/map") and {"repository", "project"} <= query.keys():
            name = query["project"][0]
            found[f"{query['repository'][0]}/{name}"] = name
    return [{"id": key, "title": title} for key, title in sorted(found.items())]


def explain_page(location: str, messages: Sequence[str]) -> MapError:
    """Tell why the page of a map sent the browser elsewhere."""
    said = plain(" ".join(messages))
    where = TO_LOG_IN if "/auth/login" in location else "to the list of projects"
    remedy = next((remedy for words, remedy in PAGE_REMEDIES if words in said), "")
    if not remedy and "/auth/login" in location:
        remedy = PAGE_REMEDIES[1][1]
    return MapError(
        f"Lizmap does not show the map, but sends the browser {where}{f', saying: {said}' if said else '.'}",
        remedy=remedy or f"QGIS Server, the plugin lizmap_server or the right to see the repository is missing. {LOGS}",
        # It says “does not exist” of a project that it fails to read, too, and then its log has why.
        status=0 if where == TO_LOG_IN else SENT_AWAY,
    )


def explain_refusal(status: int, body: bytes) -> MapError | None:
    """Tell what Lizmap says in an exception of its service; None if it is none."""
    try:
        root = foreign_xml.parse(body.strip())
    except foreign_xml.XmlError:
        return None
    exceptions = [node for node in root.iter() if node.tag.rpartition("}")[2] == "ServiceException"]
    if not exceptions:
        return None
    code = exceptions[0].get("code", "")
    said = " ".join(" ".join(node.itertext()) for node in exceptions)
    return MapError(
        f"Lizmap refused with HTTP {status}: {plain(said) or code}",
        remedy=SERVICE_REMEDIES.get(code, ""),
        status=status,
    )


def read_config(body: bytes) -> ProjectConfig:
    """Read the configuration of a project."""
    problem = "The project's configuration is not JSON with layers"
    document = read_json(body, problem)
    try:
        layers = document["layers"]
        # An empty PHP array is written as [].
        by_id = str((document.get("options") or {}).get("useLayerIDs", "")) == "True"
        vector = [_wms_name(name, layer, by_id) for name, layer in layers.items() if _has_geometry(layer)]
        listed = frozenset(layers) | {_wms_name(name, layer, by_id) for name, layer in layers.items()}
        editable = tuple(_editable(document.get("editionLayers") or {}, layers))
        return ProjectConfig(tuple(vector), editable, listed, _layouts(document.get("printTemplates") or []))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise MapError(f"{problem}: {excerpt(body)}") from error


def _layouts(templates: Any) -> tuple[tuple[str, str], ...]:
    """Give the layouts with a map; an atlas has pages for features only. Of others than Lizmap writes there is none."""
    found = []
    try:
        # PHP writes an array with gaps as an object.
        for template in templates.values() if isinstance(templates, dict) else templates:
            maps = template.get("maps") or []
            if maps and str((template.get("atlas") or {}).get("enabled", "0")) != "1":
                found.append((str(template["title"]), str(maps[0]["id"])))
    except (KeyError, TypeError, AttributeError, IndexError):
        return ()
    return tuple(found)


def _wms_name(name: str, layer: dict[str, Any], by_id: bool) -> str:
    return str(layer.get("id") if by_id else layer.get("shortname") or name)


def _has_geometry(layer: dict[str, Any]) -> bool:
    return str(layer.get("geometryType", "none")) not in {"none", "-1", "unknown"}


def _editable(edition: dict[str, Any], layers: dict[str, dict[str, Any]]) -> list[EditableLayer]:
    found = []
    for name, entry in edition.items():
        capabilities, layer = entry.get("capabilities") or {}, layers.get(name)
        if layer is None or str(capabilities.get("createFeature")) != "True":
            continue
        found.append(EditableLayer(name, str(entry.get("layerId") or layer.get("id"))))
    return found
