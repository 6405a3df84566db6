"""Docker's daemon.json, which may be the operator's: his keys stay, ours are added, contradictions are named. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

PATH = "/etc/docker/daemon.json"
DRIVER, OPTIONS, LIVE_RESTORE, ROOT = "log-driver", "log-opts", "live-restore", "data-root"
VARIABLES = {
    LIVE_RESTORE: "docker_engine_live_restore",
    "max-size": "docker_engine_log_max_size",
    "max-file": "docker_engine_log_max_files",
}
HARDENING = "hardening_engine"
"""The variable that asks for the keys below, whose values nobody chooses."""
HARDENED: Mapping[str, Any] = {
    "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 65536, "Soft": 65536}},
    "icc": False,
    "no-new-privileges": True,
}
SOCKETS = ("unix:///var/run/docker.sock", "unix:///run/docker.sock", "unix://", "fd://")

FLAGS = {
    "--live-restore": LIVE_RESTORE,
    "--log-driver": DRIVER,
    "--log-opt": OPTIONS,
    "--default-ulimit": "default-ulimits",
    "--icc": "icc",
    "--no-new-privileges": "no-new-privileges",
}
"""Of the engine's command line, which may not say what the file says, too."""
DEFAULT_ROOT = "/var/lib/docker"
"""Where Docker works unless it is told otherwise."""

Json = dict[str, Any]


class SettingsError(Exception):
    """A file that Docker can't read either, in a sentence."""


def of_variables(values: Mapping[str, Any]) -> Json:
    """Give our keys for the variables of a host, as the role docker_engine has them."""
    return {
        **(HARDENED if values[HARDENING] else {}),
        LIVE_RESTORE: values["docker_engine_live_restore"],
        DRIVER: "local",
        OPTIONS: {
            "max-size": values["docker_engine_log_max_size"],
            "max-file": str(values["docker_engine_log_max_files"]),
        },
    }


def read(text: str) -> Json:
    """Read the file; one that is empty, or not there, has no keys."""
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError as error:
        # json's message tells the place and nothing of the content, which may hold passwords.
        raise SettingsError(
            f"{PATH} is not valid JSON ({error}), so Docker would not start with it. Correct it, or move it away"
        ) from error
    if not isinstance(found, dict):
        raise SettingsError(f"{PATH} must hold one JSON object, as in {{}}. Correct it, or move it away")
    return found


def merged(there: Mapping[str, Any], ours: Mapping[str, Any]) -> Json:
    """Give the file's keys with ours among them."""
    options = there.get(OPTIONS)
    return {
        **there,
        **ours,
        OPTIONS: {**(options if isinstance(options, dict) else {}), **ours[OPTIONS]},
    }


def lacks(text: str, ours: Mapping[str, Any]) -> bool:
    """Tell a file that has not all of our keys, also because it can't be read."""
    try:
        there = read(text)
    except SettingsError:
        return True
    return merged(there, ours) != there


def text_of(settings: Mapping[str, Any]) -> str:
    """Give a file's content."""
    return json.dumps(settings, indent=4, ensure_ascii=False) + "\n"


def shown(settings: Mapping[str, Any], ours: Mapping[str, Any]) -> Json:
    """Give what of a file may be shown: the values of our keys."""
    options = settings.get(OPTIONS)
    return {
        **{key: settings[key] for key in ours if key in settings and key != OPTIONS},
        OPTIONS: {key: options[key] for key in ours[OPTIONS] if key in options} if isinstance(options, dict) else {},
    }


