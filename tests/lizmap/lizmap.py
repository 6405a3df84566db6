"""Lizmap Web Client in a container that runs as the product runs it, and is asked as browsers ask."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import requests
from PIL import Image

from tests.images import projects
from tests.images.map_server import MapServer, map_server

ADMIN_PASSWORD = "correct horse battery staple"
ACCOUNTS_PASSWORD = "no secret either"
CONSOLE = "/usr/share/lizmap/lizmap/console.php"
SETTINGS = "/usr/share/lizmap/lizmap/var/config"
STATE = "/srv/lizmap"
HERE = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"
"""Docker's own networks, from where this machine seems to come."""
Settings = dict[str, dict[str, dict[str, str]]]


class Lizmap(MapServer):
    """A running container with Lizmap Web Client."""

    def page(self, project: str = "fields/meadow", **options: Any) -> requests.Response:
        """Ask for a map's page; a refusal is a redirection, which is not followed."""
        repository, name = project.split("/")
        return self.get(f"/index.php/view/map?repository={repository}&project={name}", allow_redirects=False, **options)

    def service(self, project: str = "fields/meadow", path: str = "", **parameters: str) -> requests.Response:
        """Ask a project's service through Lizmap."""
        repository, name = project.split("/")
        chosen = {"repository": repository, "project": name, **parameters}
        return self.get(f"/index.php/lizmap/service{path}", params=chosen)

    def map(self, project: str = "fields/meadow", layers: str = "meadow") -> requests.Response:
        """Ask for a map of the ground, 200 by 100 pixels."""
        box = f"{projects.SOUTH},{projects.WEST},{projects.NORTH},{projects.EAST}"
        return self.service(
            project,
            **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": layers, "STYLES": ""},
            **{"CRS": "EPSG:4326", "BBOX": box, "WIDTH": "200", "HEIGHT": "100", "FORMAT": "image/png"},
        )

    def metadata(self, login: str = "", password: str = "") -> dict[str, Any]:
        """Ask what Lizmap tells of itself, perhaps as somebody who logs in."""
        answer = self.get("/index.php/view/app/metadata", auth=(login, password) if login else None)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def knows(self, login: str, password: str) -> bool:
        """Tell whether this is an administrator: only they are told of QGIS Server."""
        return "metadata" in self.metadata(login, password)["qgis_server_info"]

    def console(self, *words: str) -> str:
        """Run one of Lizmap's own commands; it must succeed."""
        code, output = self.run("php", "-d", "error_reporting=6143", CONSOLE, *words)
        assert code == 0, output
        return output

    def publish(self, repository: str, *groups: str) -> None:
        """Publish a folder of projects to these groups, and let them have its features."""
        self.console("repository:create", repository, repository.title(), f"/srv/projects/{repository}/")
        for group in groups:
            for right in ("lizmap.repositories.view", "lizmap.tools.layer.export"):
                self.console("acl2:add", group, right, repository)

    def setting(self, file: str, section: str, name: str) -> str | None:
        """Read a setting as PHP does; the section "global" is what stands above all sections."""
        code = (
            '$all = parse_ini_file($argv[1], true); $in = $argv[2] === "global" ? $all : ($all[$argv[2]] ?? []);'
            "echo json_encode($in[$argv[3]] ?? null);"
        )
        exit_code, output = self.run("php", "-r", code, f"{SETTINGS}/{file}.ini.php", section, name)
        assert exit_code == 0, output
        value: str | None = json.loads(output)
        return value


def image_of(answer: requests.Response) -> Image.Image:
    """Read the picture in an answer."""
    assert answer.headers["Content-Type"].startswith("image/"), answer.text[:1000]
    return Image.open(io.BytesIO(answer.content)).convert("RGB")


EMPTY_SECTIONS = (
    *("warnings", "attributeLayers", "editionLayers", "locateByLayer", "tooltipLayers", "loginFilteredLayers"),
    *("timemanagerLayers", "datavizLayers", "formFilterLayers"),
)
GROUND = (projects.WEST, projects.SOUTH, projects.EAST, projects.NORTH)


