"""What runs on a Pi for one who sits at the laptop: it finds our container, or says that there is none. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.poppyfield.containers.spec import MANAGED, RESOURCE

SHELL = 'exec "$(command -v bash || command -v sh)"'
LINES = 100
SECONDS_BETWEEN_LOOKS = 5
END_OF_LOOK = "\x1e"  # ASCII's record separator


def shell(service: Mapping[str, Any], docker: str, *, as_root: bool) -> str:
    """Give the script that opens a shell in a service's container."""
    user = "root" if as_root else service["user"]
    chosen = f" --user {shlex.quote(user)}" if user else ""
    command = f'exec {docker} exec --interactive --tty{chosen} "$container" sh -c {shlex.quote(SHELL)}'
    return f"{_find(service, docker, every=False)}\n{command}\n"


def logs(service: Mapping[str, Any], docker: str) -> str:
    """Give the script that follows a service's log."""
    command = f'exec {docker} logs --follow --timestamps --tail {LINES} "$container" 2>&1'
    return f"{_find(service, docker, every=True)}\n{command}\n"


def watch(docker: str) -> str:
    """Give the script that looks at the Pi and our containers every few seconds; each look ends with END_OF_LOOK.

    It ends when nobody reads any more: `date` cannot write then.
    """
    ours = f"--filter {shlex.quote(f'label={MANAGED}=true')}"
    look = (
        "uptime",
        "free --mega",
        "df -h /",
        "! command -v vcgencmd > /dev/null || vcgencmd measure_temp",
        f"{docker} ps --all {ours} --format 'table {{{{.Names}}}}\\t{{{{.Status}}}}'",
        f"{docker} ps --quiet {ours} | xargs -r {docker} stats --no-stream",
        f"printf '{END_OF_LOOK}'",
        f"sleep {SECONDS_BETWEEN_LOOKS}",
    )
    return "\n".join(("while date; do", *look, "done\n"))


def _find(service: Mapping[str, Any], docker: str, *, every: bool) -> str:
    """Find the container by its name, where it is ours."""
    name = str(service["container"])
    filters = (f"name=^/?{re.escape(name)}$", f"label={MANAGED}=true", f"label={RESOURCE}={service['name']}")
    chosen = " ".join(f"--filter {shlex.quote(one)}" for one in filters)
    missing = f"There is no {'' if every else 'running '}container {name} of Poppyfield on this Pi."
    return (
        f"container=$({docker} ps --quiet --no-trunc{' --all' if every else ''} {chosen}) || exit 1\n"
        f'[ -n "$container" ] || {{ echo {shlex.quote(missing)} >&2; exit 1; }}'
    )
