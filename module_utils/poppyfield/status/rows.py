"""One row for each Pi: what it said in this run, or what is remembered of it, and what is wrong with it. Pure.

A Pi in other hands says anything: each value is taken as what it must be, bounded, or else is None.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible.module_utils.poppyfield.containers.services import POSTGIS, SERVICES
from ansible.module_utils.poppyfield.host import card
from ansible.module_utils.poppyfield.host.printable import printable
from ansible.module_utils.poppyfield.host.requirements import CLOCK_TOLD
from ansible.module_utils.poppyfield.hotspot import health
from ansible.module_utils.poppyfield.images.image_names import split
from ansible.module_utils.poppyfield.lizmap.answers import TO_LOG_IN
from ansible.module_utils.poppyfield.postgis import data_pages
from ansible.module_utils.poppyfield.runs import trail

Json = dict[str, Any]

LEVELS = ("unreachable", "broken", "attention", "fine")
"""The worst first."""
NOT_WELL = LEVELS[:2]
"""What a run that tells of it does not end as a success with."""

SET_ASIDE = ("-previous", "-candidate", "-before-upgrade")
"""How the names of containers end that wait for the end of a deployment."""
MOST_WORDS = 300
MOST_ITEMS = 20
LARGEST = 2.0**53
HOT_CELSIUS = 80
LITTLE_MEMORY = 0.08
AVERAGES = 3
"""Those of the load: of one, five and fifteen minutes."""
MUCH_LOAD = 2.0
"""Processes for each core, on average of five minutes."""
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
NAMED_CHANGES = 3
"""Of a deployment, in one sentence."""
UNREACHED = ("nobody answers there", "no answer in time")
"""What published_map says of a map server that the laptop does not get an answer from."""

BLANK: Json = {
    "level": "attention",
    "wrong": [],
    "asked": False,
    "reachable": None,
    "seen": None,
    "model": None,
    "os": None,
    "kernel": None,
    "platform": None,
    "docker": None,
    "uptime_seconds": None,
    "cores": None,
    "load": None,
    "cpu_percent": None,
    "memory_total_mb": None,
    "memory_available_mb": None,
    "temperature_celsius": None,
    "under_voltage": None,
    "under_voltage_occurred": None,
    "clock_ahead_seconds": None,
    "security_updates": None,
    "security_updates_as_of": None,
    "last_deploy": None,
    "last_deployment": {},
    "old_release": None,
    "drift": None,
    "containers": [],
    "disks": [],
    "card": [],
    "backups": [],
    "data_check": None,
    "hotspot": None,
    "maps": [],
}
"""A Pi of which nothing is known."""


# What a Pi says -----------------------------------------------------------------------------------------------------


def _text(value: Any, most: int = MOST_WORDS) -> str | None:
    """Give a text in one line that can be shown."""
    if not isinstance(value, str):
        return None
    line = " ".join(printable(value[: 4 * most]).split())
    return (line if len(line) <= most else f"{line[:most]}…") or None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # What is no number, or none that can be shown, is not between these.
    return value if is_number and -LARGEST < value < LARGEST else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _moment(value: Any) -> str | None:
    """Give a time as it was written, if it is one; two of them are compared as texts."""
    if not isinstance(value, str) or not MOMENT.fullmatch(value[:40]):
        return None
    try:
        return datetime.fromisoformat(value[:40]).isoformat(timespec="seconds")
    except ValueError:
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [_mapping(item) for item in value[:MOST_ITEMS]] if isinstance(value, list) else []


# Rows ---------------------------------------------------------------------------------------------------------------


def row_of(name: str, look: Mapping[str, Any] | None, maps: Mapping[str, Any], before: Json | None, now: str) -> Json:
    """Give the row of a Pi.

    `look` is what came of stack_info, None where the run left the Pi out; `maps` what came of published_map for each
    of its maps; `before` the row that is remembered.
    """
    known = {**BLANK, **(before or {}), "name": name}
    if look is None:
        never = [] if before else [_wrong("attention", "never_asked")]
        return {**known, "asked": False, "wrong": [*known["wrong"], *never]}
    if look.get("unreachable"):
        return _graded({**known, **_unanswered(), "wrong": [_wrong("unreachable", "unreachable", **_why(look))]})
    if not isinstance(look.get("host"), Mapping):
        wrong = [_wrong("broken", "not_looked_at", **_why(look))]
        return _graded({**known, **_unanswered(), "reachable": True, "wrong": wrong})
    row = {**BLANK, "name": name, "asked": True, "reachable": True, "seen": now, **_facts(look)}
    row["maps"] = maps_of(maps)
    return _graded({**row, "wrong": [*wrong_with(row, look), *_not_asked_for(maps)]})


def _unanswered() -> Json:
    return {"asked": True, "reachable": False, "old_release": None}


def _why(result: Mapping[str, Any]) -> Json:
    return {"why": _text(result.get("msg")) or "?"}


def _wrong(level: str, code: str, **values: Any) -> Json:
    return {"level": level, "code": code, "values": values}


def _graded(row: Json) -> Json:
    """Put what is wrong in order, and give the row the level of the worst."""
    wrong = sorted(row["wrong"], key=lambda one: LEVELS.index(one["level"]))
    return {**row, "wrong": wrong, "level": wrong[0]["level"] if wrong else "fine"}


def _facts(look: Mapping[str, Any]) -> Json:
    host, docker = _mapping(look["host"]), _mapping(look.get("docker"))
    power = _mapping(host.get("throttling"))
    load = [_number(one) for one in host["load"][:3]] if isinstance(host.get("load"), list) else []
    containers = [_container(entry) for entry in _mappings(look.get("containers"))]
    told_of_card = look["card"] if isinstance(look.get("card"), list) else []
    made = [entry["created"] for entry in containers if entry["created"] and not entry["set_aside"]]
    return {
        **{key: _text(host.get(key), 80) for key in ("model", "os", "kernel", "platform")},
        "docker": _text(docker.get("version"), 80) if docker.get("running") is True else None,
        "load": load if len(load) == AVERAGES and None not in load else None,
        **{key: _number(host.get(key)) for key in ("cpu_percent", "temperature_celsius")},
        **{key: _whole(host.get(key)) for key in WHOLE_NUMBERS},
        **{key: _flag(power.get(key)) for key in ("under_voltage", "under_voltage_occurred")},
        "security_updates_as_of": _moment(host.get("security_updates_as_of")),
        "last_deploy": max(made, default=None),
        "last_deployment": trail.cleaned(_mapping(look.get("last_deployment"))),
        "containers": containers,
        "disks": [_disk(entry) for entry in _mappings(look.get("disks"))],
        "card": [code for code in card.CODES if code in told_of_card],
        "backups": backups_of(look) or [],
        "data_check": _data_check(look.get("data_check")),
        "hotspot": _hotspot(look.get("hotspot")),
    }


WHOLE_NUMBERS = (
    *("uptime_seconds", "cores", "memory_total_mb", "memory_available_mb", "clock_ahead_seconds", "security_updates"),
)


def _container(entry: Mapping[str, Any]) -> Json:
    name, stats = _text(entry.get("name"), 80) or "?", _mapping(entry.get("stats"))
    versions = list(_mapping(entry.get("versions")).items())[:MOST_ITEMS]
    return {
        "name": name,
        "service": _text(entry.get("resource"), 40),
        "image": _text(entry.get("image"), 160),
        "versions": {_text(key, 40) or "?": _text(value, 40) for key, value in versions},
        "state": _text(entry.get("state"), 20),
        "health": _text(entry.get("health"), 20),
        "health_output": _text(entry.get("health_output")),
        "found_earlier": _text(entry.get("found_earlier")),
        "left_out": _text(entry.get("left_out")),
        "created": _moment(entry.get("created")),
        "uptime_seconds": _whole(entry.get("uptime_seconds")),
        "exit_code": _whole(entry.get("exit_code")),
        "restarts": _whole(entry.get("restarts")),
        "cpu_percent": _number(stats.get("cpu_percent")),
        "memory_bytes": _whole(stats.get("memory_bytes")),
        "set_aside": name.endswith(SET_ASIDE),
    }


def _disk(entry: Mapping[str, Any]) -> Json:
    folders = entry.get("folders")
    first = folders[0] if isinstance(folders, list) and folders else None
    total, free = _whole(entry.get("total_mb")), _whole(entry.get("free_mb"))
    return {
        "folder": _text(first, 120) or "?",
        "total_mb": None if free is None else total,
        "free_mb": free,
        "nearly_full": _flag(entry.get("nearly_full")),
    }


def backups_of(look: Mapping[str, Any]) -> list[Json] | None:
    """Give how the backups of a Pi fare, from what came of stack_info; None for one that could not be looked at."""
    return [_backup(one) for one in _mappings(look.get("backups"))] if isinstance(look.get("host"), Mapping) else None


def _backup(entry: Mapping[str, Any]) -> Json:
    return {
        "target": _text(entry.get("target"), 40) or "?",
        "saved": _moment(entry.get("saved")),
        "committed": _moment(entry.get("committed")),
        "proven": _moment(entry.get("proven")),
        "wrong": [_text(one) or "?" for one in entry["wrong"][:MOST_ITEMS]]
        if isinstance(entry.get("wrong"), list)
        else [],
        "proof_said": _text(entry.get("proof_said")),
        "committed_said": _text(entry.get("committed_said")),
        **{code: _flag(entry.get(code)) for code in OF_BACKUPS},
    }


def _data_check(found: Any) -> Json | None:
    """Give when the pages of the databases were looked at, and what was damaged; None where nobody looked."""
    entry = _mapping(found)
    at, result = _moment(entry.get("at")), entry.get("result")
    damaged = [{key: _text(one.get(key), 160) for key in DAMAGED_PARTS} for one in _mappings(entry.get("damaged"))]
    return {"at": at, "whole": result == data_pages.WHOLE, "damaged": damaged} if at else None


def _hotspot(found: Any) -> list[str] | None:
    """Give what is wrong with the Wi-Fi of its own, by code; None where it has none."""
    told = found.get("codes") if isinstance(found, Mapping) else None
    return [code for code in health.CODES if code in told] if isinstance(told, list) else None


DAMAGED_PARTS = ("database", "table", "index", "file")
OF_BACKUPS = ("too_old", "unproven", "different", "too_small", "behind")
"""What can be wrong with the backups on a target."""
WHY = {"behind": "committed_said"}
"""What the Pi says of it, where that is not what came of a proof."""


def maps_of(asked: Mapping[str, Any]) -> list[Json]:
    """Give what came of asking for each map as anybody would: whether it draws, None for one that is not for anybody.

    Without any map it is the list of maps that was asked for, which has no name.
    """
    return [_map(one) for one in _mappings(asked.get("results")) if "checks" in one]


def _map(one: Mapping[str, Any]) -> Json:
    checks = _mappings(one.get("checks"))
    said = str(checks[-1].get("detail", "")) if checks else ""
    draws = one.get("verified") is True
    private = not draws and TO_LOG_IN in said
    return {
        "map": _text(one.get("item"), 160) or "",
        "url": _text(one.get("map_url"), 200),
        "draws": None if private else draws,
        "reached": draws or not any(words in said for words in UNREACHED),
        "why": None if draws or private else _text(said),
    }


def picture_name(pi: str, map_name: str) -> str:
    """Give the name of the file with the last picture of a map, as roles/lizmap/tasks/look.yml has it written."""
    return f"{pi}-{map_name.replace('/', '-')}.png"


def _not_asked_for(maps: Mapping[str, Any]) -> list[Json]:
    """Tell why a map was not asked for although it should have been, as when a folder of the laptop is missing."""
    failed = [one for one in (maps, *_mappings(maps.get("results"))) if one.get("failed") and "checks" not in one]
    return [_wrong("attention", "maps_not_asked", **_why(failed[-1]))] if failed else []


# What is wrong ------------------------------------------------------------------------------------------------------


def wrong_with(row: Json, look: Mapping[str, Any]) -> list[Json]:
    """Give all that is wrong with a Pi that answered."""
    of_services = [*_of_containers(row, look), *_of_maps(row), *_of_hotspot(row), *_of_deployment(row)]
    return [*of_services, *_of_disks(row), *_of_card(row), *_of_backups(row), *_of_data(row), *_of_host(row)]


def _of_deployment(row: Json) -> list[Json]:
    last = row["last_deployment"]
    code = {trail.PUT_BACK: "put_back", trail.FAILED: "deployment_failed"}.get(last.get("result"))
    told = {name: last.get(name, "?") for name in ("service", "by", "tried")}
    return [_wrong("attention", code, **told)] if code else []


def _of_containers(row: Json, look: Mapping[str, Any]) -> list[Json]:
    docker = _mapping(look.get("docker"))
    if docker.get("running") is not True:
        return [_wrong("broken", "no_docker", why=_text(docker.get("why")) or "?")]
    found = [entry for entry in row["containers"] if not entry["set_aside"]]
    there = {entry["service"] for entry in found}
    missing = [service.container for service in SERVICES if service.name not in there]
    return [
        *([_wrong("broken", "missing", containers=", ".join(missing))] if missing else []),
        *(one for entry in found for one in _of_container(entry)),
    ]


def _of_container(entry: Json) -> list[Json]:
    told = {"container": entry["name"], "why": entry["health_output"] or "?"}
    found = [_wrong("attention", "restarts", **told, count=entry["restarts"])] if entry["restarts"] else []
    if entry["left_out"]:
        found.append(_wrong("attention", "left_out", layers=entry["left_out"]))
    if entry["state"] != "running":
        code = {"paused": "paused", "restarting": "restarting"}.get(entry["state"] or "", "stopped")
        return [_wrong("broken", code, **told, exit_code=entry["exit_code"])]
    if entry["health"] == "starting":
        return [_wrong("attention", "starting", **told), *found]
    if entry["health"] not in ("healthy", "none"):
        return [_wrong("broken", "unhealthy", **told), *found]
    return found


def _of_maps(row: Json) -> list[Json]:
    """Tell of maps that do not draw. What only this laptop does not reach may be reached by others."""
    healthy = any(entry["service"] == "lizmap" and entry["health"] == "healthy" for entry in row["containers"])
    unseen = [one for one in row["maps"] if one["draws"] is False]
    if unseen and healthy and not any(one["reached"] for one in unseen):
        return [_wrong("attention", "not_reached", url=unseen[0]["url"] or "?")]
    return [_wrong("broken", "map", map=one["map"] or "/", why=one["why"] or "?") for one in unseen]


def _of_hotspot(row: Json) -> list[Json]:
    return [_wrong("attention" if code == health.FULL else "broken", code) for code in row["hotspot"] or []]


def _of_disks(row: Json) -> list[Json]:
    full = [disk for disk in row["disks"] if disk["nearly_full"]]
    return [_wrong("attention", "disk", folder=disk["folder"], free_mb=disk["free_mb"]) for disk in full]


def _of_card(row: Json) -> list[Json]:
    return [_wrong("attention", code) for code in row["card"]]


def _of_backups(row: Json) -> list[Json]:
    return [
        _wrong(
            "attention",
            f"backup_{code}",
            target=one["target"],
            why=one[WHY.get(code, "proof_said")] or "?",
            when=one["saved"],
        )
        for one in row["backups"]
        for code in OF_BACKUPS
        if one[code]
    ]


def _of_data(row: Json) -> list[Json]:
    """Tell what is damaged on the disk, with the remedy."""
    found = row["data_check"] or {"damaged": []}
    return [_of_damage(row, one, found["at"]) for one in found["damaged"]]


def _of_damage(row: Json, one: Json, when: str) -> Json:
    """Give the command: an index is rebuilt, a table comes from a backup; without one what can be read is saved.

    It is made here, and what a Pi says is quoted in it: somebody will give it to a shell.
    """
    container = next((entry["name"] for entry in row["containers"] if entry["service"] == POSTGIS.name), "?")
    saved = next((backup["target"] for backup in row["backups"] if backup["saved"]), None)
    told = {"what": data_pages.name_of(one), "when": when}
    within = ["sudo", "docker", "exec", "--user", "postgres"]
    database = one["database"] or "postgres"
    if one["index"]:
        command = [*within, container, "reindexdb", f"--index={one['index']}", database]
        return _wrong("attention", "data_index", **told, command=shlex.join(command))
    if saved is None:
        command = [*within, "--env", "PGOPTIONS=-c ignore_checksum_failure=on", container, "pg_dump", "-Fc", database]
        return _wrong(
            "attention", "data_unsaved", **told, command=f"{shlex.join(command)} > {shlex.quote(database)}.dump"
        )
    command = ["ansible-playbook", "playbooks/restore.yml", "--limit", row["name"], "-e", f"restore_from={saved}"]
    beside = ["-e", f"restore_databases={database}", "-e", "restore_as=restored"] if one["database"] else []
    return _wrong("attention", "data_damaged", **told, command=shlex.join([*command, *beside]))


def _of_host(row: Json) -> list[Json]:
    found = []
    if row["under_voltage"] or row["under_voltage_occurred"]:
        found.append(_wrong("attention", "voltage" if row["under_voltage"] else "voltage_earlier"))
    if (row["temperature_celsius"] or 0) >= HOT_CELSIUS:
        found.append(_wrong("attention", "hot", celsius=row["temperature_celsius"]))
    if abs(row["clock_ahead_seconds"] or 0) >= CLOCK_TOLD:
        code = "clock_ahead" if row["clock_ahead_seconds"] > 0 else "clock_behind"
        found.append(_wrong("attention", code, seconds=abs(row["clock_ahead_seconds"])))
    total, available = row["memory_total_mb"], row["memory_available_mb"]
    if total and available is not None and available < LITTLE_MEMORY * total:
        found.append(_wrong("attention", "memory", free_mb=available))
    if row["load"] and row["cores"] and row["load"][1] > MUCH_LOAD * row["cores"]:
        found.append(_wrong("attention", "load", load=row["load"][1], cores=row["cores"]))
    return found


# The fleet ----------------------------------------------------------------------------------------------------------


def with_old_releases(rows: Sequence[Json]) -> list[Json]:
    """Tell of each Pi whether another one, for the same kind of image, was given a newer release."""
    latest: dict[Any, tuple[str, str, str]] = {}
    for row, entry in _releases(rows):
        seen = (entry["created"], entry["image"], row["name"])
        latest[split(entry["image"])] = max(latest.get(split(entry["image"]), seen), seen)
    found = []
    for row in rows:
        own = [(entry, latest[split(entry["image"])]) for _, entry in _releases([row])]
        old = [
            _wrong("attention", "old_release", container=entry["name"], image=image, pi=pi)
            for entry, (_, image, pi) in own
            if entry["image"] != image
        ]
        found.append(_graded({**row, "wrong": [*row["wrong"], *old], "old_release": bool(old) if own else None}))
    return found


def with_drift(rows: Sequence[Json], known: Mapping[str, Json]) -> list[Json]:
    """Tell of each Pi what the last run of site.yml found that it would change, see `drift`."""
    return [_with_drift(row, known.get(row["name"])) for row in rows]


def _with_drift(row: Json, found: Json | None) -> Json:
    if found is None or not row["reachable"]:
        return {**row, "drift": None}
    names = [_text(name, 80) or "?" for name in found["would"]]
    more = [f"+{len(names) - NAMED_CHANGES}"] if len(names) > NAMED_CHANGES else []
    at, what = _moment(found["at"]), ", ".join([*(f"“{name}”" for name in names[:NAMED_CHANGES]), *more])
    wrong = [_wrong("attention", "drift", what=what, when=at)] if names else []
    return _graded({**row, "wrong": [*row["wrong"], *wrong], "drift": {"at": at, "would": names}})


def _releases(rows: Sequence[Json]) -> list[tuple[Json, Json]]:
    return [
        (row, entry)
        for row in rows
        for entry in row["containers"]
        if entry["image"] and entry["created"] and not entry["set_aside"]
    ]


def worst_first(rows: Sequence[Json]) -> list[Json]:
    """Give the rows in the order in which they are to be read."""
    return sorted(rows, key=lambda row: (LEVELS.index(row["level"]), not row["asked"], row["name"]))


def counts(rows: Sequence[Json]) -> dict[str, int]:
    """Count the Pis of each level."""
    return {level: sum(row["level"] == level for row in rows) for level in LEVELS}


def sums(row: Json) -> Json:
    """Give the figures of a row that are kept for the next runs."""
    full = [100 - 100 * disk["free_mb"] / disk["total_mb"] for disk in row["disks"] if disk["total_mb"]]
    total, available = row["memory_total_mb"], row["memory_available_mb"]
    used = 100 - 100 * available / total if total and available is not None else None
    return {
        "at": row["seen"],
        "cpu": row["cpu_percent"],
        "memory": None if used is None else round(used, 1),
        "disk": round(max(full), 1) if full else None,
        "temperature": row["temperature_celsius"],
    }
