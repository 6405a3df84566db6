"""Looks at this Pi and writes its pages: what the timer of systemd runs on the Pi.

What it writes is in memory, so that no card wears. It asks Docker by its socket, and the map server by its address, and
nobody asks it: the map server's nginx only hands out the files.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup import state as backup_state
from ansible.module_utils.poppyfield.containers import compose
from ansible.module_utils.poppyfield.containers.services import COMPOSE_FOLDER
from ansible.module_utils.poppyfield.host import atomic_file, stack_status
from ansible.module_utils.poppyfield.host.stack_host import HostOfStack
from ansible.module_utils.poppyfield.host.stack_status import DockerAnswers
from ansible.module_utils.poppyfield.hotspot import look as hotspot_look
from ansible.module_utils.poppyfield.images.image_names import versions
from ansible.module_utils.poppyfield.pi_page import judge, maps, own_front, render
from ansible.module_utils.poppyfield.pi_page.maps import Ask, SeenAnswer
from ansible.module_utils.poppyfield.pi_page.words import LANGUAGES
from ansible.module_utils.poppyfield.postgis import data_pages
from ansible.module_utils.poppyfield.status import rows

Json = dict[str, Any]

FOLDER = "/run/poppyfield-page"
"""What the map server hands out."""
WORK_FOLDER = "/run/poppyfield-page-work"
"""What is remembered from one minute to the next."""
DOCKER = "/run/docker.sock"
DOCKER_SECONDS = 30
MAP_SECONDS = 60
ALL_MAPS_SECONDS = 60
"""After so long no further map is asked for in this run: the page must not wait for them."""
COMMAND_SECONDS = 120
UPDATES_AGAIN = 6 * 3600
CLOCK_TOLERANCE = 300
PROJECTS = "/srv/projects"
LIZMAP_STATES = "/srv/lizmap"
STANDALONE = "docker-compose"
WEB_CLIENT = "fr.poppyfield.web-client"
HTTP_PORT, HTTPS_PORT = 8080, 8443


# Asking -------------------------------------------------------------------------------------------------------------


class DockerSocketConnection(http.client.HTTPConnection):
    """A connection by a socket of this machine."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DOCKER_SECONDS)
        self.path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask_docker(path: str) -> Any:
    """Get what the engine answers; raise OSError or ValueError."""
    with closing(DockerSocketConnection(DOCKER)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != maps.OK:
            raise OSError(f"Docker answers {answer.status}.")
        return json.loads(answer.read())


def docker_runs() -> bool:
    """Tell whether Docker runs: to ask its socket would start it, though somebody may have stopped it."""
    return said_by("systemctl", "is-active", "docker.service").strip() == "active"


def look_at_docker(ask: Callable[[str], Any] = ask_docker) -> DockerAnswers:
    """Ask the engine for its containers."""
    try:
        listed = ask("/containers/json?all=1")
        own = [ask(f"/containers/{entry['Id']}/json") for entry in listed if stack_status.is_own_container(entry)]
        return DockerAnswers(info=ask("/info"), containers=listed, own_containers=own)
    except (OSError, ValueError, http.client.HTTPException):
        return DockerAnswers(why="it does not answer")


def said_by(command: str, *arguments: str) -> str:
    """Give what a command of the host prints, nothing where it is missing or fails."""
    path = shutil.which(command)
    if path is None:
        return ""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [path, *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=COMMAND_SECONDS,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
    return ""


def asker(container: Json) -> Ask:
    """Give what asks the map server in this container, without its published port."""
    networks = container["NetworkSettings"]["Networks"].values()
    address = next((network["IPAddress"] for network in networks if network["IPAddress"]), "")
    is_https = any(line.startswith("HTTPS_PORT=") for line in container["Config"].get("Env") or [])

    def ask(path: str) -> SeenAnswer:
        with closing(_connection(address, is_https=is_https)) as connection:
            try:
                connection.request("GET", path, headers={"Host": "localhost"})
                answer = connection.getresponse()
                return SeenAnswer(answer.status, answer.read(maps.LARGEST_ANSWER))
            except http.client.HTTPException as error:
                raise OSError("no answer in HTTP") from error

    return ask


def _connection(address: str, *, is_https: bool) -> http.client.HTTPConnection:
    if not is_https:
        return http.client.HTTPConnection(address, HTTP_PORT, timeout=MAP_SECONDS)
    # It goes to this Pi's own container, whose certificate is for the names that people use.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(address, HTTPS_PORT, timeout=MAP_SECONDS, context=context)


# Looking ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PiPages:
    """Where the pages, and what is remembered, are written."""

    folder: Path = Path(FOLDER)
    work: Path = Path(WORK_FOLDER)

    def state(self) -> Json:
        """Give what is remembered; nothing after a start, or of another version."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads((self.work / "state.json").read_text("utf-8"))
            return {"maps": dict(state["maps"]), "updates": dict(state["updates"])}
        return {"maps": {}, "updates": {}}

    def remember(self, state: Json) -> None:
        """Remember what the next run is to know."""
        atomic_file.write(self.work / "state.json", json.dumps(state).encode(), mode=0o600)

    def write(self, name: str, content: bytes) -> None:
        """Write a file that anybody may read."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.write(path, content, mode=0o644)


def look_at_maps(
    pages: PiPages, known: Json, container: Json | None, now: float, moment: str, *, all_now: bool
) -> Json:
    """Give what is known of the maps that everybody may see, and write their pictures."""
    state = (container or {}).get("State") or {}
    health = (state.get("Health") or {}).get("Status", "healthy")
    if container is None or not stack_status.is_up(container) or state.get("Paused") or health != "healthy":
        return known
    folder = mounted(container, PROJECTS)
    is_lizmap = (container["Config"].get("Labels") or {}).get(WEB_CLIENT) != "none"
    # Each time, and before any is drawn: neither the name nor the picture of one that was made private may stay.
    known = _without_taken_back(known, asker(container), now) if is_lizmap else known
    found: Json = {}
    end = time.monotonic() + ALL_MAPS_SECONDS
    for project in maps.names(Path(folder)) if folder else []:
        before = known.get(project)
        shown = None if before and before.get("hidden") else before
        due = time.monotonic() < end and (all_now or maps.is_due(before, now))
        if not due:
            found |= {project: before} if before else {}
            continue
        seen, picture = maps.seen(shown, asker(container), project, now, moment, is_lizmap=is_lizmap)
        found[project] = seen or _hidden(now)
        if seen and picture:
            pages.write(f"status/maps/{seen['picture']}.png", picture)
    return found


def mounted(container: Json, target: str) -> str:
    """Give the folder of the host that a container has there; empty where it has none."""
    return next((str(m["Source"]) for m in container.get("Mounts") or [] if m["Destination"] == target), "")


def has_own_front(container: Json | None) -> bool:
    """Tell whether the Lizmap of this container has a front page that its operator made."""
    labels = (container or {}).get("Config", {}).get("Labels") or {}
    states = mounted(container or {}, LIZMAP_STATES)
    return bool(states) and own_front.is_there(states, versions(labels).get("lizmap-web-client") or "none")


def _hidden(now: float) -> Json:
    """Give what is remembered of a map that is not for everybody, so that it is not asked for each minute."""
    return {"hidden": True, "draws": True, "asked": now}


def _without_taken_back(known: Json, ask: Ask, now: float) -> Json:
    """Give what is known, without the names and pictures of maps that Lizmap shows to everybody no more."""
    end = time.monotonic() + ALL_MAPS_SECONDS
    return {
        project: _hidden(now)
        if not one.get("hidden") and time.monotonic() < end and maps.is_taken_back(ask, project)
        else one
        for project, one in known.items()
    }


def forget_pictures(pages: PiPages, known: Json) -> None:
    """Remove the pictures of maps that are no longer there, or no longer for everybody."""
    kept = {f"{one['picture']}.png" for one in known.values() if not one.get("hidden")}
    for path in (pages.folder / "status" / "maps").glob("*.png"):
        if path.name not in kept:
            path.unlink()


def updates_wait(host: HostOfStack, known: Json, now: float) -> Json:
    """Give whether security updates wait, as known a few hours ago at most: to ask apt takes seconds."""
    if known and 0 <= now - known["asked"] < UPDATES_AGAIN:
        return known
    said = stack_status.describe_host(host.look(updates=True))["security_updates"]
    return {"asked": now, "wait": bool(said)}


def compose_command(folder: Path = Path(COMPOSE_FOLDER)) -> str:
    """Give the command of compose by which this Pi is rebuilt; empty where a deployment wrote no file for one."""
    if not (folder / compose.FILE).exists():
        return ""
    return STANDALONE if shutil.which(STANDALONE) else "docker compose"


def more_wrong(updates: Json, now: float, installed: float) -> list[str]:
    """Give the codes of what is wrong besides what stack_info tells."""
    clock = ["clock_before"] if now < installed - CLOCK_TOLERANCE else []
    return [*clock, *(["updates"] if updates.get("wait") else [])]


def run(settings: Mapping[str, Any], pages: PiPages, installed: float, *, all_now: bool) -> None:
    """Look at everything, and write the pages."""
    moment = datetime.now(tz=UTC)
    now, when = moment.timestamp(), moment.isoformat(timespec="seconds")
    host, state = HostOfStack(said_by), pages.state()
    docker = look_at_docker() if docker_runs() else DockerAnswers(why="it does not run")
    folders = host.folders(stack_status.folders_in_use(docker))
    look = stack_status.describe(
        host.look(),
        docker,
        folders,
        None,
        moment,
        backups=backup_state.look(moment),
        data_check=data_pages.look(),
        hotspot=hotspot_look.told(said_by),
    )
    found = [
        c for c in docker.own_containers if stack_status.describe_container(c, None, moment)["resource"] == "lizmap"
    ]
    serving = next((c for c in found if stack_status.is_up(c) and not c["Name"].endswith(rows.SET_ASIDE)), None)
    written = stack_status.folders_written_to(docker)
    on_card = host.card(written)
    # That nothing can be written any more is told at once: neither maps nor apt are waited for.
    if "read_only" not in on_card:
        state["maps"] = look_at_maps(pages, state["maps"], serving, now, when, all_now=all_now)
        pages.remember(state)
        state["updates"] = updates_wait(host, {} if all_now else state["updates"], now)
        # They take their time, and what is said is of now.
        on_card = host.card(written)
    when = datetime.now(tz=UTC).isoformat(timespec="seconds")
    shown = [one for _, one in sorted(state["maps"].items()) if not one.get("hidden")]
    more = more_wrong(state["updates"], now, installed)
    health = judge.judge(settings["name"], {**look, "card": on_card}, shown, more, when)
    has_front = settings["front"] and not has_own_front(serving)
    for language in LANGUAGES:
        has_operator = settings["operator"]
        page = render.status(
            settings["name"], health, shown, language, when, has_operator=has_operator, compose=compose_command()
        )
        pages.write(f"status.{language}.html", page.encode())
        front = pages.folder / f"front.{language}.html"
        if has_front:
            pages.write(front.name, render.front(settings["name"], health, shown, language, when).encode())
        else:
            front.unlink(missing_ok=True)
    pages.write("status.json", (json.dumps(judge.for_programs(health, when)) + "\n").encode())
    forget_pictures(pages, state["maps"])
    pages.remember(state)


def main() -> int:
    """Run the program."""
    path = Path(__file__).resolve().parents[4] / "settings.json"
    run(json.loads(path.read_text("utf-8")), PiPages(), path.stat().st_mtime, all_now="--now" in sys.argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
