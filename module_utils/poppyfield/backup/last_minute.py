"""The last minute: the WAL of a Pi's database is saved on its targets within a minute of a commit, and restored.

A base copy of the cluster (pg_basebackup) and the WAL since (pg_receivewal) lie in two repositories of restic beside
the backups, `NAME.base` and `NAME.wal`, encrypted with the same password. For each target there is a replication slot,
which moves on only when the WAL before it is on the target; PostgreSQL gives it up before it fills the card. The WAL
passes through the memory of the database's container, never over the card.

A part of the program of the backup, with a service of systemd, on Pis that are to save it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup import backup_runs, database_server, finding
from ansible.module_utils.poppyfield.backup.backup_runs import RECORD, RECORD_NAME, run_of, told
from ansible.module_utils.poppyfield.backup.content_queries import NUMBERS
from ansible.module_utils.poppyfield.backup.database_server import globals_dump, in_postgis, psql
from ansible.module_utils.poppyfield.backup.outcomes import is_new
from ansible.module_utils.poppyfield.backup.repository import BackupRepository
from ansible.module_utils.poppyfield.backup.restoring import put_in_place
from ansible.module_utils.poppyfield.backup.room import SPARE_BYTES, check_disks
from ansible.module_utils.poppyfield.backup.saved_content import DatabaseSession
from ansible.module_utils.poppyfield.backup.settings import SETTINGS, AbsentError, BackupError, Json, Settings
from ansible.module_utils.poppyfield.backup.sql import connection, literal
from ansible.module_utils.poppyfield.backup.streams import piped
from ansible.module_utils.poppyfield.backup.targets import mounted, source_of, unmount
from ansible.module_utils.poppyfield.backup.this_pi import do, locked, read, told_in_a_sentence, write
from ansible.module_utils.poppyfield.backup.trial_container import folder_like, remove_trial, trial_command, wait_for

EVERY = 30
"""Seconds between two looks. With the seconds that a save takes, they are what a dead card costs at most."""
SEGMENT = 16 << 20
"""Bytes of a file of the WAL, as initdb makes them."""
MOST_AT_ONCE = 2 * SEGMENT
"""That are in the container's memory at one time; its /tmp has 64 MB."""
BASE_AGE = timedelta(days=7)
BASE_WAL = 512 << 20
"""A base copy is renewed when it is that old, or has that many bytes of WAL after it, which a restore plays again."""
TIDY_EVERY = timedelta(hours=1)
LEAST_FREE = 512 << 20
"""Below this, on the card, no WAL is kept for a target that is away."""
BASE_RATE = "10M"
"""Bytes a second that a base copy reads at most: the map comes first."""
ROLE = "poppyfield_wal"
"""May replicate and nothing else; the image lets it in by the socket in the container alone."""
SLOT = "poppyfield_"
BASE = "base"
BASE_NAME = "/base.tar"
WAL_NAME = "/wal.tar"
SPOOL = "/tmp/poppyfield-wal"  # noqa: S108 - memory of the container, which has one user
ARCHITECTURE_FILE = "cluster.architecture"
"""Where the image's entrypoint notes beside the cluster what made it."""
DATA = "/var/lib/postgresql/data"
RECOVERING = ".recovering"
"""The folder beside the data in which a cluster is recovered."""

LOOK = """
SELECT json_build_object(
    'system', (SELECT system_identifier::text FROM pg_control_system()),
    'timeline', (SELECT timeline_id FROM pg_control_checkpoint()),
    'flushed', (pg_current_wal_flush_lsn() - '0/0')::bigint,
    'slot', (SELECT (restart_lsn - '0/0')::bigint FROM pg_replication_slots
        WHERE slot_name = {slot} AND wal_status <> 'lost'),
    'bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database),
    'postgresql', current_setting('server_version_num')::int / 10000);
"""
DROP = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE {which} AND NOT active;\n"
MAKE = """
SELECT count(*) = 0 AS missing FROM pg_roles WHERE rolname = 'poppyfield_wal' \\gset
\\if :missing
CREATE ROLE poppyfield_wal LOGIN REPLICATION NOINHERIT;
\\endif
SELECT pg_create_physical_replication_slot({slot}, true);
"""
ADVANCE = "SELECT pg_replication_slot_advance({slot}, '{lsn}');"
CONNECTION = ("--host=/run/postgresql", f"--username={ROLE}", "--no-password")
# An empty file tells pg_receivewal where to begin. By the slot it would let it move on before the WAL is saved.
RECEIVE = """
set -eu
rm -rf "$1"
mkdir -m 0700 "$1"
: > "$1/$2.partial"
shift 2
exec timeout 300 pg_receivewal "$@"
"""
GIVE = 'tar --create --sort=name --mtime=@0 --file=- --directory="$1" . && rm -rf "$1"'
TAKE = ("tar", "--extract", "--numeric-owner", "--same-owner", "--file=-")


