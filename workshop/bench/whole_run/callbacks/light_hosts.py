# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Record what a host answers over SSH, or answer it again for many: light hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: light_hosts
type: aggregate
short_description: Record what a host answers, or answer it again
description:
  - With E(POPPYFIELD_RECORD), notes each command that is executed over SSH and its answer, in that file.
  - With E(POPPYFIELD_REPLAY), no host is asked. The n-th command of each host gets the n-th answer of that file. How
    many a host has asked for is counted in the folder E(POPPYFIELD_REPLAY_COUNTS).
  - The plugin of the connection stays Ansible's own, so all of the controller's work but ssh itself is done.
requirements:
  - enable in configuration
"""

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.callback import CallbackBase
from ansible.plugins.connection.ssh import Connection

execute = Connection.exec_command
RANDOM_PARTS = re.compile(r"BECOME-SUCCESS-[a-z]+|sudo via ansible, key=[a-z]+|ansible-tmp-[0-9.]+-[0-9]+-[0-9]+")


def recorded(self: Any, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
    """Execute a command, and note it with its answer."""
    code, stdout, stderr = execute(self, cmd, in_data, sudoable)
    line = {
        "command": cmd,
        "code": code,
        "stdout": base64.b64encode(stdout).decode(),
        "stderr": base64.b64encode(stderr).decode(),
    }
    with Path(os.environ["POPPYFIELD_RECORD"]).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    return code, stdout, stderr


def replayed(self: Any, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
    """Give the next recorded answer of this host."""
    name = self._play_context.remote_addr
    count = Path(os.environ["POPPYFIELD_REPLAY_COUNTS"], name)
    number = int(count.read_text("utf-8")) if count.exists() else 0
    count.write_text(str(number + 1), "utf-8")
    lines = Path(os.environ["POPPYFIELD_REPLAY"]).read_text("utf-8").splitlines()
    if number >= len(lines):
        raise AnsibleConnectionFailure(f"{name} is asked for more than was recorded ({len(lines)} answers)")
    line = json.loads(lines[number])
    if RANDOM_PARTS.sub("", cmd) != RANDOM_PARTS.sub("", line["command"]):
        raise AnsibleConnectionFailure(
            f"{name} is asked for something else than was recorded as number {number}: {cmd}"
        )
    stdout, stderr = (base64.b64decode(line[stream]) for stream in ("stdout", "stderr"))
    # A temporary folder has the name that this run has given it.
    for recorded_part, part in zip(RANDOM_PARTS.findall(line["command"]), RANDOM_PARTS.findall(cmd), strict=False):
        stdout = stdout.replace(recorded_part.encode(), part.encode())
    return line["code"], stdout, stderr


def no_files(self: Any, in_path: str, out_path: str) -> None:
    """Refuse to take or give a file: a run that changes nothing carries none."""
    raise AnsibleConnectionFailure(f"A light host has no files: {in_path} -> {out_path}")


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """Ansible's workers are made after this, and so record or replay, too."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "light_hosts"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        if "POPPYFIELD_RECORD" in os.environ:
            Connection.exec_command = recorded
        elif "POPPYFIELD_REPLAY" in os.environ:
            Connection.exec_command = replayed
            Connection.put_file = Connection.fetch_file = no_files
            Connection.reset = lambda self: None
