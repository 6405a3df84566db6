"""What Lizmap Web Client wrote into its errors.log, for a message to quote. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from ansible.module_utils.poppyfield.containers.services import LIZMAP
from ansible.module_utils.poppyfield.projects.words import plain

PATH = "/tmp/log/errors.log"  # noqa: S108 - in Lizmap's container, in memory
# The container's root may not read what others alone may.
COMMAND = f"docker exec --user {LIZMAP.user} {LIZMAP.container} tail -n 20 {PATH}"
LOOK = f"`{COMMAND}` on the Pi shows what Lizmap wrote of it."
MOST = 3
LONGEST = 400
AGE = timedelta(minutes=15)
"""What was written longer before the last is of something else."""
BEGINNING = re.compile(r"^(?P<when>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\t", re.MULTILINE)
# As Lizmap's mainconfig.ini.php has it: %date%, [%code%], %msg%, %file%, %line%; a message may have lines of its own.
BODY = re.compile(r"\[[^\]\t]*\]\t(?P<words>.*)\t[^\t]+\t\d+\s*", re.DOTALL)


def last_errors(text: str) -> list[str]:
    """Give the last different entries of the end of a log, the newest last: when, and the words alone."""
    found: dict[str, datetime] = {}
    for beginning, body in zip(*[iter(BEGINNING.split(text)[1:])] * 2, strict=True):
        entry = BODY.fullmatch(body)
        words = plain(entry["words"] if entry else body)
        shown = words if len(words) <= LONGEST else f"{words[:LONGEST]}…"
        # One that came again is as new as its last time.
        found.pop(shown, None)
        found[shown] = datetime.fromisoformat(beginning)
    newest = max(found.values(), default=datetime.min)
    return [f"{when}: {words}" for words, when in found.items() if newest - when <= AGE][-MOST:]
