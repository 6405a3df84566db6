"""How much memory a worker of QGIS Server takes for GeoJSON and CSV: build/reports/text-memory.json.

docs/projects.md tells the figure, for which publishing warns of such files of more than 10 MB.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.projects.qgis_project import LARGE_TEXT

from tests.images import projects
from tests.images.map_server import MapServer, map_server
from tests.images.projects import Layer, qgs

REPORT = Path(__file__).resolve().parents[2] / "build" / "reports" / "text-memory.json"
MB = 1_000_000
SIZE = 50 * MB
"""Of each file; so large that what a worker takes anyway is little beside it."""
PSS = """
total=0
for folder in /proc/[0-9]*; do
    [[ $(cat "$folder/comm" 2> /dev/null) == qgis_mapserv* ]] || continue
    total=$((total + $(awk '/^Pss:/ { print $2 }' "$folder/smaps_rollup")))
done
echo $total
"""


def points(folder: Path) -> Layer:
    """Write points as GeoJSON, each with an id and a name."""
    with (folder / "points.geojson").open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[')
        for number in range(SIZE // 125):
            point = f'"geometry":{{"type":"Point","coordinates":[{number % 360 - 180},{number % 170 - 85}]}}}}'
            file.write(
                f'{"," if number else ""}{{"type":"Feature","properties":{{"id":{number},"name":"tree"}},{point}'
            )
        file.write("]}")
    return Layer("./points.geojson", geometry="Point")


def table(folder: Path) -> Layer:
    """Write points as CSV, as QGIS Desktop reads it."""
    with (folder / "points.csv").open("w", encoding="utf-8") as file:
        file.write("id,name,x,y\n")
        for number in range(SIZE // 25):
            file.write(f"{number},tree,{number % 360 - 180},{number % 170 - 85}\n")
    source = "file:./points.csv?type=csv&xField=x&yField=y&crs=EPSG:4326"
    return Layer(source, "delimitedtext", geometry="Point")


@pytest.mark.parametrize("write", [points, table], ids=["GeoJSON", "CSV"])
def test_a_worker_keeps_most_of_a_large_text(
    lizmap_image: str, tmp_path: Path, write: Callable[[Path], Layer], request: pytest.FixtureRequest
) -> None:
    maps = tmp_path / "projects" / "known"
    maps.mkdir(parents=True)
    (maps / "small.qgs").write_text(qgs([projects.geojson(maps)]), "utf-8")
    (maps / "large.qgs").write_text(qgs([write(maps)]), "utf-8")
    size = max(path.stat().st_size for path in maps.iterdir())
    with map_server(lizmap_image, tmp_path, environment={"QGIS_SERVER_WORKERS": "1"}) as server:
        server.wait_until_healthy()
        before = taken_by(server, "known/small")
        after = taken_by(server, "known/large")
    kind = request.node.callspec.id
    row = {"mb": round(size / MB, 1), "worker_mb": round((after - before) * 1024 / MB, 1)}
    found = json.loads(REPORT.read_text("utf-8")) if REPORT.exists() else {}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps({**found, kind: row}, indent=1) + "\n", "utf-8")
    # What the warning says: most of it stays in memory.
    assert row["worker_mb"] > row["mb"] / 2
    assert size > LARGE_TEXT


def taken_by(server: MapServer, project: str) -> int:
    """Draw a project; give the kilobytes that the worker has then."""
    server.picture(project)
    code, said = server.run("bash", "-c", PSS, user="qgis")
    assert code == 0, said
    return int(said)
