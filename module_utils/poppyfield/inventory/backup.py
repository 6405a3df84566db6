"""Where backups go, and how many are kept. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.poppyfield.backup.settings import SFTP
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown

TARGETS = "backup_targets"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}")
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}")
HOST_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp\d+|ssh-rsa) [A-Za-z0-9+/]{40,}={0,2}")
UNPROVEN = "backup_max_unproven_days"
HOW_OFTEN = {"hourly": 0, "daily": 1, "weekly": 7}
"""How many days there are between two backups."""
PROVEN_EVERY = 7
DATA = ("postgis_data_folder", "lizmap_folder")


def findings(host: Host) -> Iterator[Finding]:
    """Give what is wrong."""
    targets = host.values[TARGETS]
    for target in targets:
        yield from _of_target(target, host)
    names = [target["name"] for target in targets]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Finding(TARGETS, f"two targets are called {name}", "Give each a name of its own", shown(name))
    if not any(count > 0 for count in host.values["backup_keep"].values()):
        yield Finding("backup_keep", "it keeps no backup", "Give hourly, daily or weekly a number")
    yield from _of_ages(host)
    for period, count in host.values["backup_keep"].items():
        if count < 0:
            yield Finding("backup_keep", f"{period} is less than 0", "Give 0 or more", shown(count))


def _of_ages(host: Host) -> Iterator[Finding]:
    """Judge what is never reached, or always passed."""
    for variable, apart in (
        ("backup_max_age_days", HOW_OFTEN[host.values["backup_schedule"]]),
        (UNPROVEN, PROVEN_EVERY),
    ):
        days = host.values[variable]
        if host.values[TARGETS] and days <= apart:
            remedy = f"Give at least {apart + 1}"
            yield Finding(
                variable, f"there may be {apart} days between two, so that it is always passed", remedy, shown(days)
            )


def _of_target(target: dict[str, Any], host: Host) -> Iterator[Finding]:
    name, label, folder = target["name"], target.get("label"), target.get("folder")
    sftp, key = target.get("sftp"), target.get("host_key")
    if not NAME.fullmatch(name):
        yield Finding(TARGETS, "a target's name is of letters, digits, - and _", "Choose another name", shown(name))
    if sum(map(bool, (label, folder, sftp))) != 1:
        wrong = f"{name} needs one of label, folder and sftp"
        yield Finding(TARGETS, wrong, "Give one of them", shown(target))
    if sftp and not SFTP.fullmatch(sftp):
        remedy = "Write it as in backup@office.example:/srv/backups, and the port, if it is not 22, as port"
        yield Finding(TARGETS, f"{name} is not USER@MACHINE:/FOLDER", remedy, shown(sftp))
    if sftp and not HOST_KEY.fullmatch(key or ""):
        remedy = "Give what stands there in /etc/ssh/ssh_host_ed25519_key.pub, the first two words of it"
        yield Finding(TARGETS, f"{name} needs host_key, by which its machine is known", remedy, shown(key))
    if label and not LABEL.fullmatch(label):
        remedy = "Give the stick another label: of letters, digits, - and _, at most 16"
        yield Finding(TARGETS, "such a label can't be told apart on every file system", remedy, shown(label))
    if folder:
        yield from _of_folder(posixpath.normpath(folder), host)


def _of_folder(folder: str, host: Host) -> Iterator[Finding]:
    if not folder.startswith("/") or folder == "/":
        yield Finding(
            TARGETS, "a folder is a path of the Pi on which something is mounted", "Correct it", shown(folder)
        )
        return
    for variable in DATA:
        data = posixpath.normpath(host.values[variable])
        if posixpath.commonpath([folder, data]) in (folder, data):
            wrong = f"a backup on the disk of the data ({variable}) is lost with it"
            yield Finding(TARGETS, wrong, "Name a folder on which another disk is mounted", shown(folder))
