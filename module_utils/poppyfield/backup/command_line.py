"""The command line of the backup: `/usr/local/lib/poppyfield/backup` on a Pi.

restic keeps the backups, and is fed by streams. One backup is several snapshots of one run, and counts from the moment
on when the last of them, the record, is there, which names the others. Whatever ends a run before leaves snapshots
without a record, which the next run removes.

Each command imports what it needs alone: on a Pi, reading all of it takes longer than `status` itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from ansible.module_utils.poppyfield.backup.settings import SETTINGS, BackupError, Settings
from ansible.module_utils.poppyfield.backup.this_pi import (
    LAST_MINUTE,
    PARTS,
    is_installed,
    locked,
    told_in_a_sentence,
)

WITHOUT_LAST_MINUTE = {
    True: ", without a last minute: this Pi is to save none (backup_wal)",
    False: ", without a last minute: none is saved on another machine",
}
"""By whether the target is in this Pi."""


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Poppyfield's backup")
    parser.add_argument("--settings", type=Path, default=Path(SETTINGS))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="make a backup now").add_argument("--by-timer", action="store_true")
    commands.add_parser("copy-sqlite").add_argument("path")
    commands.add_parser("clear-up", help="take away what a run that was ended has left")
    one = commands.add_parser("prove", help="restore the newest backup for trial, and compare it with what was saved")
    one.add_argument("--from", dest="target", default="")
    one = commands.add_parser("prove-copy", help="the same without a Pi, for backups in a folder of this machine")
    one.add_argument("--folder", type=Path, required=True, help="what is the target: it has poppyfield/ in it")
    one.add_argument("--host", required=True)
    one.add_argument("--password-file", type=Path, required=True)
    one.add_argument("--image", default="", help="of the database; else the newest of this machine's architecture")
    one.add_argument("--scratch", type=Path, default=Path("/var/tmp"), help="where there is room")  # noqa: S108
    commands.add_parser("status", help="how the newest backups went")
    commands.add_parser("take-back", help="put back what a restore has set aside")
    commands.add_parser("finish", help="keep what was restored")
    commands.add_parser("offers", help="which backups are from before this card")
    commands.add_parser("decline", help="go on without the backups from before this card")
    for command, words_of_help in (("find", "which backup a restore would take"), ("restore", "put a backup in place")):
        one = commands.add_parser(command, help=words_of_help)
        one.add_argument("--from", dest="target", required=True)
        one.add_argument("--time", default="latest")
        one.add_argument("--last-minute", action="store_true", help="the databases as they were last")
        one.add_argument("--table", default="", help="one table alone, such as gis.public.trees")
        one.add_argument("--project", default="", help="one project alone with its folder, such as fields/fields.qgs")
        one.add_argument("--as", dest="new", default="", help="beside what is in place, under this name")
        if command == "restore":
            one.add_argument("--run", default="")
            one.add_argument("--database", default="")
    return parser.parse_args(words)


def act(asked: argparse.Namespace) -> int:
    """Do what was asked; give the exit status."""
    if asked.command == "copy-sqlite":
        # A run of an earlier release, which goes on while this one is installed, asks for it.
        from ansible.module_utils.poppyfield.backup.sqlite_copies import copy_sqlite

        copy_sqlite(asked.path, sys.stdout.buffer)
        return 0
    if asked.command == "prove-copy":
        from ansible.module_utils.poppyfield.backup.proving import prove_copy

        return prove_copy(asked.folder, asked.host, asked.password_file, asked.image, asked.scratch)
    if getattr(asked, "table", "") or getattr(asked, "project", ""):
        return hand_over_part(asked)
    return act_with(Settings.read(asked.settings), asked)


def act_with(settings: Settings, asked: argparse.Namespace) -> int:
    """Do what was asked of all that a backup holds; give the exit status."""
    is_near = getattr(asked, "last_minute", False) and settings.target(asked.target) in settings.near
    if is_near and is_installed(LAST_MINUTE):
        return hand_over(asked)
    if asked.command == "run":
        from ansible.module_utils.poppyfield.backup.backing_up import run_backups

        return run_backups(settings, by_timer=asked.by_timer)
    if asked.command == "prove":
        from ansible.module_utils.poppyfield.backup.proving import prove_backups

        return prove_backups(settings, asked.target)
    if asked.command == "clear-up":
        from ansible.module_utils.poppyfield.backup.trial_container import clear_up

        clear_up(settings)
    elif asked.command == "status":
        from ansible.module_utils.poppyfield.backup.outcomes import status

        print(status(settings))
    elif asked.command in ("take-back", "finish"):
        from ansible.module_utils.poppyfield.backup import restore_journal

        with locked(settings, wait=True):
            print({"take-back": restore_journal.take_back, "finish": restore_journal.finish}[asked.command](settings))
    elif asked.command == "restore":
        put_back(settings, asked)
    else:
        look_for(settings, asked)
    return 0


def look_for(settings: Settings, asked: argparse.Namespace) -> None:
    """Say which backups there are for this card, or go on without them."""
    from ansible.module_utils.poppyfield.backup import finding

    if asked.command == "offers":
        print(json.dumps(finding.offers(settings)))
    elif asked.command == "find":
        found = finding.find(settings, asked.target, asked.time)
        is_in_pi = settings.target(asked.target) in settings.near
        said = f"{found['said']}{WITHOUT_LAST_MINUTE[is_in_pi] if asked.last_minute else ''}"
        print(json.dumps({**found, "said": said}))
    else:
        with locked(settings, wait=True):
            print(finding.decline(settings))


def put_back(settings: Settings, asked: argparse.Namespace) -> None:
    """Put a backup in place, or one of its databases beside the others."""
    from ansible.module_utils.poppyfield.backup import finding, restoring

    run = asked.run or finding.find(settings, asked.target, asked.time)["run"]
    if asked.new:
        restoring.restore_beside(settings, asked.target, run, asked.database, asked.new)
    else:
        print(json.dumps(restoring.restore(settings, asked.target, run)))


def hand_over(asked: argparse.Namespace) -> int:
    """Have the program of the last minute do what was asked."""
    if asked.time != "latest" or getattr(asked, "new", "") or getattr(asked, "database", ""):
        raise BackupError("--last-minute goes with no --time, --database or --as. Nothing was changed.")
    run = ("--run", asked.run) if getattr(asked, "run", "") else ()
    words = ("--settings", str(asked.settings), asked.command, "--from", asked.target, *run)
    return run_part(LAST_MINUTE, words)


def hand_over_part(asked: argparse.Namespace) -> int:
    """Have the program that restores one table or one project do what was asked."""
    if asked.last_minute or getattr(asked, "database", ""):
        raise BackupError("--table and --project go with no --last-minute or --database. Nothing was changed.")
    from ansible.module_utils.poppyfield.backup import restore_part

    words = [f"--{name}={value}" for name in ("time", "run", "table", "project") if (value := getattr(asked, name, ""))]
    command = ("--settings", str(asked.settings), asked.command, "--from", asked.target, *words, f"--as={asked.new}")
    return restore_part.main(command)


def run_part(part: str, words: Sequence[str]) -> int:
    """Run a part that not every Pi has, which is a program by itself."""
    return int(import_module(f"{__package__}.{part}").main(words))


def main(words: Sequence[str] | None = None) -> int:
    """Run the program, or the part of it that the first word names; a failure is one sentence."""
    words = sys.argv[1:] if words is None else words
    if words and words[0] in PARTS:
        return run_part(words[0], words[1:])
    return told_in_a_sentence(lambda: act(arguments(words)))
