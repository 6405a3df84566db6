"""`python -m workshop.bench.text_memory POSTGIS_IMAGE LIZMAP_IMAGE`: what files of text take of QGIS Server.

Points, as one file of text each, are drawn by one worker that has drawn a small map before. How much more memory it has
then, and how much it had at most while it drew, is what a project's large files cost for each worker. Prints a table in
Markdown and writes every figure to build/bench/text-memory.json.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import docker
import requests

from workshop.bench.contenders import Json
from workshop.bench.host import facts
from workshop.bench.playbook import ROOT, BenchError
from workshop.bench.report import write
from workshop.bench.stack import DATABASE, START_SECONDS, running

REPORT = ROOT / "build" / "bench" / "text-memory.json"
MB = 1024 * 1024
RAM_MB = 4000
SIZES_MB = (10, 50)
WORKER = "qgis_mapserv"
SMALL = "small"
FIGURES = ("file", "file_mb", "kept_mb", "at_most_mb", "first_picture_seconds")


class Format(NamedTuple):
    """How points are written, as people's files have them: a number, a name and a place."""

    point: str
    head: str
    tail: str = ""
    between: str = ""
    provider: str = "ogr"
    source: str = ""


FORMATS = {
    "GeoJSON": Format(
        '{{"type":"Feature","properties":{{"id":{number},"name":"tree {number}"}},'
        '"geometry":{{"type":"Point","coordinates":[{x:.6f},{y:.6f}]}}}}',
        '{"type":"FeatureCollection","features":[\n',
        "]}\n",
        ",\n",
        source="./{}.geojson",
    ),
    "CSV": Format(
        "{number},tree {number},{x:.6f},{y:.6f}\n",
        "id,name,x,y\n",
        provider="delimitedtext",
        source="file:./{}.csv?type=csv&xField=x&yField=y&crs=EPSG:4326",
    ),
    "KML": Format(
        "<Placemark><name>tree {number}</name><Point><coordinates>{x:.6f},{y:.6f}</coordinates></Point></Placemark>\n",
        '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>\n',
        "</Document></kml>\n",
        source="./{}.kml",
    ),
    "GPX": Format(
        '<wpt lat="{y:.6f}" lon="{x:.6f}"><name>tree {number}</name></wpt>\n',
        '<?xml version="1.0"?>\n<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1">\n',
        "</gpx>\n",
        source="./{}.gpx|layername=waypoints",
    ),
    "GML": Format(
        '<gml:featureMember><tree><id>{number}</id><name>tree {number}</name><place><gml:Point srsName="EPSG:4326">'
        "<gml:coordinates>{x:.6f},{y:.6f}</gml:coordinates></gml:Point></place></tree></gml:featureMember>\n",
        '<?xml version="1.0" encoding="UTF-8"?>\n<gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml">\n',
        "</gml:FeatureCollection>\n",
        source="./{}.gml",
    ),
}


def main() -> int:
    """Run the benchmark; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="workshop.bench.text_memory", description=__doc__)
    for name in ("postgis_image", "lizmap_image"):
        parser.add_argument(name)
    given = parser.parse_args()
    try:
        rows = run(given.postgis_image, given.lizmap_image)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    now = datetime.now(UTC).isoformat(timespec="seconds")
    report = {"date": now, "machine": facts(docker.from_env()), "image": given.lizmap_image, "files": rows}
    write(REPORT, report, table(rows))
    return 0


def run(postgis_image: str, lizmap_image: str) -> list[Json]:
    """Give a row for each file."""
    environment = {"POSTGIS_HOST": DATABASE, "QGIS_SERVER_WORKERS": "1"}
    with tempfile.TemporaryDirectory(prefix="pf-bench-") as folder:
        files = write_projects(Path(folder))
        stack = running(postgis_image, lizmap_image, RAM_MB * MB, Path(folder), environment=environment)
        with stack as (_, server, url):
            return [measure(server, f"{url}/ows/text", name, size) for name, size in files.items()]


def write_projects(folder: Path) -> dict[str, int]:
    """Write a project for each file, and a small one; give the sizes of the files by the names of the projects."""
    folder.chmod(0o755)
    repository = folder / "text"
    repository.mkdir()
    (repository / f"{SMALL}.qgs").write_text(project(write_points(repository, SMALL, "GeoJSON", 1000)), "utf-8")
    found = {}
    for kind in FORMATS:
        for size in SIZES_MB:
            name = f"{kind}-{size}"
            source = write_points(repository, name, kind, size * MB)
            (repository / f"{name}.qgs").write_text(project(source), "utf-8")
            found[name] = (repository / f"{name}.{kind.lower()}").stat().st_size
    return found


def write_points(folder: Path, name: str, kind: str, size: int) -> tuple[str, str]:
    """Write points until the file has this size; give the layer's provider and source."""
    how = FORMATS[kind]
    with (folder / f"{name}.{kind.lower()}").open("w", encoding="utf-8") as file:
        file.write(how.head)
        number = 0
        while file.tell() < size:
            x, y = number % 36000 / 100 - 180, number % 17000 / 100 - 85
            file.write(how.between if number else "")
            file.write(how.point.format(number=number, x=x, y=y))
            number += 1
        file.write(how.tail)
    return how.provider, how.source.format(name)


