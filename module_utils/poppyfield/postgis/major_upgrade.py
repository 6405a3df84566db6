"""Another major version of PostgreSQL than the one that made the data: what is decided about it. Pure.

The files of one major version can't be read by another one, so that a database is moved by a dump of the old server
into a new cluster. The steps of that are here; `upgrade_program` carries them out on a host.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible.module_utils.poppyfield.images.profiles import PROFILES

Json = dict[str, Any]

STATE_FOLDER = "/var/lib/poppyfield/upgrade"
"""Where a host writes down how far an upgrade is, and what came of it."""
JOURNAL = "journal.json"
ORDER = "order.json"
"""What is asked for; there as long as it is at work."""
OUTCOME = "outcome.json"
DONE = "done.json"
"""Of an upgrade whose old cluster is kept."""
CONTENT = "content.json"
"""What the new cluster held when it began to serve."""
STEPS = (
    *("begun", "stopped", "copied", "compared", "created", "parted"),
    *("decided", "swapped", "renamed", "started", "kept"),
)
"""What is done in order; each is written down when it is done and on the disk."""
DECISION = "decided"
"""Cut off before this, the old cluster serves again; from it on the new one does."""
RETURNING = "returning"
"""In place of a step, where the old cluster is to serve again after the decision."""
LOOKING = "looking"
"""In place of a step, while it is looked whether a rollback loses nothing."""
SET_ASIDE = "-before-upgrade"
"""How the name of the old container ends."""
STAGING = "upgrading"
"""The folder beside the data in which the new cluster is made."""
WITH_MAINTAIN = 17
"""The first PostgreSQL with the right MAINTAIN, which "all rights" have in it."""
ROOM_FACTOR = 1.3
"""Bytes that the new cluster may take for each of the old one, with the WAL that is written meanwhile."""
ROOM_BYTES = 600_000_000
"""Of an empty cluster, its WAL and the room that PostgreSQL keeps in reserve."""
PLAYBOOK = "ansible-playbook playbooks/upgrade_database.yml"
MOST_NAMED = 5


def made_by(digest: str) -> str:
    """Give which PostgreSQL made a cluster, by the SHA-256 of its file PG_VERSION; empty where nobody knows it."""
    versions = {profile.postgresql for profile in PROFILES}
    return next((one for one in versions if hashlib.sha256(f"{one}\n".encode()).hexdigest() == digest), "")


def preflight_problem(folder: str, found: str, profile: str, wanted: str, *, may_upgrade: bool) -> str:
    """Say why the images of a profile can't serve a cluster of this major version, and what helps; empty if they can.

    `found` is empty where there is no cluster, or one that nobody knows.
    """
    if not found or found == wanted:
        return ""
    said = (
        f"The database in {folder} was made by PostgreSQL {found}, and the images of the profile {profile} hold "
        f"PostgreSQL {wanted}, which can't read it."
    )
    if int(found) > int(wanted):
        return (
            f"{said} There is no way to an earlier version: set arm_images_profile to one of PostgreSQL {found}. Where "
            f"it was upgraded and nothing was written since, {PLAYBOOK} -e back=true goes back."
        )
    return (
        ""
        if may_upgrade
        else f"{said} {PLAYBOOK} upgrades it, and with -e rehearsal=true tells before what that takes; or set "
        f"postgis_upgrade to true, and site.yml does. To stay, choose the arm_images_profile of PostgreSQL {found}."
    )


def kept_folder(data_folder: str, version: int) -> str:
    """Give where the cluster of an earlier version is kept."""
    return f"{data_folder}.before-upgrade-{version}"


def needed_bytes(old: int) -> int:
    """Give the room that is needed beside an old cluster whose databases have so many bytes."""
    return int(old * ROOM_FACTOR) + ROOM_BYTES


def problem(old: Mapping[str, Any], new: int) -> str:
    """Say why a cluster can't be upgraded to a major version; empty where it can.

    `old` has `version`, `closed` (databases that let nobody in), and `tablespaces` beside PostgreSQL's own.
    """
    if old["version"] >= new:
        return f"The database is of PostgreSQL {old['version']} already, and the image of {new}"
    if old["closed"]:
        names = _names(old["closed"])
        return (
            f"These databases let nobody in, and so can't be carried over: {names}. They are mostly what a restore has "
            f"set aside. Remove them (sudo docker exec -u postgres websig-postgis dropdb NAME), or open them"
        )
    if old["tablespaces"]:
        return f"There are tablespaces, which are not carried over: {_names(old['tablespaces'])}. Move what is in them"
    return ""


def extension_problem(wanted: Mapping[str, Iterable[str]], available: Iterable[str]) -> str:
    """Say which extensions of the databases the new image lacks; empty where it has all of them."""
    there = {*available}
    lacking = [f"{name} ({database})" for database, names in wanted.items() for name in names if name not in there]
    if not lacking:
        return ""
    return f"The new image lacks extensions that databases have: {_names(lacking)}. Remove them there (DROP EXTENSION)"


def comparable(found: Mapping[str, Any], recorded: Mapping[str, Any], old: int, new: int) -> Json:
    """Give what a new cluster holds without what new versions add by themselves, and with what they take away.

    That is the right MAINTAIN, which "all rights" have in it from PostgreSQL 17 on, and what of newer extensions a dump
    holds, or everybody may use, that was not so with the older ones; and rights in what newer extensions have no more.
    """
    maintains = old < WITH_MAINTAIN <= new
    databases = {}
    for name, one in found["databases"].items():
        before = recorded["databases"].get(name, {"rights": (), "sequences": (), "of_extensions": ()})
        own = {*one["of_extensions"]}
        added = {*one["rights"]} - {*before["rights"]}
        rights = [
            line
            for line in one["rights"]
            if not (maintains and " has MAINTAIN" in line) and not (line in added and is_right_in(own, line))
        ]
        gone = {*before["of_extensions"]} - own
        rights += [line for line in before["rights"] if line not in one["rights"] and is_right_in(gone, line)]
        sequences = {
            sequence: value
            for sequence, value in one["sequences"].items()
            if sequence in before["sequences"] or f"sequence {sequence}" not in own
        }
        databases[name] = {**one, "rights": rights, "sequences": sequences}
    return {**found, "databases": databases}


def is_right_in(objects: Iterable[str], line: str) -> bool:
    """Tell whether a line about a right is about one of these objects."""
    return any(line.startswith(f"{what}: ") for what in objects)


def further_differences(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Say what differs in what databases are, and have of extensions."""
    said = []
    for name, was in recorded["databases"].items():
        now = found["databases"].get(name)
        if now is None:
            continue
        for what, value in was["properties"].items():
            if now["properties"].get(what) != value:
                said.append(f"{name}: its {what} is {now['properties'].get(what)}, and was {value}.")
        for what, count in was["counted"].items():
            if now["counted"].get(what) != count:
                said.append(f"{name}: it has {now['counted'].get(what)} {what}, and had {count}.")
        said += [
            f"{name}: the extension {one} is missing." for one in was["extensions"] if one not in now["extensions"]
        ]
        for sequence, number in was["numbers"].items():
            if now["numbers"].get(sequence, number) != number:
                said.append(f"{name}: the sequence {sequence} is at {now['numbers'][sequence]}, and was at {number}.")
    return said


def not_back(differing: Sequence[str]) -> str:
    """Say why there is no rollback, from what has changed since an upgrade."""
    more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
    return (
        f"Something was written since the upgrade, which the old cluster lacks: {differing[0].rstrip('.')}{more}. "
        f"So the new one goes on serving. Nothing was changed."
    )


def undoes(step: str) -> bool:
    """Tell whether an upgrade that was cut off after a step is undone; otherwise it is brought to its end."""
    return STEPS.index(step) < STEPS.index(DECISION)


def left_to_do(step: str) -> tuple[str, ...]:
    """Give the steps that follow one."""
    return STEPS[STEPS.index(step) + 1 :]


def told(outcome: Mapping[str, Any]) -> str:
    """Say what an upgrade, or its rehearsal, compared, and how long it took."""
    counted = ", ".join(f"{count} {name}" for name, count in outcome["objects"].items() if name != "files")
    return f"equal by content ({counted}), in {outcome['seconds']:.0f} seconds, {outcome['bytes'] // 1_000_000} MB"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