def configuration(
    layers: Iterable[projects.Layer],
    *,
    box: tuple[float, float, float, float] = GROUND,
    crs: int = 4326,
    scales: tuple[int, ...] = (10_000, 100_000, 1_000_000, 10_000_000),
    **sections: dict[str, Any],
) -> str:
    """Give what Lizmap's plugin for QGIS Desktop writes beside a project, for Lizmap Web Client 3.9.

    The box is west, south, east, north in the reference system, of which EPSG's number is given. Sections that are
    given take the place of empty ones.
    """
    options = {
        "projection": {"proj4": projects.PROJ4[crs], "ref": f"EPSG:{crs}"},
        "bbox": [str(value) for value in box],
        "initialExtent": box,
        "mapScales": scales,
        "minScale": scales[0],
        "maxScale": scales[-1],
        "popupLocation": "dock",
        "pointTolerance": 25,
        "lineTolerance": 10,
        "polygonTolerance": 5,
        "use_native_zoom_levels": False,
        "hide_numeric_scale_value": False,
        "automatic_permalink": False,
        "tmTimeFrameSize": 10,
        "tmTimeFrameType": "seconds",
        "tmAnimationFrameLength": 1000,
        "datavizLocation": "dock",
        "theme": "light",
        "fixed_scale_overview_map": True,
        "dataviz_drag_drop": [],
    }
    return json.dumps(
        {
            "metadata": {
                "qgis_desktop_version": 34006,
                "lizmap_plugin_version_str": "4.5.9",
                "lizmap_plugin_version": 40509,
                "lizmap_web_client_target_version": 30900,
                "lizmap_web_client_target_status": "Stable",
            },
            "options": options,
            "layers": {
                layer.name: of_layer(layer.id, layer.name, layer.geometry, box, f"EPSG:{crs}") for layer in layers
            },
            "atlas": {"layers": []},
            "layouts": {"config": {"default_popup_print": False}, "list": []},
            "filter_by_polygon": {
                "config": {"polygon_layer_id": None, "group_field": "", "filter_by_user": False},
                "layers": [],
            },
            **{name: {} for name in EMPTY_SECTIONS},
            **sections,
        },
        indent=1,
    )


def configuration_of(project: str) -> str:
    """Give what the plugin writes beside a project of any origin: it asks QGIS, which reads what is in the XML."""
    root = ElementTree.fromstring(project)
    own = root.find("projectCrs/spatialrefsys")
    assert own is not None, project
    written = json.loads(configuration([]))
    written["options"]["projection"] = {"proj4": own.findtext("proj4"), "ref": own.findtext("authid")}
    for layer in root.iterfind("projectlayers/maplayer"):
        name = layer.findtext("layername", "")
        geometry = layer.get("geometry", "") if layer.get("type") == "vector" else ""
        crs = layer.findtext("srs/spatialrefsys/authid", "")
        written["layers"][name] = of_layer(layer.findtext("id", ""), name, geometry, GROUND, crs)
    return json.dumps(written, indent=1)


def of_layer(key: str, name: str, geometry: str, box: tuple[float, float, float, float], crs: str) -> dict[str, Any]:
    """Give how a layer is shown. Only a vector layer has a kind of geometry."""
    kind = {"geometryType": "none" if geometry == "No geometry" else geometry.lower()} if geometry else {}
    return {
        "id": key,
        "name": name,
        "type": "layer",
        **kind,
        "extent": box,
        "crs": crs,
        "title": name,
        "abstract": "",
        "link": "",
        "minScale": 1,
        "maxScale": 1_000_000_000_000,
        "toggled": "True",
        "popup": "True",
        "popupSource": "auto",
        "popupTemplate": "",
        "popupMaxFeatures": 10,
        "popupDisplayChildren": "False",
        "legend_image_option": "hide_at_startup",
        "groupAsLayer": "False",
        "baseLayer": "False",
        "displayInLegend": "True",
        "group_visibility": [],
        "singleTile": "True",
        "imageFormat": "image/png",
        "cached": "False",
        "clientCacheExpiration": 300,
    }


