"""What a Pi's page tells: each subject with what is wrong, told to anybody. Pure.

What is wrong is decided by `status.rows`, as for the fleet. Here it is put into subjects, and into words that tell a
visitor about health and nothing more: no version, no path, no name of a container, nothing that a program has said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.poppyfield.containers.services import SERVICES
from ansible.module_utils.poppyfield.hotspot import health
from ansible.module_utils.poppyfield.pi_page.words import SENTENCES, SUBJECTS
from ansible.module_utils.poppyfield.status import rows

Json = dict[str, Any]

SUBJECT_OF = {
    **dict.fromkeys(("voltage", "voltage_earlier"), "power"),
    **dict.fromkeys(("io_errors", "read_only", "worn"), "card"),
    "disk": "disk",
    **dict.fromkeys((f"backup_{code}" for code in rows.OF_BACKUPS), "backup"),
    **dict.fromkeys(("data_damaged", "data_unsaved", "data_index"), "database"),
    "clock_before": "clock",
    "memory": "memory",
    **dict.fromkeys(("hot", "load"), "processor"),
    "no_docker": "docker",
    **dict.fromkeys(("map", "left_out"), "maps"),
    **dict.fromkeys(health.CODES, "hotspot"),
    "updates": "updates",
}
"""By what is wrong, but for what is wrong with a container, which has its own subject."""
OF_A_PLACE = {"lizmap": "map_server", "postgis": "database"}
"""By service the subject of its container."""
ONLY_WHERE_THERE = ("backup", "hotspot")
"""What is not spoken of where a Pi does not have it."""
ONLY_TOLD = ("updates",)
"""What makes no Pi wrong: one without internet always has some."""


@dataclass(frozen=True)
class PiHealth:
    """How a Pi fares."""

    level: str
    """As in `rows.LEVELS`."""
    wrong: Sequence[Json]
    """Each with its subject, code and values, the worst first."""
    known: Sequence[str]
    """The subjects that the Pi tells of."""

    def of(self, subject: str) -> list[Json]:
        """Give what is wrong with one subject."""
        return [one for one in self.wrong if one["subject"] == subject]


def judge(name: str, look: Json, maps: Sequence[Json], more: Sequence[str], now: str) -> PiHealth:
    """Give how a Pi fares.

    `look` is what stack_info finds, `maps` what is known of the maps that everybody may see, `more` are codes of what
    is wrong besides.
    """
    asked = {"results": [_as_asked(one) for one in maps]}
    row = rows.row_of(name, look, asked, None, now)
    found = [told for one in row["wrong"] for told in _told(one, row)]
    found += [_wrong("attention", SUBJECT_OF[code], code) for code in more]
    found.sort(key=lambda one: (rows.LEVELS.index(one["level"]), one["code"] in ONLY_TOLD))
    counting = [one["level"] for one in found if one["code"] not in ONLY_TOLD]
    return PiHealth(counting[0] if counting else "fine", found, _known(row))


def _as_asked(one: Json) -> Json:
    """Give a map as the module published_map tells of it."""
    return {"item": one["title"], "verified": one["draws"], "checks": [{"detail": "it does not draw"}]}


def _wrong(level: str, subject: str, code: str, **values: Any) -> Json:
    return {"level": level, "subject": subject, "code": code, "values": values}


def _told(one: Json, row: Json) -> list[Json]:
    """Give what a visitor is told of what is wrong."""
    code, level, values = one["code"], one["level"], one["values"]
    services = {entry["name"]: entry["service"] for entry in row["containers"]}
    if code == "missing":
        names = values["containers"].split(", ")
        gone = [service.name for service in SERVICES if service.container in names]
        return [_wrong(level, OF_A_PLACE[name], "missing") for name in gone]
    if "container" in values:
        return [_wrong(level, OF_A_PLACE.get(services.get(values["container"], ""), "docker"), code)]
    if code not in SUBJECT_OF:
        return [_wrong(level, "docker", "not_known")]
    kept = {"map": ("map",), "hot": ("celsius",)}.get(code, ())
    return [_wrong(level, SUBJECT_OF[code], code, **{name: values[name] for name in kept})]


def _known(row: Json) -> list[str]:
    knows: Mapping[str, bool] = {
        "power": row["under_voltage"] is not None,
        "maps": bool(row["maps"]),
        "backup": bool(row["backups"]),
        "hotspot": row["hotspot"] is not None,
        # Of these a Pi without Docker tells nothing.
        "database": row["docker"] is not None,
        "map_server": row["docker"] is not None,
    }
    return [subject for subject in SUBJECTS["en"] if knows.get(subject, True)]


def sentence(one: Json, language: str) -> str:
    """Say what is wrong, and what helps."""
    subject = SUBJECTS[language][one["subject"]]
    return SENTENCES[language][one["code"]].format(subject=subject, **one["values"])


def for_programs(health: PiHealth, at: str) -> Json:
    """Give the health for programs, without a name of anything."""
    wrong = [{key: one[key] for key in ("level", "subject", "code")} for one in health.wrong]
    return {"version": 1, "at": at, "level": health.level, "wrong": wrong}
