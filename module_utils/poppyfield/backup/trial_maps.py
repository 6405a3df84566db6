"""The maps of a backup that is restored for trial: each project is opened and drawn from what was restored.

The map server's image runs in a container that is thrown away, in the network of the trial's database, which leads
nowhere. What the map server in use does not draw either is none of the backup's faults.

A part of the program of the backup that it runs in a process of its own, on Pis where backups are proven: it reads what
is asked as JSON, and writes what is wrong with each project.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, run_with_input
from ansible.module_utils.poppyfield.lizmap.sandbox import QGIS_USER_BEFORE, QGIS_USER_LABEL
from ansible.module_utils.poppyfield.projects import server_checks
from ansible.module_utils.poppyfield.projects.findings import ProjectFinding, as_message
from ansible.module_utils.poppyfield.projects.server_checks import Asks, ProjectServer, QgisServerAnswer

MEMORY = "384m"
MOST_PROJECTS = 30
"""Each is opened and drawn by a QGIS Server of its own, which takes a Pi some ten seconds."""
QUESTION_SECONDS = 300
PROJECTS = "/srv/projects"
HOME = "/tmp/qgis"  # noqa: S108 - inside the container
SERVICE = "poppyfield"
SERVICE_FILE = f"{HOME}/pg_service.conf"
ENVIRONMENT = {
    **dict.fromkeys(("HOME", "TMPDIR", "XDG_RUNTIME_DIR", "QGIS_OPTIONS_PATH", "QGIS_AUTH_DB_DIR_PATH"), HOME),
    **{"PGSERVICEFILE": SERVICE_FILE, "QT_QPA_PLATFORM": "offscreen", "QGIS_SERVER_FORCE_READONLY_LAYERS": "1"},
    "QGIS_SERVER_CACHE_DIRECTORY": f"{HOME}/cache",
}
KEEP = 'umask 077; mkdir "$1"; cat > "$2"'


@dataclass(frozen=True)
class TrialMaps:
    """What the program of the backup asks for."""

    postgis: str
    """The container of the trial's database, whose network is used."""
    map_server: str
    """The one in use."""
    name: str
    """What the container that is thrown away is called."""
    label: str
    """How it is told from those of others."""
    projects: str
    """The folder that holds the repositories of projects, as they were restored."""
    basemaps: str
    """That of the base maps, which are in no backup; empty where there are none."""
    password: str
    """The projects' role's, from the backup."""


# Decisions ----------------------------------------------------------------------------------------------------------


def projects_in(folder: Path) -> list[str]:
    """Give the projects, as `repository/name.qgs`."""
    found = (path for ending in (".qgs", ".qgz") for path in folder.glob(f"*/*{ending}"))
    return sorted(str(path.relative_to(folder)) for path in found if path.is_file() and not path.is_symlink())


def environment_of(container: Mapping[str, Any]) -> dict[str, str]:
    """Give what a container was told by its environment."""
    return dict(entry.split("=", 1) for entry in container["Config"]["Env"])


def service_file(environment: Mapping[str, str], password: str) -> str:
    """Give the service of PostgreSQL by which projects connect, as the map server's container writes it."""
    settings = {
        **{"host": "127.0.0.1", "port": environment["POSTGIS_PORT"], "dbname": environment["POSTGIS_DATABASE"]},
        **{"user": environment["POSTGIS_USER"], "password": password, "connect_timeout": "10"},
    }
    return "\n".join([f"[{SERVICE}]", *(f"{name}={value}" for name, value in settings.items()), ""])


