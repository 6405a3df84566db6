"""Whether QGIS Server opens and draws projects, asked inside the map server's container, and if not, why not.

The running server is asked first, which is quick. When it refuses, a QGIS Server of its own, which tells everything
that it notices, is started for one question: then the verdict does not hang on the state of a worker (each fails once
after a restart of the database), and the reasons stand apart from those of visitors' maps. That one is strict, while
the running server leaves bad layers out once a published project has some (images/lizmap/services/left-out).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode
from xml.etree import ElementTree

from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, Result, last_lines
from ansible.module_utils.poppyfield.lizmap.sandbox import QGIS_USER_BEFORE, QGIS_USER_LABEL
from ansible.module_utils.poppyfield.projects.findings import GIVE_SHORT_NAME, WITH_COMMA, ProjectFinding
from ansible.module_utils.poppyfield.projects.map_checks import SIDES, WMS
from ansible.module_utils.poppyfield.projects.names import can_be_asked
from ansible.module_utils.poppyfield.projects.words import plain

WEB_CLIENT_LABEL = "fr.poppyfield.web-client"
OK = 200
# Without another program: started for each of dozens of processes, it would take a busy Pi seconds.
IS_CALLED = r"""
is_called() {
    local name
    { read -r name < "$1/comm"; } 2> /dev/null && [[ $name == $2 ]]
}
"""
# Workers that leave out bad layers answer for a project that has some; then only a strict one may be asked.
ASK = (
    IS_CALLED
    + r"""
for folder in /proc/[0-9]*; do
    is_called "$folder" 'qgis_mapserv*' || continue
    ! grep -qz '^QGIS_SERVER_IGNORE_BAD_LAYERS=1' "$folder/environ" 2> /dev/null || exit 1
done
exec {server}<> /dev/tcp/127.0.0.1/8081
printf 'GET /?%s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&"$server"
cat <&"$server"
"""
)
# Gives WORKER, the folder in /proc of one of the running servers, whose environment holds the service's settings.
FIND_WORKER = (
    IS_CALLED
    + r"""
for WORKER in /proc/[0-9]*; do
    is_called "$WORKER" 'qgis_mapserv*' && break
    WORKER=
done
[[ -n $WORKER ]] || { echo 'No QGIS Server runs in the container.' >&2; exit 1; }
"""
)
# A server for one question, which tells everything that it notices.
ONE_QUESTION = r"""
cd /srv/projects
export QGIS_SERVER_LOG_STDERR=1 QGIS_SERVER_LOG_LEVEL=0 REQUEST_METHOD=GET QUERY_STRING=$1
export QGIS_SERVER_IGNORE_BAD_LAYERS=$2
exec /usr/lib/cgi-bin/qgis_mapserv.fcgi
"""
SINGLE_QUESTION = (
    FIND_WORKER
    + r"""
while IFS= read -r -d '' setting; do
    export "${setting?}"
done < "$WORKER/environ"
"""
    + ONE_QUESTION
)
# Gives WORKERS, the processes that answer.
FIND_WORKERS = (
    IS_CALLED
    + r"""
WORKERS=()
for folder in /proc/[0-9]*; do
    is_called "$folder" 'qgis_mapserv*' && WORKERS+=("${folder#/proc/}")
done
"""
)
# multiwatch takes a worker that ends within ten seconds for one that failed, and gives up after ten of these in a row.
WAIT_UNTIL_OLD = (
    FIND_WORKERS
    + r"""
for worker in "${WORKERS[@]}"; do
    read -r uptime _ < /proc/uptime
    read -ra state <<< "$(sed 's/.*) //' "/proc/$worker/stat" 2> /dev/null)"
    age=$((${uptime%.*} - ${state[19]:-0} / $(getconf CLK_TCK)))
    ((age > 10)) || sleep $((11 - age))
done
"""
)
# A worker that gets USR1 ends after the answer that it is giving, and multiwatch starts another; requests wait
# meanwhile. One that takes long is not waited for: it ends by itself.
REFRESH = (
    FIND_WORKERS
    + r"""