class WaitingError(BackupError):
    """Nothing is saved for now, and that is no failure."""


# Decisions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What PostgreSQL says. Positions in the WAL are in bytes from its beginning."""

    system: str
    """The identifier of the cluster, which another one never has."""
    timeline: int
    flushed: int
    """All that was committed lies before this."""
    slot: int | None
    """All before this is on the target; None where there is no slot, or one that PostgreSQL has given up."""
    bytes: int
    postgresql: int


@dataclass(frozen=True)
class WalPiece:
    """WAL that is saved, from the beginning of a segment on."""

    snapshot: str
    system: str
    first: int
    upto: int
    time: datetime


def piece_tag(first: int, upto: int) -> str:
    """Give the tag that tells what a snapshot holds."""
    return f"wal={first:x}-{upto:x}"


def pieces_of(snapshots: Iterable[Mapping[str, Any]]) -> list[WalPiece]:
    """Give the WAL that is saved, in its order."""
    found = []
    for snapshot in snapshots:
        for tag in snapshot.get("tags") or []:
            if match := re.fullmatch(r"wal=([0-9a-f]+)-([0-9a-f]+)", tag):
                first, upto = (int(number, 16) for number in match.groups())
                when = backup_runs.moment(snapshot["time"])
                found.append(WalPiece(snapshot["id"], run_of(snapshot), first, upto, when))
    return sorted(found, key=lambda piece: (piece.upto, -piece.first))


def connected(pieces: Iterable[WalPiece], system: str, begin: int) -> list[WalPiece]:
    """Give the pieces that a cluster needs from a position on, as far as they join."""
    found: list[WalPiece] = []
    reached = begin
    for piece in pieces:
        if piece.system == system and piece.first <= reached < piece.upto:
            found, reached = [*found, piece], piece.upto
    return found


def joins(base: Mapping[str, Any], pieces: Iterable[WalPiece], seen: Look) -> bool:
    """Tell whether all WAL from a base copy on is saved, up to what the slot keeps."""
    reached = max([base["begin"], *(piece.upto for piece in connected(pieces, base["system"], base["begin"]))])
    return seen.slot is not None and base["system"] == seen.system and reached >= max(seen.slot, base["end"])


def needless(pieces: Sequence[WalPiece], system: str, begin: int) -> list[str]:
    """Give the snapshots that a base copy does not need: of another cluster, from before it, or held by another one."""
    return [piece.snapshot for piece in pieces if piece.system != system or piece.upto <= begin or _held(piece, pieces)]


def _held(piece: WalPiece, pieces: Iterable[WalPiece]) -> bool:
    return any(
        other is not piece
        and other.system == piece.system
        and other.first <= piece.first
        and (other.upto, other.snapshot) > (piece.upto, piece.snapshot)
        for other in pieces
    )


def without(snapshots: Iterable[Mapping[str, Any]], run: str) -> list[str]:
    """Give the snapshots that do not belong to a base copy."""
    return [snapshot["id"] for snapshot in snapshots if run_of(snapshot) != run]


def segment_start(position: int) -> int:
    """Give where the segment begins in which a position lies."""
    return position - position % SEGMENT


def segment_name(timeline: int, position: int) -> str:
    """Give the name of PostgreSQL's file with this position."""
    number = position // SEGMENT
    return f"{timeline:08X}{number >> 8:08X}{number & 0xFF:08X}"


