"""A Pi that installs itself from its verified copy of a bundle: which host it is, and what the playbook is given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.bundle import contents, inventory_files
from ansible.module_utils.poppyfield.bundle.contents import REFERENCE
from ansible.module_utils.poppyfield.bundle.manifest import BundleError, Manifest
from ansible.module_utils.poppyfield.host import atomic_file

LAPTOPS_PASSWORDS = "/etc/poppyfield/alone/backup-passwords"
"""In place of the laptop's folder of that kind."""
PIS_PASSWORD = "/etc/poppyfield/backup/password"  # noqa: S105 - a path
"""Of its backups, where a laptop has set the Pi up before."""
ASKS_FOR_VAULT = (
    "--ask-vault-pass",
    "--ask-vault-password",
    "-J",
    "--vault-id",
    "--vault-password-file",
    "--vault-pass-file",
)
PLAYBOOK = "site.yml"
RESTART = (
    "Limits of memory count from the next start: restart this Pi (sudo reboot), and run the same command once more."
)


@dataclass(frozen=True)
class InstalledFrom:
    """Where a Pi keeps what it installs itself from."""

    folder: Path

    @property
    def bundle(self) -> Path:
        """Give the verified copy."""
        return self.folder / "bundle"

    @property
    def signers(self) -> Path:
        """Give the keys that signed it."""
        return self.folder / "signers"

    @property
    def source(self) -> Path:
        """Give the checkout."""
        return self.folder / "source"

    @property
    def files(self) -> Path:
        """Give where contents are unpacked."""
        return self.folder / "files"

    @property
    def keys(self) -> Path:
        """Give what stands for the laptop's folder with bundle.signers."""
        return self.folder / "keys"

    @property
    def connection(self) -> Path:
        """Give the inventory that says that this host is this machine."""
        return self.folder / "this-pi.yml"

    @property
    def settings(self) -> Path:
        """Give the variables of this run."""
        return self.folder / "settings.json"


def chosen(hosts: Iterable[str], given: str, host_name: str) -> str:
    """Give the host of the inventory that this Pi is. Raises BundleError where nobody can tell."""
    names = sorted(hosts)
    if given:
        if given in names:
            return given
        raise BundleError(f"the inventory has no Pi {given[:60]!a}; it has {', '.join(names)}: give one of these names")
    if len(names) == 1:
        return names[0]
    if host_name in names:
        return host_name
    raise BundleError(
        f"this Pi's name is {host_name[:60]!a}, and the inventory has {', '.join(names)}: say which of them it "
        f"is, as in sudo sh install {names[0] if names else 'NAME'}"
    )


def needed(values: Any) -> set[str]:
    """Give the keys of the contents that a host's variables name."""
    if isinstance(values, Mapping):
        return set().union(*map(needed, values.values()))
    if isinstance(values, list | tuple):
        return set().union(*map(needed, values))
    if isinstance(values, str) and values.startswith(REFERENCE):
        return {values.removeprefix(REFERENCE)}
    return set()


def prepare(place: InstalledFrom, found: Manifest, host: str) -> None:
    """Unpack what this host needs, and write what its playbook is given."""
    places = {
        key: contents.unpack(place.bundle, contents.content(found, key), place.files)
        for key in sorted({inventory_files.KEY} | needed(found.hosts[host]))
    }
    place.keys.mkdir(mode=0o755, exist_ok=True)
    (place.keys / "bundle.signers").write_text(place.signers.read_text("utf-8"), "utf-8")
    # As a host's variable, which a task that tries a log-in by SSH overrides.
    inventory = {"all": {"hosts": {host: {"ansible_connection": "local"}}}}
    place.connection.write_text(json.dumps(inventory), "utf-8")
    variables = {
        **contents.resolved(found.hosts[host], places),
        "bundle_folder": str(place.bundle),
        "bundle_key_folder": str(place.keys),
        "backup_password_folder": LAPTOPS_PASSWORDS,
        # Whoever restarts this machine ends the run.
        "raspberry_pi_allow_reboot": False,
    }
    place.settings.write_text(json.dumps(variables, ensure_ascii=False), "utf-8")


def keep_password(host: str, there: Path, folder: Path) -> None:
    """Give the password of the Pi's backups also where the playbook looks for it, as on a laptop; once."""
    if there.is_file() and not (folder / host).exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_file.write(folder / host, there.read_bytes(), mode=0o600)


def restart_needed(model: str, controllers: str) -> bool:
    """Tell whether a Pi's kernel has no memory cgroup yet, which counts from its next start."""
    return bool(model) and "memory" not in controllers.split()


def command(place: InstalledFrom, found: Manifest, host: str, options: Sequence[str], *, asks: bool) -> list[str]:
    """Give the playbook's command; the vault's password is asked for where there is a terminal and no option for it."""
    inventories = [place.files / inventory_files.KEY / name for name in found.inventories]
    words = [
        *(str(place.folder / "environment" / "bin" / "python"), "-m", "ansible", "playbook"),
        *(word for one in (*inventories, place.connection) for word in ("-i", str(one))),
        *("--limit", host, "--extra-vars", f"@{place.settings}", PLAYBOOK, *options),
    ]
    if found.vaulted and not any(option.split("=")[0] in ASKS_FOR_VAULT for option in options):
        if not asks:
            raise BundleError(
                "the inventory has something encrypted, and nobody is here to give its password: log in and run "
                "sudo sh install, or give --vault-password-file FILE"
            )
        words.append("--ask-vault-pass")
    return words