((${#WORKERS[@]})) && kill -USR1 "${WORKERS[@]}"
for ((look = 0; look < 300; look++)); do
    kill -0 "${WORKERS[@]}" 2> /dev/null || break
    sleep 0.1
done
"""
)
# QGIS Server learns the folders of its catalogue when it starts, and a worker watches those that were there then.
KNOW_REPOSITORY = (
    FIND_WORKER
    + r"""
folders=$(tr '\0' '\n' < "$WORKER/environ" | sed -n 's/^QGIS_SERVER_LANDING_PAGE_PROJECTS_DIRECTORIES=//p')
if [[ "||$folders||" != *"||/srv/projects/$1||"* ]]; then
    # It, and so the script that names the folders, is started again. Only root may tell the supervisor so.
    for folder in /proc/[0-9]*; do
        is_called "$folder" multiwatch && kill "${folder#/proc/}"
    done
    exit
fi
"""
    + REFRESH
)
PART_OF_EXTENT = 0.001
"""A map is asked for a small part of its ground, or drawing a large layer would take long."""


@dataclass(frozen=True)
class QgisServerAnswer:
    """What QGIS Server answered, and what it wrote to its log meanwhile where that can be told."""

    status: int
    kind: str
    body: str
    log: str = ""


class Asks(Protocol):
    """Somebody who can be asked for a map."""

    def ask(self, parameters: Mapping[str, str]) -> QgisServerAnswer:
        """Ask the running server."""

    def ask_alone(self, parameters: Mapping[str, str], *, leave_out: bool = False) -> QgisServerAnswer:
        """Ask a server that is started for this one question, and tells everything; it may leave out bad layers."""


class NotRunningError(EngineError):
    """The map server's container does not run."""


class ProjectServer:
    """QGIS Server in the map server's container."""

    def __init__(self, engine: Engine, container: str, timeout: int) -> None:
        self.engine = engine
        self.container = container
        self.timeout = timeout
        found = engine.container(container) or {}
        labels = found.get("Config", {}).get("Labels") or {}
        self.has_catalogue = labels.get(WEB_CLIENT_LABEL) == "none"
        self.user = labels.get(QGIS_USER_LABEL, QGIS_USER_BEFORE)
        if not found.get("State", {}).get("Running"):
            raise NotRunningError(
                f"The container {container} does not run, and projects are checked in it before they are published."
            )

    def ask(self, parameters: Mapping[str, str]) -> QgisServerAnswer:
        """Ask the running server. The log may hold what it told of somebody else's map."""
        since = int(time.time())
        result = self._run(ASK, urlencode(parameters))
        return parse_answer(result.output, self.engine.log_since(self.container, since))

    def ask_alone(self, parameters: Mapping[str, str], *, leave_out: bool = False) -> QgisServerAnswer:
        """Ask a server that is started for this one question, and tells everything; it may leave out bad layers."""
        result = self._run(SINGLE_QUESTION, urlencode(parameters), str(int(leave_out)))
        return parse_answer(result.output, result.errors)

    def wait_until_refreshable(self) -> None:
        """Wait until workers are old enough to be replaced."""
        self._run(WAIT_UNTIL_OLD, "")

    def refresh(self) -> None:
        """Have other workers, who read every project again.

        Those that run would notice that a project's file changed, but one that draws it at that moment would crash.
        """
        self._run(REFRESH, "")

    def know(self, repository: str) -> None:
        """See to it that the map page's catalogue has a repository that is new."""
        if self.has_catalogue:
            self._run(KNOW_REPOSITORY, repository)

    def _run(self, script: str, *arguments: str) -> Result:
        command = ["timeout", str(self.timeout), "bash", "-c", script, "bash", *arguments]
        return self.engine.execute(self.container, self.user, command, ())


def parse_answer(text: str, log: str) -> QgisServerAnswer:
    """Read an answer as HTTP or as CGI writes it."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    status = re.search(r"^(?:HTTP/\S+|Status:) +(\d{3})", head, re.MULTILINE)
    kind = re.search(r"^Content-Type: *([^;\n]*)", head, re.MULTILINE | re.IGNORECASE)
    # CGI tells no status when all is well.
    number = int(status[1]) if status else OK if kind else 0
    return QgisServerAnswer(number, kind[1].strip() if kind else "", body, log)


# Judging -------------------------------------------------------------------------------------------------------------

Described = Mapping[str, Mapping[str, Any]]
"""The layers of a project by their ids, see qgis_project.describe."""


def check_projects(
    server: Asks, repository: str, inside: str, projects: Mapping[str, Described], *, without_servers: bool = False
) -> tuple[list[str], list[ProjectFinding]]:
    """Open and draw projects in a folder of the container; give the good ones, and what is wrong with the rest.

    With `without_servers` one is good that opens without the layers of servers that are not reached.
    """
    good, findings = [], []
    for name, layers in sorted(projects.items()):
        found = check_project(server, repository, f"{inside}/{name}", layers, without_servers=without_servers)
        findings += found
        if not found:
            good.append(name)
    return good, findings


def check_project(
    server: Asks, repository: str, path: str, layers: Described, *, without_servers: bool = False
) -> list[ProjectFinding]:
    """Open and draw one project; give what is wrong."""
    name = path.rpartition("/")[2]
    whose = {"MAP": path, "SERVICE": "WMS", "VERSION": "1.3.0"}
    told = _ask(server, {**whose, "REQUEST": "GetCapabilities"}, "text/xml")
    leave_out = told.problem and without_servers and _lacks_servers_alone(layers, told.answer)
    if leave_out:
        told = _ask(server, {**whose, "REQUEST": "GetCapabilities"}, "text/xml", leave_out=True)
    if told.problem:
        return explain(repository, name, layers, told.answer)
    try:
        ground = read_ground(told.answer.body)
    except (ElementTree.ParseError, ValueError) as error:
        return [
            ProjectFinding(
                repository,
                name,
                f"QGIS Server's capabilities of it cannot be read ({error}).",
                "Open it in the QGIS Desktop of the same version, look at the names and extents of its layers, save, "
                "and run again.",
            )
        ]
    if not ground.layers and ground.not_asked:
        return [
            ProjectFinding(
                repository,
                name,
                WITH_COMMA,
                GIVE_SHORT_NAME,
                layer,
            )
            for layer in ground.not_asked
        ]
    if not ground.layers:
        return [
            ProjectFinding(
                repository,
                name,
                "it has no layer that can be shown.",
                "Add one, or look at Project > Properties > QGIS Server > Excluded layers.",
            )
        ]
    drawn = _ask(server, {**whose, **map_request(ground)}, "image/png", leave_out=leave_out)
    return explain(repository, name, layers, drawn.answer) if drawn.problem else []


class Asked(NamedTuple):
    """An answer, and whether it is not what it should be."""

    answer: QgisServerAnswer
    problem: bool


def _ask(server: Asks, parameters: Mapping[str, str], kind: str, *, leave_out: bool = False) -> Asked:
    """Ask the running server and, if it refuses or may have had trouble, one that tells everything.

    The running one leaves nothing out of what it does not know yet: with `leave_out` it is not asked.
    """
    if not leave_out and not _has_problem(quick := server.ask(parameters), kind):
        return Asked(quick, problem=False)
    thorough = server.ask_alone(parameters, leave_out=leave_out)
    return Asked(thorough, _has_problem(thorough, kind))


def _lacks_servers_alone(layers: Described, answer: QgisServerAnswer) -> bool:
    """Tell whether all that a project lacks to open are layers of servers."""
    bad = _not_valid(answer)
    return bool(bad) and all(layers.get(key, {}).get("server") for key in bad)


def _not_valid(answer: QgisServerAnswer) -> list[str]:
    invalid = re.search(r"Layer\(s\) (.+) not valid in project", answer.log)
    return invalid[1].split(", ") if invalid else []


def _has_problem(answer: QgisServerAnswer, kind: str) -> bool:
    """Tell whether an answer is none, or is one although a query of a layer failed: that layer then stays empty."""
    good = answer.status == OK and answer.kind == kind and not EXCEPTION.search(answer.body)
    return not good or any(QUERY_FAILED in record for record in records(answer.log))


class Ground(NamedTuple):
    """What can be drawn, and where: west, south, east, north in degrees."""

    layers: tuple[str, ...]
    box: tuple[float, float, float, float]
    not_asked: tuple[str, ...] = ()
    """Layers whose names have a comma, which ends a name in a list of layers."""


def read_ground(capabilities: str) -> Ground:
    """Read the capabilities of a project."""
    # The Pi has no defusedxml, and QGIS Server, which answers visitors, may be in other hands.
    if "<!ENTITY" in capabilities:
        raise ValueError("they have entities")
    root = ElementTree.fromstring(capabilities)  # noqa: S314 - without entities
    # The uppermost is the project itself, also of one without layers.
    top = root.find(f"{WMS}Capability/{WMS}Layer")
    inner = [] if top is None else [layer for child in top for layer in child.iter(f"{WMS}Layer")]
    drawn = [layer for layer in inner if layer.find(f"{WMS}Layer") is None]
    names = [name for layer in drawn if (name := layer.findtext(f"{WMS}Name"))]
    box = root.find(f".//{WMS}EX_GeographicBoundingBox")
    west, south, east, north = (float((box.findtext(f"{WMS}{side}") if box is not None else "") or 0) for side in SIDES)
    asked = tuple(name for name in names if can_be_asked(name))
    return Ground(asked, (west, south, east, north), tuple(name for name in names if not can_be_asked(name)))


def map_request(ground: Ground) -> dict[str, str]:
    """Ask for a small picture of the middle of the ground, with every layer."""
    west, south, east, north = ground.box
    x, y = (west + east) / 2, (south + north) / 2
    half = max((east - west), (north - south), 0.001) * PART_OF_EXTENT / 2
    box = ",".join(f"{number:.9f}" for number in (x - half, y - half, x + half, y + half))
    return {
        **{"REQUEST": "GetMap", "LAYERS": ",".join(ground.layers), "STYLES": "", "CRS": "CRS:84", "BBOX": box},
        **{"WIDTH": "8", "HEIGHT": "8", "FORMAT": "image/png"},
    }


# Explaining ----------------------------------------------------------------------------------------------------------

EXCEPTION = re.compile(r"<(?:Server|Service)Exception\b[^>]*>([^<]*)<")
QUERY_FAILED = "Erroneous query"
LONGEST_WORDS = 300
RECORD = re.compile(r"^\d\d:\d\d:\d\d (?:INFO|WARNING|CRITICAL) .*?\[\d+\]: ", re.MULTILINE)
LOAD = "Load it into the database, or point the layer in QGIS Desktop to a table that is there, save, and run again."
SAME_COLUMNS = "Give the table on the Pi the same columns as the one that the project was made with."
GRANT = (
    "Make that role the owner of the table, or let it read it: GRANT SELECT ON {0} TO the role in lizmap_database_user."
)
LOOK_AT_DATABASE = (
    "Look at lizmap_database and lizmap_database_user, and at the layer's connection in QGIS Desktop: its service must "
    "be 'poppyfield', all else empty."
)
REPAIR_FILE = "Open it in QGIS Desktop and export it again, as a GeoPackage or GeoTIFF, into the project's folder."
REASONS = (
    (r'column "([^"]+)" (?:of relation "[^"]+" )?does not exist', "its table has no column '{0}'.", SAME_COLUMNS),
    (r'(?:relation|schema) "([^"]+)" does not exist', "{0} is not in the Pi's database.", LOAD),
    (r"User has no SELECT privilege on (\S+) relation", "the map server's role may not read the table {0}.", GRANT),
    (r'definition of service "([^"]+)" not found', "a Pi has no service '{0}'.", LOOK_AT_DATABASE),
    (r"FATAL: +([^\n]+)", "the Pi's database refuses the map server: {0}.", LOOK_AT_DATABASE),
    (r"(Connection to database failed)", "the Pi's database does not answer the map server.", LOOK_AT_DATABASE),
    (r"Cannot find layer (.+?)\.\(", "its file has no layer '{0}'.", REPAIR_FILE),
    (
        r"Cannot open [^\n]*?([^/\n]+) \(",
        "QGIS Server cannot read {0}: it is damaged, or of another kind.",
        REPAIR_FILE,
    ),
    (r"ERROR: +([^\n]+)", "the database says: {0}.", SAME_COLUMNS),
)
"""What QGIS Server writes, what that means, and what to do; the first that fits is told."""


def records(log: str) -> list[str]:
    """Divide what QGIS Server wrote into its messages, which have several lines."""
    return [part.strip() for part in RECORD.split(log) if part.strip()]


def explain(repository: str, name: str, layers: Described, answer: QgisServerAnswer) -> list[ProjectFinding]:
    """Say why QGIS Server refuses a project, layer by layer where it tells."""
    told = records(answer.log)
    bad = _not_valid(answer) or _with_failed_queries(layers, told)
    if bad:
        return [_explain_layer(repository, name, layers.get(key, {"name": key}), told) for key in bad]
    return [
        ProjectFinding(
            repository,
            name,
            f"QGIS Server does not draw it: {_said(answer)}.",
            "Open it in the QGIS Desktop of the same version, look at each layer, save, and run again.",
        )
    ]


def _with_failed_queries(layers: Described, told: Sequence[str]) -> list[str]:
    failed = [record for record in told if QUERY_FAILED in record]
    return [key for key, layer in layers.items() if any(_mentions(record, layer) for record in failed)]


def _mentions(record: str, layer: Mapping[str, Any]) -> bool:
    return any(words in record for words in layer.get("written", ()))


def _explain_layer(repository: str, name: str, layer: Mapping[str, Any], told: Sequence[str]) -> ProjectFinding:
    if parent := layer.get("embedded_in", ""):
        return ProjectFinding(
            repository,
            name,
            f"it is embedded from {parent}, and QGIS Server does not open it there.",
            f"Mend {parent} as it is told of that, or remove this layer, save the project, and run again.",
            layer["name"],
        )
    own = [record for record in told if _mentions(record, layer)]
    # Of a connection that fails, the table is not told.
    shared = [record for record in told if "Connection to database failed" in record] if layer.get("database") else []
    for record in (*own, *shared):
        for pattern, problem, remedy in REASONS:
            if found := re.search(pattern, record):
                return ProjectFinding(
                    repository, name, problem.format(found[1]), remedy.format(found[1]), layer["name"]
                )
    about = layer.get("about", "its source")
    if own:
        said = plain(own[-1]).rstrip(".")[:LONGEST_WORDS]
        return ProjectFinding(repository, name, f"QGIS Server cannot open {about}: {said}.", REPAIR_FILE, layer["name"])
    return ProjectFinding(
        repository,
        name,
        f"QGIS Server cannot open {about}, and writes nothing of it: it is damaged, or of a kind that this QGIS Server "
        "does not know.",
        REPAIR_FILE,
        layer["name"],
    )


def _said(answer: QgisServerAnswer) -> str:
    """Give what an answer that is an error says, or else the log's last word."""
    error = EXCEPTION.search(answer.body)
    loading = re.search(r"Error when loading project file '[^']*': ([^\n]+)", answer.log)
    failed = re.search(QUERY_FAILED + r".*?ERROR: +([^\n]+)", answer.log, re.DOTALL)
    for found in (loading, error, failed):
        if found:
            return plain(found[1]).rstrip(".")
    return last_lines(answer.log, 1) or "it gave no answer in time"