def project(layer: tuple[str, str]) -> str:
    """Give a project with one layer of points."""
    provider, source = layer
    crs = "<spatialrefsys><srsid>4326</srsid><srid>4326</srid><authid>EPSG:4326</authid></spatialrefsys>"
    return f"""<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis projectname="text" version="3.40.6-Bratislava">
  <title>text</title>
  <projectCrs>{crs}</projectCrs>
  <layer-tree-group><layer-tree-layer id="layer_id_points" name="points" checked="Qt::Checked"/></layer-tree-group>
  <projectlayers>
    <maplayer type="vector" geometry="Point">
      <id>layer_id_points</id>
      <datasource>{source.replace("&", "&amp;")}</datasource>
      <shortname>points</shortname>
      <layername>points</layername>
      <srs>{crs}</srs>
      <provider encoding="UTF-8">{provider}</provider>
    </maplayer>
  </projectlayers>
  <properties><WMSServiceCapabilities type="bool">true</WMSServiceCapabilities></properties>
</qgis>
"""


def measure(server: Any, url: str, name: str, size: int) -> Json:
    """Let a fresh worker draw a small map, then the file's; give what the latter took."""
    os.kill(worker(server), signal.SIGKILL)
    deadline = time.monotonic() + START_SECONDS
    while not draws(f"{url}/{SMALL}/"):
        if time.monotonic() > deadline:
            raise BenchError(f"No worker draws again within {START_SECONDS} s.")
        time.sleep(0.5)
    process = worker(server)
    before = resident(process)
    began = time.monotonic()
    if not draws(f"{url}/{name}/"):
        raise BenchError(f"The map {name} is not drawn.")
    seconds = time.monotonic() - began
    if worker(server) != process:
        raise BenchError(f"The worker did not outlive the map {name}.")
    after = resident(process)
    return {
        "file": name,
        "file_mb": round(size / MB, 1),
        "kept_mb": round(after["VmRSS"] - before["VmRSS"], 1),
        "at_most_mb": round(after["VmHWM"] - before["VmRSS"], 1),
        "first_picture_seconds": round(seconds, 1),
    }


def draws(url: str) -> bool:
    """Ask for a picture of the world."""
    asked = {
        **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": "points", "STYLES": ""},
        **{"CRS": "CRS:84", "BBOX": "-180,-90,180,90", "WIDTH": "200", "HEIGHT": "100", "FORMAT": "image/png"},
    }
    return requests.get(url, params=asked, timeout=300).headers.get("Content-Type", "").startswith("image/")


def worker(server: Any) -> int:
    """Give the number of the worker's process on this machine."""
    listed = server.top(ps_args="-eo pid,comm")["Processes"]
    found = [int(pid) for pid, name in listed if name.startswith(WORKER)]
    if len(found) != 1:
        raise BenchError(f"There are {len(found)} workers of QGIS Server, not one.")
    return found[0]


def resident(process: int) -> dict[str, float]:
    """Give what a process has in memory, and had at most, in MB."""
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    return {name: int(kb) / 1024 for name, kb in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE)}


def table(rows: list[Json]) -> str:
    """Give the figures as a table in Markdown, and what a MB of text takes at most."""
    listed = [f"| {' | '.join(str(row[figure]) for figure in FIGURES)} |" for row in rows]
    most: dict[str, float] = {}
    for row in rows:
        kind = row["file"].partition("-")[0]
        most[kind] = max(most.get(kind, 0), row["at_most_mb"] / row["file_mb"])
    head = ["| file | MB | kept, MB | at most, MB | seconds |", "|---|---|---|---|---|"]
    told = ", ".join(f"{times:.1f} for {kind}" for kind, times in most.items())
    return "\n".join([*head, *listed, "", f"For each MB of text a worker takes up to so many MB: {told}."])


if __name__ == "__main__":
    sys.exit(main())
