"""The page on which a Pi tells how it fares, as a visitor reads it, and the look at the Pi that writes it."""

from __future__ import annotations

import html
import re

import requests
from testinfra.host import Host

from emulated_pi import MAP_URL, REQUEST_SECONDS

PROGRAM = "/usr/local/lib/poppyfield/page"
WORK = "/run/poppyfield-page-work"
TIMER = "poppyfield-page.timer"
STILL_LOOKS = (
    "'while systemctl show --property=ActiveState poppyfield-page.service | grep -q activating; do sleep 1; done'"
)


def page(language: str = "en") -> str:
    """Return what the page says, as text."""
    answer = requests.get(f"{MAP_URL}/status/{language}", timeout=REQUEST_SECONDS)
    assert answer.status_code == 200, answer.text
    return html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", answer.text, flags=re.DOTALL))


def look(pi: Host) -> None:
    """Have the Pi looked at now, as its timer does, and all of it; not while the timer has it looked at."""
    places = f"--property=ReadWritePaths={WORK} --property=ReadWritePaths=/run/poppyfield-page"
    unit = f"systemd-run --quiet --wait --collect --property=ProtectSystem=strict {places}"
    pi.check_output(f"systemctl stop {TIMER} && timeout 900 sh -c {STILL_LOOKS}")
    try:
        pi.check_output(f"{unit} python3 -I -X pycache_prefix={WORK}/python {PROGRAM} --now")
    finally:
        pi.check_output(f"systemctl start {TIMER}")