def lsn(position: int) -> str:
    """Write a position as PostgreSQL does."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def next_stop(saved: int, flushed: int) -> int:
    """Give up to where WAL is taken in one go."""
    return min(flushed, segment_start(saved) + MOST_AT_ONCE)


def slot_name(target: str) -> str:
    """Give the name of a target's slot: small letters, digits and _ are all that PostgreSQL takes."""
    return SLOT + re.sub(r"[^a-z0-9]", lambda letter: f"_{ord(letter[0]):02x}", target)


def base_is_due(base: Mapping[str, Any] | None, saved: int, now: datetime) -> bool:
    """Tell whether a base copy is to be made."""
    if not base:
        return True
    return saved - int(base["begin"]) > BASE_WAL or now - datetime.fromisoformat(base["time"]) > BASE_AGE


def why_not(
    base: Mapping[str, Any] | None, pieces: Sequence[WalPiece], here: Mapping[str, Any], newest: datetime
) -> str:
    """Say why the last minute can't be put in place here, and the newest backup is; empty where it can.

    `here` is this Pi's `postgresql` and `architecture`, `newest` the time of the newest backup.
    """
    if not base or not pieces:
        return "no last minute was saved there"
    for what, title in (("postgresql", "PostgreSQL"), ("architecture", "the architecture")):
        if base[what] != here[what]:
            return f"the last minute is of {title} {base[what]}, and this is {here[what]}"
    if pieces[-1].upto < base["end"]:
        return "of what was saved of the last minute something is missing"
    if pieces[-1].time < newest:
        return f"the last minute that was saved is of {told(pieces[-1].time)}, before that backup"
    return ""


def said_of(state: Mapping[str, Any]) -> str:
    """Say in a sentence how a target's last minute fares."""
    when = state.get("until")
    until = f"what was committed until {_second(datetime.fromisoformat(when))} is on it" if when else ""
    words = {
        "saving": until or "a base copy is being made; until it is there, backups alone count",
        "absent": f"it is away{', and ' + until if until else ''}; nothing stops, and it goes on when it is back",
    }
    return (
        f"The last minute: {words.get(state['state']) or state['why'].rstrip('.') + (f'; {until}' if until else '')}."
    )


