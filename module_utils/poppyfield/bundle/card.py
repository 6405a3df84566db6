"""What a stock image of Raspberry Pi OS gets on its FAT partition, so that a card installs itself from the stick."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.poppyfield.bundle.manifest import BundleError

HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
PUBLIC_KEY = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,3}(?: [^\n]*)?")
LABEL = re.compile(r"[A-Z0-9_-]{1,11}")
"""Of a stick with FAT, as Linux shows it."""
FAT = ("b", "c", "e", "6")
META_DATA = "meta-data"
"""Its presence shows that the image has cloud-init, which reads the others."""
USER_DATA = "user-data"
NETWORK = "network-config"
SIGNERS = "bundle.signers"
GROUPS = (
    "adm",
    "dialout",
    "cdrom",
    "audio",
    "users",
    "sudo",
    "video",
    "plugdev",
    "input",
    "gpio",
    "spi",
    "i2c",
    "netdev",
)
PROGRAM = "/usr/local/sbin/poppyfield-first-boot"
UNIT = "poppyfield-first-boot.service"
ETHERNET = {"version": 2, "ethernets": {"eth0": {"dhcp4": True, "optional": True}}}
LAST_LETTERS = 300


@dataclass(frozen=True)
class NewCard:
    """What a card is to be."""

    host: str
    user: str
    keys: tuple[str, ...]
    """The public keys that may log in."""
    label: str
    """Of the stick's file system."""
    signers: str
    network: Mapping[str, Any] = field(default_factory=dict)
    """Netplan's; a cable with DHCP where it is empty."""


def files(card: NewCard, program: str) -> dict[str, bytes]:
    """Give what is written on the FAT partition. Pure; raises BundleError for what no system takes."""
    check(card)
    return {
        USER_DATA: f"#cloud-config\n{_yaml(user_data(card, program))}".encode(),
        NETWORK: _yaml({"network": dict(card.network or ETHERNET)}).encode(),
        SIGNERS: f"{card.signers.strip()}\n".encode(),
    }


def check(card: NewCard) -> None:
    """Refuse names and keys that the system would not take."""
    if not HOST_NAME.fullmatch(card.host):
        raise BundleError(f"{card.host!a} can be no host name: give the Pi a name of letters, digits and hyphens")
    if not USER_NAME.fullmatch(card.user) or card.user == "root":
        raise BundleError(f"bundle_card_user can be no user: {card.user!a}: give one like pi")
    if not LABEL.fullmatch(card.label):
        raise BundleError(
            f"bundle_stick_label is {card.label!a}: give up to 11 capital letters, digits, hyphens and underscores"
        )
    if not card.keys:
        raise BundleError(
            "bundle_card_keys is empty, and nobody could log in: name a file such as ~/.ssh/id_ed25519.pub"
        )
    for key in card.keys:
        if not PUBLIC_KEY.fullmatch(key):
            raise BundleError("bundle_card_keys: one of its files is no public key of SSH: name that with .pub")


def user_data(card: NewCard, program: str) -> dict[str, Any]:
    """Give cloud-init's configuration: the user, and a unit that installs, once the stick is there. Pure."""
    unit = (
        "[Unit]\nDescription=Install this Pi from the stick with Poppyfield's bundle\nAfter=multi-user.target\n"
        "StartLimitIntervalSec=0\n\n"
        f"[Service]\nType=exec\nEnvironment=HOME=/root\nExecStart=/bin/sh {PROGRAM} {card.label} {card.host}\n"
        "Restart=on-failure\nRestartSec=60\n\n[Install]\nWantedBy=multi-user.target\n"
    )
    return {
        "hostname": card.host,
        "manage_etc_hosts": True,
        "ssh_pwauth": False,
        "users": [
            {
                "name": card.user,
                "groups": list(GROUPS),
                "shell": "/bin/bash",
                "lock_passwd": True,
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "ssh_authorized_keys": list(card.keys),
            }
        ],
        "write_files": [
            {"path": PROGRAM, "content": program, "permissions": "0755", "owner": "root:root"},
            {"path": f"/etc/systemd/system/{UNIT}", "content": unit, "permissions": "0644", "owner": "root:root"},
        ],
        "runcmd": [
            ["systemctl", "enable", "--now", "ssh"],
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", UNIT],
            # What installs waits for a stick, and cloud-init for nobody.
            ["systemctl", "start", "--no-block", UNIT],
        ],
    }


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=1000)


# The image ----------------------------------------------------------------------------------------------------


def partition_offset(table: str, image: str) -> int:
    """Give where the first partition, which has FAT, begins in bytes, from what sfdisk says as JSON. Pure."""
    try:
        given = json.loads(table)["partitiontable"]
        first = min(given["partitions"], key=lambda one: int(one["start"]))
        kind, start = str(first["type"]).lower(), int(first["start"]) * int(given.get("sectorsize", 512))
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{image} has no partitions, so it is no image of a card: unpack it where it is packed"
        ) from error
    if given.get("label") != "dos" or kind not in FAT:
        raise BundleError(f"the first partition of {image} is not FAT: give a stock image of Raspberry Pi OS")
    return start


class CardImage:
    """A file with the image of a card, whose FAT partition mtools reads and writes without root's rights."""

    def __init__(self, path: Path) -> None:
        """Raises BundleError for what is no such file: a device above all."""
        try:
            kind = path.stat().st_mode
        except OSError as error:
            raise BundleError(f"{path} can't be read ({error.strerror}): name the image's file") from error
        if not stat.S_ISREG(kind):
            raise BundleError(f"{path} is no file, and a device is never written to: name the image, and flash it then")
        self.path = path
        self._place = f"{path}@@{partition_offset(_run('sfdisk', '--json', str(path)).decode(), str(path))}"
        if self.read(META_DATA) is None:
            raise BundleError(
                f"{path} has no {META_DATA} on its first partition, so that its system has no cloud-init: take an "
                f"image of Raspberry Pi OS trixie"
            )

    def read(self, name: str) -> bytes | None:
        """Give a file; None where there is none."""
        done = _done("mtype", "-i", self._place, f"::{name}")
        return done.stdout if done.returncode == 0 else None

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, in place of one that is."""
        with tempfile.NamedTemporaryFile(prefix="poppyfield-card-") as file:
            file.write(content)
            file.flush()
            _run("mcopy", "-o", "-i", self._place, file.name, f"::{name}")


def differing(image: CardImage, wanted: Mapping[str, bytes]) -> Sequence[str]:
    """Name the files that are yet to be written."""
    return [name for name, content in wanted.items() if image.read(name) != content]


def _run(*command: str) -> bytes:
    done = _done(*command)
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[-LAST_LETTERS:]
        raise BundleError(f"{command[0]} fails: {said}: unpack the image, or fetch it again")
    return done.stdout


def _done(*command: str) -> subprocess.CompletedProcess[bytes]:
    # A folder for programs of root's, which is not on everybody's path.
    found = next((place for place in ("/usr/sbin", "/sbin") if Path(place, command[0]).exists()), "")
    program = f"{found}/{command[0]}" if found else command[0]
    try:
        return subprocess.run([program, *command[1:]], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        package = "fdisk" if command[0] == "sfdisk" else "mtools"
        raise BundleError(f"{command[0]} is missing: install {package}") from error
