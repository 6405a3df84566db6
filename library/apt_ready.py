#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: wait for apt's lock, and finish what an interrupted dpkg left."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: apt_ready
short_description: Wait until packages can be installed
version_added: "0.1.0"
description:
  - Waits while another program, such as the system's own updates, holds a lock of apt or dpkg, and says for whom it
    waited. Fails with the name of that program when it takes too long.
  - Finishes what an interrupted dpkg left (C(dpkg --configure -a)), without which nothing can be installed, and says
    so. Configuration files that somebody has changed stay.
  - Compares the files of these packages with what dpkg unpacked (C(dpkg --verify)), since a loss of power leaves files
    full of zeros in packages that then count as installed. Packages with such files are installed again.
options:
  timeout:
    description: How many seconds to wait.
    type: int
    default: 600
attributes:
  check_mode:
    support: full
    description: Waits for nobody, and tells what would be finished.
  diff_mode:
    support: none
    description: There is no difference to show.
  idempotent:
    support: full
    description: Does nothing where nobody holds a lock and dpkg has finished.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Wait for updates that are under way
  apt_ready:
    timeout: 600
"""

RETURN = r"""
finished:
  description: The packages that dpkg was interrupted at.
  returned: success
  type: list
  elements: str
renewed:
  description: Of these the packages with damaged files, which were installed again.
  returned: success
  type: list
  elements: str
waited_for:
  description: Who held a lock, empty when nobody did.
  returned: success
  type: str
"""

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.host.package_locks import LOCKS, candidates, described, half_done, is_damaged
from ansible.module_utils.poppyfield.host.printable import printable

ARGUMENTS: dict[str, Any] = {"timeout": {"type": "int", "default": 600}}
PROC = Path("/proc")
JOURNAL = Path("/var/lib/dpkg/updates")
PAUSE = 2
FINISH = ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"]
RENEW = ["apt-get", "install", "--reinstall", "--yes", "--quiet", "-o", "Dpkg::Options::=--force-confold"]
LAST_LETTERS = 600


class NotReadyError(Exception):
    """Why packages can't be installed, in a sentence."""


def holder(locks: tuple[str, ...] = LOCKS) -> str:
    """Say which program holds which lock; empty when nobody does."""
    inodes = {}
    for path in locks:
        with suppress(OSError):
            inodes[Path(path).stat().st_ino] = path
    with suppress(OSError):
        for process, path in candidates((PROC / "locks").read_text("utf-8"), inodes):
            if path in _open_files(process):
                command = (PROC / str(process) / "cmdline").read_bytes().replace(b"\0", b" ")
                return f"{described(process, printable(command.decode('utf-8', 'replace')))}, which holds {path}"
    return ""


def _open_files(process: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for entry in (PROC / str(process) / "fd").iterdir():
            with suppress(OSError):
                found.add(str(entry.readlink()))
    return found


def wait(timeout: int) -> str:
    """Wait while somebody holds a lock; give whom."""
    deadline, waited_for = time.monotonic() + timeout, ""
    while found := holder():
        waited_for = found
        if time.monotonic() >= deadline:
            raise NotReadyError(
                f"For {timeout} seconds (raspberry_pi_apt_timeout) no package could be installed because of {found}. "
                f"Let it end, which sudo journalctl -f shows, then run again"
            )
        time.sleep(PAUSE)
    return waited_for


def interrupted() -> list[str]:
    """Give the packages that dpkg was interrupted at."""
    form = "${Package}\t${db:Status-Status}\n"
    done = subprocess.run(["dpkg-query", "--show", "--showformat", form], capture_output=True, text=True, check=False)
    journal = [path.name for path in JOURNAL.iterdir()] if JOURNAL.is_dir() else []
    return half_done(done.stdout, journal)


def finish() -> None:
    """Finish what dpkg was interrupted at."""
    if said := _refusal(FINISH):
        raise NotReadyError(
            f"dpkg was interrupted, and dpkg --configure -a does not finish it: {said}. On the Pi, sudo apt-get "
            f"--fix-broken install may help"
        )


def renew_damaged(packages: list[str]) -> list[str]:
    """Install those packages again of which a file is not what dpkg unpacked; give them."""
    damaged = [name for name in packages if is_damaged(_run(["dpkg", "--verify", name]).stdout)]
    if damaged and (said := _refusal([*RENEW, *damaged])):
        names = " ".join(damaged)
        raise NotReadyError(
            f"A loss of power has damaged files of {names}, and they can't be installed again: {said}. Give the Pi "
            f"internet and run again, or on the Pi: sudo apt-get update && sudo apt-get install --reinstall {names}"
        )
    return damaged


def _refusal(command: list[str]) -> str:
    """Run a command; give what it said where it failed."""
    done = _run(command)
    return (printable(done.stderr or done.stdout).strip()[-LAST_LETTERS:] or "nothing") if done.returncode else ""


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        waited_for = "" if module.check_mode else wait(module.params["timeout"])
        # What another program is just installing only looks interrupted.
        packages = [] if module.check_mode and holder() else interrupted()
        renewed = []
        if packages and not module.check_mode:
            finish()
            renewed = renew_damaged(packages)
    except NotReadyError as error:
        module.fail_json(msg=f"{error}.")
    except OSError as error:
        module.fail_json(msg=f"dpkg can't be run: {error.strerror}. Is this Debian?")
    if waited_for:
        module.warn(f"Waited for {waited_for}.")
    if packages:
        done = "would be" if module.check_mode else "was"
        module.warn(f"dpkg had been interrupted at {', '.join(packages)}, which {done} finished (dpkg --configure -a).")
    if renewed:
        module.warn(f"A loss of power had damaged files of {', '.join(renewed)}, which was installed again.")
    module.exit_json(changed=bool(packages), finished=packages, renewed=renewed, waited_for=waited_for)


if __name__ == "__main__":
    main()
