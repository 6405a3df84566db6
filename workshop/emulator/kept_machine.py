"""A whole machine as it was at some time, kept so that another can begin there: its card, and what logs in to it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from workshop.emulator import loader, login, options
from workshop.emulator import machine_options as o
from workshop.emulator.options import EmulatorError, Pi
from workshop.emulator.whole_machine import copy_sparse, has_power, say, whole_folder


def keep(machines: Path, name: str, target: Path) -> None:
    """Keep a machine that is off, in a folder that is not there yet."""
    folder = machines / name
    if has_power(folder):
        raise EmulatorError(f"{name} is on, and its card not whole: stop it first.")
    target.parent.mkdir(parents=True, exist_ok=True)
    files = login.StateFiles(Path(json.loads((folder / loader.DESCRIPTION).read_text(encoding="utf-8"))["state_dir"]))
    with whole_folder(target) as partial:
        copy_sparse(folder / o.CARD, partial / o.CARD)
        for path in (files.key, files.key.with_suffix(".pub"), files.password, files.known_hosts):
            shutil.copy(path, partial)
    say(f"kept {name} in {target}")


def bring_back(source: Path, machines: Path, pi: Pi) -> None:
    """Make a machine, which has no power yet, of one that was kept. Its host name stays that of the one that was."""
    state = Path(pi.state_dir)
    state.mkdir(parents=True, exist_ok=True)
    kept, files = login.StateFiles(source), login.StateFiles(state)
    for path in (kept.key, kept.key.with_suffix(".pub"), kept.password):
        shutil.copy(path, state)
    host_key = kept.known_hosts.read_text(encoding="utf-8").partition(" ")[2]
    files.known_hosts.write_text(options.known_hosts_line(pi.ssh_port, host_key), encoding="utf-8")
    with whole_folder(machines / pi.name) as partial:
        copy_sparse(source / o.CARD, partial / o.CARD)
        (partial / loader.LOCK).touch()
        (partial / loader.DESCRIPTION).write_text(json.dumps(asdict(pi)), encoding="utf-8")
    say(f"made {pi.name} of {source}")