def edited(layer: projects.Layer, order: int = 0) -> dict[str, Any]:
    """Give what makes a layer of PostGIS one in which people may make, change and remove features."""
    everything = ("createFeature", "modifyAttribute", "modifyGeometry", "deleteFeature")
    return {
        "layerId": layer.id,
        "provider": "postgres",
        "geometryType": layer.geometry.lower(),
        "snap_vertices": "False",
        "snap_segments": "False",
        "snap_intersections": "False",
        "capabilities": {**dict.fromkeys(everything, "True"), "allow_without_geom": "False"},
        "acl": "",
        "order": order,
    }


def write_projects(folder: Path) -> None:
    """Write the meadow as GeoJSON and from PostGIS in the repository fields, and once more in private."""
    for repository, name, write in (
        ("fields", "meadow", projects.geojson),
        ("fields", "postgis", projects.postgis),
        ("private", "meadow", projects.geojson),
    ):
        place = folder / repository
        place.mkdir(parents=True, exist_ok=True)
        layers = [write(place)]
        (place / f"{name}.qgs").write_text(projects.qgs(layers), "utf-8")
        (place / f"{name}.qgs.cfg").write_text(configuration(layers), "utf-8")


def prepare(folder: Path, settings: Settings | None = None) -> dict[str, str]:
    """Make the folders projects and state unless they are there, and the secrets; give the files of these."""
    if not (folder / "projects").exists():
        folder.chmod(0o755)
        write_projects(folder / "projects")
    secrets = {
        "lizmap_admin_password": ADMIN_PASSWORD,
        "lizmap_accounts_password": ACCOUNTS_PASSWORD,
        "lizmap_settings": json.dumps(settings or {}),
        "postgis_password": "not a secret",
    }
    (folder / "secrets").mkdir(exist_ok=True)
    (folder / "state").mkdir(exist_ok=True)
    os.chown(folder / "state", 33, 33)
    (folder / "state").chmod(0o700)
    for name, content in secrets.items():
        (folder / "secrets" / name).write_text(content, "utf-8")
        os.chown(folder / "secrets" / name, 33, 33)
        (folder / "secrets" / name).chmod(0o600)
    return {name: f"{folder}/secrets/{name}" for name in secrets}


@contextmanager
def lizmap(
    image: str,
    folder: Path,
    network: str = "",
    settings: Settings | None = None,
    mounts: dict[str, str] | None = None,
    **options: Any,
) -> Iterator[Lizmap]:
    """Run Lizmap on what is in the folder: projects, and the state that an earlier container left there."""
    secrets = prepare(folder, settings)
    volumes = [
        f"{folder}/projects:/srv/projects:ro",
        f"{folder}/state:{STATE}",
        *(f"{path}:/run/secrets/{name}:ro" for name, path in secrets.items()),
        *(f"{source}:{target}:ro" for source, target in (mounts or {}).items()),
    ]
    environment = {"QGIS_SERVER_WORKERS": "1", **options.pop("environment", {})}
    with map_server(image, folder, network, volumes=volumes, environment=environment, **options) as server:
        yield Lizmap(server.container)


def other_version(image_folder: Path, version: str, text: str) -> dict[str, str]:
    """Give a mount that makes an image believe that its Lizmap is of another version; `text` is its project.xml."""
    project = image_folder / f"project-{version}.xml"
    project.write_text(re.sub(r"(<version[^>]*>)[^<]*", rf"\g<1>{version}", text), "utf-8")
    project.chmod(0o644)
    return {str(project): "/usr/share/lizmap/lizmap/project.xml"}