def _second(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


# What is on this Pi -------------------------------------------------------------------------------------------------


def for_base(settings: Settings) -> Settings:
    """Give the settings of the repository with the base copies."""
    return replace(settings, host=f"{settings.host}.base", run_folder=f"{settings.run_folder}-base")


def for_wal(settings: Settings) -> Settings:
    """Give the settings of the repository with the WAL, which has a lock of its own: it waits for no backup."""
    return replace(settings, host=f"{settings.host}.wal", run_folder=settings.last_minute_folder)


def recovering(settings: Settings) -> Path:
    """Give the folder in which a cluster is recovered."""
    return Path(settings.data_folder).parent / RECOVERING


@contextmanager
def opened(settings: Settings, target: Mapping[str, Any], *, make: bool = False, unlock: bool = False) -> Iterator[Any]:
    """Give one of the repositories on a target."""
    with mounted(settings, target) as place:
        repository = BackupRepository(settings, place)
        repository.open(make=make, unlock=unlock)
        try:
            yield repository
        finally:
            repository.close()


def look(settings: Settings, slot: str) -> Look:
    """Ask PostgreSQL where it is."""
    return Look(**json.loads(psql(settings, LOOK.format(slot=literal(slot)))))


def in_container(settings: Settings, *words: str) -> list[str]:
    """Give the command that runs in the database's container."""
    return ["docker", "exec", "--user", "postgres", settings.postgis, *words]


def receive(settings: Settings, seen: Look, begin: int, stop: int) -> None:
    """Have WAL brought into the container's memory: from the segment of one position up to another."""
    options = ("--no-loop", "--no-sync", f"--directory={SPOOL}", f"--endpos={lsn(stop - 1)}")
    name = segment_name(seen.timeline, begin)
    do(in_container(settings, "bash", "-c", RECEIVE, "bash", SPOOL, name, *CONNECTION, *options))


def architecture(settings: Settings) -> str:
    """Give the architecture that the cluster was made on, as Debian names it."""
    return do(in_container(settings, "cat", f"{DATA}/{ARCHITECTURE_FILE}")).strip()


def newest_base(settings: Settings, target: Mapping[str, Any]) -> Json:
    """Give the record of the newest base copy that counts; nothing where there is none."""
    with opened(for_base(settings), target, make=True, unlock=True) as repository:
        runs = repository.runs()
        found: Json = json.loads(repository.dump(runs[-1].record, RECORD_NAME)) if runs else {}
    return found


def saved_pieces(settings: Settings, target: Mapping[str, Any]) -> list[WalPiece]:
    """Give the WAL that is on a target."""
    with opened(for_wal(settings), target, make=True, unlock=True) as repository:
        return pieces_of(repository.snapshots())


# Saving -------------------------------------------------------------------------------------------------------------


class BaseCopy(threading.Thread):
    """A base copy that is being made, while the WAL goes on being saved."""

    def __init__(self, settings: Settings, target: Mapping[str, Any], seen: Look) -> None:
        super().__init__(daemon=True)
        self._settings, self._target, self._seen = settings, target, seen
        self.record: Json = {}
        """What tells that it counts, once the WAL up to its `end` is saved, too."""
        self.failed = ""

    def run(self) -> None:
        """Make it."""
        try:
            # A Pi has not the memory for a backup beside it.
            with locked(self._settings, wait=True):
                self.record = self._make()
        except (BackupError, OSError) as error:
            self.failed = f"a base copy could not be made: {error}"

    def _make(self) -> Json:
        settings, seen = self._settings, self._seen
        record = {
            "run": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "system": seen.system,
            "postgresql": seen.postgresql,
            "architecture": architecture(settings),
            "bytes": seen.bytes,
            # The slot keeps all from here on.
            "begin": segment_start(seen.slot or 0),
        }
        words = ("--pgdata=-", "--format=tar", "--wal-method=none", "--checkpoint=fast", "--no-manifest")
        copy = in_container(settings, "pg_basebackup", *CONNECTION, *words, f"--max-rate={BASE_RATE}")
        with opened(for_base(settings), self._target, unlock=True) as repository:
            repository.save_output(copy, BASE_NAME, record["run"], BASE)
        return {**record, "end": look(settings, slot_name(self._target["name"])).flushed}


class LastMinute:
    """Saves the WAL on one target."""

    def __init__(self, settings: Settings, target: Mapping[str, Any]) -> None:
        self._settings, self._target = settings, target
        self._slot = slot_name(target["name"])
        self._path = Path(settings.last_minute_folder) / f"{target['name']}.json"
        self._known = False
        """Whether it is known what is on the target."""
        self._base: Json = {}
        self._copy: BaseCopy | None = None
        self._begun = self._tidied = datetime.now(UTC)
        self._until = read(self._path).get("until")

    def attempt(self, now: datetime) -> Json:
        """Save what was committed, and write down how that went."""
        state: Json = {"why": ""}
        try:
            self._save(now)
            state["state"] = "saving"
        except AbsentError:
            self._spare_the_card()
            state["state"] = "absent"
        except WaitingError as error:
            state |= {"state": "waiting", "why": str(error)}
        except (BackupError, OSError) as error:
            state |= {"state": "failed", "why": str(error)}
        self._known = self._known and state["state"] == "saving"
        state |= {"begun": self._begun.isoformat(timespec="seconds"), "at": now.isoformat(timespec="seconds")}
        state |= {"until": self._until, "base": self._base.get("time")}
        state["said"] = said_of(state)
        write(self._path, state)
        return state

    def _save(self, now: datetime) -> None:
        source_of(self._target)
        if read(self._settings.journal):
            raise WaitingError("it waits until a restore is kept or taken back")
        seen = look(self._settings, self._slot)
        # What is being copied has its repository mounted.
        if not self._known and not (self._copy and self._copy.is_alive()):
            self._get_to_know(seen)
        if seen.slot is None:
            self._make_slot()
            seen = look(self._settings, self._slot)
        seen = replace(seen, slot=self._save_wal(seen))
        self._settle_copy(seen)
        if self._base:
            self._until = now.isoformat(timespec="seconds")
        self._look_after(seen, now)

    def _get_to_know(self, seen: Look) -> None:
        """See whether what is on the target joins what the slot keeps; if not, a new base copy is due."""
        base = newest_base(self._settings, self._target)
        if base and base["system"] != seen.system and is_new(self._settings, self._target):
            raise WaitingError(
                "it is from before this card. Restore it (playbooks/restore.yml -e restore_last_minute=true), or go on "
                "without: playbooks/backup.yml"
            )
        pieces = saved_pieces(self._settings, self._target)
        self._base = base if base and joins(base, pieces, seen) else {}
        self._known = True

    def _make_slot(self) -> None:
        """Have PostgreSQL keep the WAL from now on."""
        self._base = {}
        name = literal(self._slot)
        psql(self._settings, DROP.format(which=f"slot_name = {name}") + MAKE.format(slot=name))

    def _save_wal(self, seen: Look) -> int:
        """Save all WAL up to what was committed when PostgreSQL was asked; give up to where it is saved."""
        saved = seen.slot or 0
        while saved < seen.flushed:
            stop = next_stop(saved, seen.flushed)
            receive(self._settings, seen, saved, stop)
            give = in_container(self._settings, "bash", "-c", GIVE, "bash", SPOOL)
            with opened(for_wal(self._settings), self._target) as repository:
                _check_room(repository.place, 0)
                repository.save_output(give, WAL_NAME, seen.system, piece_tag(segment_start(saved), stop))
            psql(self._settings, ADVANCE.format(slot=literal(self._slot), lsn=lsn(stop)))
            saved = stop
        return saved

    def _settle_copy(self, seen: Look) -> None:
        """Let a base copy count once the WAL is there that it needs; then the one before it is needless."""
        copy = self._copy
        if copy is None or copy.is_alive():
            return
        self._copy = None
        if copy.failed:
            raise BackupError(copy.failed)
        if (seen.slot or 0) < copy.record["end"]:
            self._copy = copy
            return
        if not joins(copy.record, saved_pieces(self._settings, self._target), seen):
            raise BackupError("PostgreSQL gave up what a base copy needs; another one is made")
        with opened(for_base(self._settings), self._target) as repository:
            content = json.dumps(copy.record, indent=1).encode()
            repository.save_bytes(content, RECORD_NAME, copy.record["run"], RECORD)
            # By their names: a Pi's clock may go back.
            _forget(repository, without(repository.snapshots(), copy.record["run"]))
        self._base = copy.record
        self._tidied = datetime.min.replace(tzinfo=UTC)

    def _look_after(self, seen: Look, now: datetime) -> None:
        """Begin a base copy where one is due, and now and then remove the WAL that nothing needs."""
        if self._copy is None and base_is_due(self._base, seen.slot or 0, now):
            with opened(for_base(self._settings), self._target) as repository:
                _check_room(repository.place, seen.bytes)
            self._copy = BaseCopy(self._settings, self._target, seen)
            self._copy.start()
        if self._base and now - self._tidied > TIDY_EVERY:
            self._tidied = now
            with opened(for_wal(self._settings), self._target) as repository:
                pieces = pieces_of(repository.snapshots())
                _forget(repository, needless(pieces, seen.system, self._base["begin"]))

    def _spare_the_card(self) -> None:
        """Have nothing kept for a target that is away where the card is nearly full."""
        if shutil.disk_usage(self._settings.data_folder).free < LEAST_FREE:
            with suppress(BackupError):
                psql(self._settings, DROP.format(which=f"slot_name = {literal(self._slot)}"))


def _forget(repository: BackupRepository, gone: Sequence[str]) -> None:
    if gone:
        repository.do("forget", *gone)
        repository.prune()


def _check_room(place: Path, needed: int) -> None:
    """Raise BackupError where a target has too little room: the backups on it come first."""
    missing = needed + SPARE_BYTES - shutil.disk_usage(place).free
    if missing > 0:
        raise BackupError(f"{missing // 1_000_000 + 1} MB of room are missing on it")


def drop_slots(settings: Settings, kept: Iterable[str] = ()) -> None:
    """Have PostgreSQL keep no WAL for targets that are no more."""
    names = "".join(f" AND slot_name <> {literal(slot_name(name))}" for name in kept)
    psql(settings, DROP.format(which=f"starts_with(slot_name, {literal(SLOT)}){names}"))


def sweep(settings: Settings) -> None:
    """Remove what a restore that was cut off has left on the card, unless one is at work."""
    with locked(settings, wait=False) as alone_here:
        if alone_here:
            remove_trial(settings)
            shutil.rmtree(recovering(settings), ignore_errors=True)


def save_on(settings: Settings, wait: Callable[[float], None] = time.sleep) -> None:
    """Save the WAL on every target for as long as the service runs; what changed is said once."""
    streams = [LastMinute(settings, target) for target in settings.near]
    said: dict[int, Any] = {}
    sweep(settings)
    with suppress(BackupError):
        drop_slots(settings, [target["name"] for target in settings.near])
    while True:
        begun = time.monotonic()
        for number, stream in enumerate(streams):
            with locked(for_wal(settings), wait=True):
                state = stream.attempt(datetime.now(UTC))
            words = state["state"], state["why"], bool(state["until"])
            if said.get(number) != words:
                said[number] = words
                print(f"{settings.near[number]['name']}: {state['said']}", flush=True)
        wait(max(0.0, EVERY - (time.monotonic() - begun)))


# Restoring ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SavedMinute:
    """What there is of the last minute on a target."""

    base: Json
    pieces: list[WalPiece]

    @classmethod
    def on(cls, settings: Settings, target: Mapping[str, Any]) -> SavedMinute:
        """See what there is."""
        try:
            base = newest_base(settings, target)
            return cls(base, connected(saved_pieces(settings, target), base["system"], base["begin"]) if base else [])
        except AbsentError:
            raise
        except BackupError:
            return cls({}, [])


@dataclass(frozen=True)
class Recovered:
    """The databases of a cluster that was recovered into a container of its own."""

    there: Settings

    @property
    def databases(self) -> list[Json]:
        """Give them, with their sizes."""
        return database_server.databases(self.there)

    def globals(self) -> str:
        """Give the script that makes the roles."""
        return do(globals_dump(self.there))

    def pour(self, database: Mapping[str, Any], consumer: Sequence[str]) -> None:
        """Give a database's dump to a command. Raises BackupError unless both ended well."""
        words = ("pg_dump", "--format=custom", "--compress=0", "--username=postgres")
        dump = in_postgis(self.there, *words, connection(database["name"]))
        if why := piped(dump, consumer):
            raise BackupError(f"{database['name']} could not be restored: {why}.")

    def numbers(self, database: Mapping[str, Any]) -> dict[str, Any]:
        """Give where its extensions' sequences are."""
        session = DatabaseSession(self.there, database["name"])
        try:
            return session.each(NUMBERS)
        finally:
            session.close()


def found_on(settings: Settings, name: str) -> tuple[Json, SavedMinute | None]:
    """Give the newest backup with what is to be said, and the last minute where it can be used; the locks are held."""
    found = finding.found_on(settings, name, "latest")
    saved = SavedMinute.on(settings, settings.target(name))
    here = {"postgresql": database_server.postgresql(settings), "architecture": architecture(settings)}
    refused = why_not(saved.base, saved.pieces, here, datetime.fromisoformat(found["time"]))
    if refused:
        return {**found, "said": f"{found['said']}, without a last minute: {refused}"}, None
    until = _second(saved.pieces[-1].time)
    return {**found, "said": f"{found['said']}, and the databases as they were on {until}"}, saved


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold both locks."""
    with locked(settings, wait=True), locked(for_wal(settings), wait=True):
        yield


def find(settings: Settings, name: str) -> Json:
    """Give what a restore would put in place, for a person to agree to."""
    with alone(settings):
        found, saved = found_on(settings, name)
        return {**found, "last_minute": saved is not None}


def restore(settings: Settings, name: str, run: str) -> Json:
    """Put the folders of a backup in place, and the databases as they were last; give what was set aside.

    Where the last minute can't be used here, the backup's own databases are put in place, which is said.
    """
    with alone(settings):
        found, saved = found_on(settings, name)
        run = run or found["run"]
        if saved is None:
            with finding.opened(settings, name) as repository:
                return {**put_in_place(settings, repository, run), "said": found["said"]}
        with recovered(settings, settings.target(name), saved) as source, finding.opened(settings, name) as repository:
            return {**put_in_place(settings, repository, run, source), "said": found["said"]}


@contextmanager
def recovered(settings: Settings, target: Mapping[str, Any], saved: SavedMinute) -> Iterator[Recovered]:
    """Recover the cluster into a container that is thrown away, beside the data that are served.

    The databases are then dumped from it into those that are served: by that all of it is read once before it counts,
    and what is in place is set aside and taken back as with any backup.
    """
    there, scratch = settings.trial, recovering(settings)
    wal = sum(piece.upto - piece.first for piece in saved.pieces)
    # Once as a cluster, and once in place.
    check_disks((settings.data_folder, Path(settings.data_folder), 2 * saved.base["bytes"] + wal))
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        data = folder_like(Path(settings.data_folder), scratch)
        _unpack(settings, target, saved, data)
        image = do(["docker", "inspect", "--format", "{{.Image}}", settings.postgis]).strip()
        remove_trial(settings)
        do([*trial_command(there.postgis, image, data), *_recovering()])
        # It lets nobody in before it has played all of the WAL.
        wait_for(there)
        yield Recovered(there)
    finally:
        remove_trial(settings)
        shutil.rmtree(scratch, ignore_errors=True)


def _recovering() -> list[str]:
    options = ("hot_standby=off", f"restore_command=cp {DATA}/wal/%f %p", "recovery_target_timeline=latest")
    return [word for option in options for word in ("-c", option)]


def _unpack(settings: Settings, target: Mapping[str, Any], saved: SavedMinute, data: Path) -> None:
    """Put base copy and WAL into a folder, as the image finds them."""
    cluster, wal = data / "cluster", data / "wal"
    for folder in (cluster, wal):
        folder.mkdir(mode=0o700)
    with opened(for_base(settings), target) as repository:
        whose = {run_of(one): one["id"] for one in repository.snapshots() if BASE in one["tags"]}
        repository.pour(whose[saved.base["run"]], BASE_NAME, [*TAKE, f"--directory={cluster}"])
    with opened(for_wal(settings), target) as repository:
        for piece in saved.pieces:
            repository.pour(piece.snapshot, WAL_NAME, [*TAKE, f"--directory={wal}"])
    for partial in wal.glob("*.partial"):
        # One that is whole was saved after it.
        if not partial.with_suffix("").exists():
            partial.rename(partial.with_suffix(""))
    (cluster / "recovery.signal").touch(mode=0o600)
    owned = data.stat()
    for path in (cluster, cluster / "recovery.signal", wal, *wal.iterdir()):
        os.chown(path, owned.st_uid, owned.st_gid)


# By hand ------------------------------------------------------------------------------------------------------------


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Poppyfield's last minute")
    parser.add_argument("--settings", type=Path, default=Path(SETTINGS))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("save", help="save the WAL, on and on")
    commands.add_parser("clear-up", help="take away what the service has left")
    commands.add_parser("end", help="have PostgreSQL keep no WAL any more")
    for command in ("find", "restore"):
        one = commands.add_parser(command)
        one.add_argument("--from", dest="target", required=True)
        if command == "restore":
            one.add_argument("--run", default="")
    return parser.parse_args(words)


def clear_up(settings: Settings) -> None:
    """Take away the mounts of a service that has ended."""
    for side in (for_base(settings), for_wal(settings)):
        for target in settings.near:
            unmount(Path(side.run_folder) / target["name"])


def act(asked: argparse.Namespace) -> int:
    """Do what was asked; give the exit status."""
    settings = Settings.read(asked.settings)
    if asked.command == "save":
        save_on(settings)
    elif asked.command == "clear-up":
        clear_up(settings)
    elif asked.command == "end":
        drop_slots(settings)
    elif asked.command == "find":
        print(json.dumps(find(settings, asked.target)))
    else:
        print(json.dumps(restore(settings, asked.target, asked.run)))
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run the program; a failure is one sentence."""
    return told_in_a_sentence(lambda: act(arguments(sys.argv[1:] if words is None else words)))