def problems(there: Mapping[str, Any], ours: Mapping[str, Any], root: str) -> Iterator[str]:
    """Give each key that contradicts one that we need; `root` is the data folder of an engine that answers."""
    if there.get(DRIVER, ours[DRIVER]) != ours[DRIVER]:
        yield (
            f"{PATH}: {DRIVER} is {there[DRIVER]}, but Poppyfield needs {ours[DRIVER]}, so that logs never fill the "
            f"card. Remove {DRIVER} from the file, and the {OPTIONS} that belong to it; a container that needs another "
            f"one can have it for itself."
        )
    elif not _has_ours(there, ours):
        yield from _own_values(there, ours)
    yield from _softer_values(there, ours)
    yield from _unusable(there)
    if root and merged(there, ours) != there and there.get(ROOT, root) != root:
        yield (
            f"{PATH}: {ROOT} is {there[ROOT]}, but the engine works in {root}, and this run would restart it: "
            f"its containers and volumes would be out of sight. Move them and restart Docker yourself, or remove "
            f"{ROOT} from the file."
        )


def startup_problems(there: Mapping[str, Any], ours: Mapping[str, Any], units: str, *, swarm: bool) -> Iterator[str]:
    """Give why the engine would not start again with our keys: its units' text, and whether it is in a swarm."""
    if merged(there, ours) == there:
        return
    words = {word.partition("=")[0].strip("\"'") for line in units.splitlines() for word in _words(line)}
    for flag, key in FLAGS.items():
        if flag in words and key in ours:
            yield (
                f"Docker's command line has {flag} (systemctl cat docker, /etc/default/docker), and does not start "
                f"when {PATH} has {key}, too, which Poppyfield needs there. Remove the option."
            )
    if swarm and ours[LIVE_RESTORE]:
        yield (
            f"Docker is in a swarm, and does not start with {LIVE_RESTORE}. Set docker_engine_live_restore to false, "
            f"or leave the swarm (sudo docker swarm leave)."
        )


def _words(line: str) -> list[str]:
    # Of a variable, as in DOCKER_OPTS="--log-driver=journald", what comes after the name.
    text = "" if line.lstrip().startswith(("#", ";")) else line
    return text.partition("=")[2].split()


def data_root(text: str) -> str:
    """Give the folder that an engine with this file works in; the usual one where the file can't be read."""
    try:
        found = read(text).get(ROOT)
    except SettingsError:
        return DEFAULT_ROOT
    return found if isinstance(found, str) and found.startswith("/") else DEFAULT_ROOT


def _has_ours(there: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Tell a file that an earlier run has written: it has all of our keys, maybe with the values of that time."""
    options = there.get(OPTIONS)
    return set(ours) - set(HARDENED) <= set(there) and isinstance(options, dict) and set(ours[OPTIONS]) <= set(options)


def _own_values(there: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    options = there.get(OPTIONS) or {}
    if not isinstance(options, dict):
        yield f"{PATH}: {OPTIONS} is no object, so Docker would not start with it. Correct it."
        return
    for where, key, value, wanted in (
        ("", LIVE_RESTORE, there.get(LIVE_RESTORE), ours[LIVE_RESTORE]),
        *((f"{OPTIONS}, ", key, options.get(key), wanted) for key, wanted in ours[OPTIONS].items()),
    ):
        if value is not None and value != wanted:
            yield (
                f"{PATH}: {where}{key} is {json.dumps(value)}, but {VARIABLES[key]} says {json.dumps(wanted)}. Give "
                f"the variable that value, or remove the key from the file."
            )


def _softer_values(there: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    for key in HARDENED.keys() & ours.keys() & there.keys():
        if there[key] != ours[key]:
            yield (
                f"{PATH}: {key} is {json.dumps(there[key])}, but {HARDENING} needs {json.dumps(ours[key])}. Remove the "
                f"key from the file, or set {HARDENING} to false."
            )


def _unusable(there: Mapping[str, Any]) -> Iterator[str]:
    if there.get("iptables") is False:
        yield f"{PATH}: iptables is false, so no port of a container could be reached. Remove it from the file."
    if there.get("userns-remap"):
        yield (
            f"{PATH}: userns-remap gives containers other users than the owners of their data. Remove it from the "
            f"file; Docker then no longer shows the containers that were made with it."
        )
    hosts = there.get("hosts")
    if isinstance(hosts, list) and not any(host in SOCKETS for host in hosts):
        yield f"{PATH}: hosts has no {SOCKETS[0]}, which Poppyfield needs. Add it."