def container_command(asked: TrialMaps, image: str, user: str) -> list[str]:
    """Give what starts the container: as weak as that of the trial's database."""
    basemaps = ("--mount", f"type=bind,source={asked.basemaps},target={PROJECTS}/{Path(asked.basemaps).name},readonly")
    return [
        *("docker", "run", "--detach", "--name", asked.name, "--label", asked.label, "--log-driver", "none"),
        *("--network", f"container:{asked.postgis}", "--user", user, "--read-only", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges", "--memory", MEMORY, "--memory-swap", MEMORY, "--cpu-shares", "256"),
        *("--oom-score-adj", "1000", "--pids-limit", "64"),
        *("--tmpfs", "/tmp:mode=1777,size=64m"),  # noqa: S108
        *(word for name, value in ENVIRONMENT.items() for word in ("--env", f"{name}={value}")),
        *("--mount", f"type=bind,source={asked.projects},target={PROJECTS},readonly"),
        *(basemaps if asked.basemaps else ()),
        *(image, "sleep", "infinity"),
    ]


def fault(project: str, restored: Asks, in_use: Asks) -> str:
    """Say why a project that was restored does not draw, as far as the one in use does; empty where it does.

    Where both lack the same, as the layer of a server that is not reached, both are asked once more to leave it out.
    """
    for one, other in ((restored, in_use), (LeavingOut(restored), LeavingOut(in_use))):
        found = findings(project, one)
        if not found:
            return ""
        # Why a layer fails may be told otherwise where another one fails as well.
        known = {finding.layer for finding in findings(project, other)}
        if new := [finding for finding in found if finding.layer not in known]:
            return as_message(new)
    return ""


def findings(project: str, server: Asks) -> list[ProjectFinding]:
    """Give what is wrong with a project; what is to be done about a backup is said elsewhere."""
    repository = project.partition("/")[0]
    found = server_checks.check_project(server, repository, f"{PROJECTS}/{project}", LayersByIds())
    return [replace(finding, remedy="") for finding in found]


class LayersByIds(dict[str, Mapping[str, Any]]):
    """The layers of any project, of which nothing but the id is known: to read a project takes what a Pi has not."""

    def get(self, key: str, default: Any = None) -> Mapping[str, Any]:
        """Give what is known of a layer."""
        del default
        return {"name": key, "written": (key,), "database": True}


class LeavingOut:
    """A server that leaves out what cannot be opened."""

    def __init__(self, server: Asks) -> None:
        self._server = server

    def ask(self, parameters: Mapping[str, str]) -> QgisServerAnswer:
        """Ask it."""
        return self.ask_alone(parameters)

    def ask_alone(self, parameters: Mapping[str, str], *, leave_out: bool = True) -> QgisServerAnswer:
        """Ask it, whatever is said."""
        return self._server.ask_alone(parameters, leave_out=True)


# Effects ------------------------------------------------------------------------------------------------------------


class RestoredServer:
    """QGIS Server in the container that is thrown away, started for each question."""

    def __init__(self, engine: Engine, container: str, user: str) -> None:
        self._engine, self._container, self._user = engine, container, user

    def ask(self, parameters: Mapping[str, str]) -> QgisServerAnswer:
        """Ask it."""
        return self.ask_alone(parameters)

    def ask_alone(self, parameters: Mapping[str, str], *, leave_out: bool = False) -> QgisServerAnswer:
        """Ask it; it may leave out bad layers."""
        words = (server_checks.ONE_QUESTION, "bash", urlencode(parameters), str(int(leave_out)))
        command = ["timeout", str(QUESTION_SECONDS), "bash", "-c", *words]
        result = self._engine.execute(self._container, self._user, command, ())
        return server_checks.parse_answer(result.output, result.errors)


@contextmanager
def restored_server(engine: Engine, asked: TrialMaps) -> Iterator[RestoredServer]:
    """Give QGIS Server as it is in use, with what was restored. Raises EngineError."""
    container = engine.container(asked.map_server) or {}
    user = (container["Config"]["Labels"] or {}).get(QGIS_USER_LABEL, QGIS_USER_BEFORE)
    started = run_with_input(container_command(asked, container["Image"], user))
    if started.code:
        raise EngineError(started.errors.strip() or f"docker run: {started.code}")
    try:
        # Through its standard input into its memory: nowhere else.
        service = service_file(environment_of(container), asked.password)
        kept = engine.execute(asked.name, user, ["sh", "-ec", KEEP, "sh", HOME, SERVICE_FILE], [service.encode()])
        if kept.code:
            raise EngineError(kept.errors.strip())
        yield RestoredServer(engine, asked.name, user)
    finally:
        run_with_input(["docker", "rm", "--force", "--volumes", asked.name])


def tried(projects: Iterable[str], restored: Asks, in_use: Asks) -> dict[str, str]:
    """Give by project why it does not draw, empty where it does."""
    return {project: fault(project, restored, in_use) for project in projects}


def main(words: Sequence[str] = ()) -> int:
    """Read what is asked, draw the projects, and write what is wrong with each."""
    del words
    asked = TrialMaps(**json.load(sys.stdin))
    projects = projects_in(Path(asked.projects))[:MOST_PROJECTS]
    try:
        engine = Engine.connect()
        in_use = ProjectServer(engine, asked.map_server, QUESTION_SECONDS)
        with restored_server(engine, asked) as restored:
            print(json.dumps(tried(projects, restored, in_use)))
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
