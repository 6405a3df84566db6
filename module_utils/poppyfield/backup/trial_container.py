"""The container into which a backup is restored for trial, and the folder of its data."""

from __future__ import annotations

import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.database_server import psql
from ansible.module_utils.poppyfield.backup.map_server import database_host
from ansible.module_utils.poppyfield.backup.outcomes import PROOF
from ansible.module_utils.poppyfield.backup.repository import scratch_folder
from ansible.module_utils.poppyfield.backup.room import SPARE_BYTES
from ansible.module_utils.poppyfield.backup.settings import BackupError, NotTriedError, Settings
from ansible.module_utils.poppyfield.backup.targets import unmount
from ansible.module_utils.poppyfield.backup.this_pi import do, locked

PROOF_SECONDS = 3 * 3600
READY_SECONDS = 900
PROOF_LABEL = "fr.poppyfield.proof"
PROOF_MEMORY = "384m"


@contextmanager
def trial(settings: Settings, record: Mapping[str, Any], place: Path) -> Iterator[Settings]:
    """Give a container of the deployed image with a cluster of its own on the target, which is thrown away.

    Restoring runs what is in a database as its superuser: here without a network, and with no folder but its own.
    """
    there = settings.trial
    scratch = scratch_folder(settings, place)
    host = database_host(settings)
    needed = SPARE_BYTES + sum(database["bytes"] for database in record["databases"]) * 3 // 2
    needed += record["files"]["bytes"] if host else 0
    if (missing := needed - shutil.disk_usage(place).free) > 0:
        raise NotTriedError(f"{missing // 1_000_000 + 1} MB of room are missing on the target.")
    late = threading.Timer(PROOF_SECONDS, remove_trial, [settings])
    try:
        with folder_for_trial(Path(settings.data_folder), scratch, needed) as data:
            image = settings.image or do(["docker", "inspect", "--format", "{{.Image}}", settings.postgis]).strip()
            try:
                do(trial_command(there.postgis, image, data, host))
                late.start()
                wait_for(there)
                yield replace(there, data_folder=str(data))
            finally:
                # Before what it has its data on.
                remove_trial(settings)
    finally:
        late.cancel()
        remove_trial(settings)
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def folder_for_trial(model: Path, scratch: Path, needed: int) -> Iterator[Path]:
    """Give a folder with the owner of another one; where the target keeps no owners, on ext4 in a file there."""
    try:
        data = folder_like(model, scratch)
    except NotTriedError:
        with ext4_in_a_file(scratch, needed) as inside:
            yield folder_like(model, inside / PROOF)
        return
    yield data


@contextmanager
def ext4_in_a_file(scratch: Path, needed: int) -> Iterator[Path]:
    """Give a file system that keeps owners, in a file of this size, which goes with its folder."""
    image, inside = scratch / "ext4", scratch / "mounted"
    inside.mkdir()
    try:
        with image.open("wb") as stream:
            stream.truncate(needed)
        # Nobody needs it after a loss of power.
        do(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", str(image)])
        do(["mount", "--options", "loop,nosuid,nodev,noexec,noatime", str(image), str(inside)])
    except (BackupError, OSError) as error:
        raise NotTriedError(
            f"the target's file system keeps no owners and rights, and none could be made in a file on it: {error}"
        ) from error
    try:
        yield inside
    finally:
        unmount(inside)


def folder_like(model: Path, scratch: Path) -> Path:
    """Make a folder with the owner of another one, that nobody else can look into."""
    owned, data = model.stat(), scratch / "data"
    scratch.mkdir(mode=0o700)
    data.mkdir(mode=0o700)
    with suppress(PermissionError):
        os.chown(data, owned.st_uid, owned.st_gid)
    found = data.stat()
    if (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) != (owned.st_uid, owned.st_gid, 0o700):
        raise NotTriedError("the target's file system keeps no owners and rights: make it ext4, see docs/backup.md.")
    return data


def trial_command(name: str, image: str, data: Path, host: str = "") -> list[str]:
    """Give what starts the container: the map comes first, and nothing in it outlives it.

    A `host` is by what name the map server that shares its network, which leads nowhere, asks for it.
    """
    addresses = ("--add-host", f"{host}:127.0.0.1") if host else ()
    return [
        *("docker", "run", "--detach", "--name", name, "--label", f"{PROOF_LABEL}=true", "--log-driver", "none"),
        *("--network", "none", *addresses, "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--memory", PROOF_MEMORY, "--memory-swap", PROOF_MEMORY, "--cpu-shares", "256", "--oom-score-adj", "1000"),
        *("--pids-limit", "64", "--tmpfs", "/tmp:mode=1777,size=16m", "--shm-size", "64m"),  # noqa: S108
        *("--tmpfs", f"/run/postgresql:uid={data.stat().st_uid},mode=0755,size=1m"),
        # Fails where the folder is not there for Docker, too.
        *("--mount", f"type=bind,source={data},target=/var/lib/postgresql/data", image, "postgres"),
        *("-c", "shared_buffers=32MB", "-c", "maintenance_work_mem=32MB", "-c", "work_mem=4MB", "-c", "autovacuum=off"),
        *("-c", "max_connections=8", "-c", "max_wal_size=128MB", "-c", "min_wal_size=32MB", "-c"),
        f"listen_addresses={'127.0.0.1' if host else ''}",
        *("-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "log_min_error_statement=panic"),
    ]


def wait_for(there: Settings) -> None:
    """Wait until the container's database answers. Raises BackupError when it never does."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            psql(there, "SELECT 1;")
            return
        except BackupError as error:
            state = do(["docker", "inspect", "--format", "{{.State.Status}}", there.postgis]).strip()
            if state != "running" or time.monotonic() > deadline:
                raise BackupError(f"the container for it is {state}: {error}") from error
            time.sleep(1)


def remove_trial(settings: Settings) -> None:
    """Remove the containers of a proof, and nobody else's of their names. Without Docker there are none."""
    named = "|".join(re.escape(name) for name in (settings.trial.lizmap, settings.trial.postgis))
    ours = ("--filter", f"label={PROOF_LABEL}=true", "--filter", f"name=^/?({named})$")
    with suppress(BackupError, OSError):
        for container in do(["docker", "ps", "--all", "--quiet", *ours]).split():
            do(["docker", "rm", "--force", "--volumes", container])


def clear_up(settings: Settings) -> None:
    """Take away what a run that was ended has left, unless another one is at work."""
    with locked(settings, wait=False) as alone:
        if alone:
            remove_trial(settings)
            for target in settings.targets:
                unmount(Path(settings.run_folder) / target["name"])
