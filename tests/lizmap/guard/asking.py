"""Asks QGIS Server in a container as Lizmap asks it, and sees what an attack has done there."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from PIL import Image

from tests.images import projects
from tests.images.map_server import wait_until
from tests.lizmap.guard.attacks import ATLAS, FOLDER
from tests.lizmap.lizmap import Lizmap, write_projects

HERE = Path(__file__).resolve().parent
INSIDE = "/inside.py"
PLUGINS = "/usr/share/poppyfield/qgis-plugins"
MOUNTED = {str(HERE / "inside.py"): INSIDE}
UNGUARDED = {**MOUNTED, str(HERE / "nothing"): f"{PLUGINS}/poppyfield_guard"}
"""With what is mounted so, the image is as it was before the guard."""

OWN_FILTER = "\"hectares\" > 3 AND env('NOTHING') IS NULL"
VALUE_RELATION = f"""
    <fieldConfiguration><field name="name"><editWidget type="ValueRelation"><config><Option type="Map">
      <Option type="QString" name="FilterExpression" value={quoteattr(OWN_FILTER)}/>
    </Option></config></editWidget></field></fieldConfiguration>"""
"""A field whose form offers the values of features that an expression of the project chooses."""


@dataclass(frozen=True)
class Answer:
    """What QGIS Server answered."""

    status: int
    content: bytes

    @property
    def refused(self) -> bool:
        """Whether the guard said it."""
        return self.status == 403 and b'code="poppyfield_guard"' in self.content

    @property
    def picture(self) -> Image.Image:
        """The picture in it."""
        return Image.open(io.BytesIO(self.content)).convert("RGB")


def publish(folder: Path) -> None:
    """Write the projects; that of the attacks can be printed."""
    folder.chmod(0o755)
    write_projects(folder / "projects")
    place = folder / "projects" / "fields"
    layer = projects.geojson(place)
    printed = projects.qgs([layer], layouts=projects.layout("print") + projects.layout(ATLAS, layer))
    printed = printed.replace("</maplayer>", f"{VALUE_RELATION}</maplayer>")
    (place / "printed.qgs").write_text(printed, "utf-8")


def inside(server: Lizmap, *words: str) -> Any:
    """Run inside.py in the container; give what it found."""
    # QGIS writes to stderr as well.
    command = ["python3", INSIDE, *words]
    code, (found, said) = server.container.exec_run(command, demux=True, environment={"QT_QPA_PLATFORM": "offscreen"})
    assert code == 0, (said or b"").decode(errors="replace")
    return json.loads(found)


def ask(server: Lizmap, requests: Iterable[dict[str, str]]) -> list[Answer]:
    """Ask QGIS Server one request after the other."""
    answers = inside(server, "ask", json.dumps(list(requests)))
    return [Answer(status, base64.b64decode(content)) for status, content in answers]


def get(server: Lizmap, address: str) -> Answer:
    """Ask QGIS Server once."""
    (answer,) = ask(server, [{"address": address, "body": "", "type": ""}])
    return answer


def lay_out(server: Lizmap) -> None:
    """Make the table and the listener that show what an attack does."""
    server.container.exec_run(["python3", INSIDE, "prepare", FOLDER], detach=True)
    wait_until(lambda: server.run("test", "-e", f"{FOLDER}/asked")[0] == 0, "the listener is there", server.log)


def done(server: Lizmap) -> set[str]:
    """Give the keys that were written or asked for."""
    read = f"sqlite3.connect('{FOLDER}/accounts.db').execute('SELECT k FROM t')"
    failed, written = server.run("python3", "-c", f"import sqlite3; print(*(row[0] for row in {read}))")
    assert failed == 0, written
    _, asked = server.run("cat", f"{FOLDER}/asked")
    paths = (line.strip("/") for line in asked.splitlines())
    return set(written.split()) | {path.replace("?", "/").replace(".", "/").split("/")[0] for path in paths}
