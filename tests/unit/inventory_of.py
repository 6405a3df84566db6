"""Hosts of an inventory as the check of it sees them, on a laptop that has what it is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.poppyfield.basemaps.tiles_file import TilesFile, TilesFileError, TilesForm
from ansible.module_utils.poppyfield.host.fleet_authority import AuthorityError
from ansible.module_utils.poppyfield.inventory.check import check, typed_hosts
from ansible.module_utils.poppyfield.inventory.problems import Host, Problem
from ansible.module_utils.poppyfield.postgis.dump_file import DumpFile, DumpKind

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted((ROOT / "roles").iterdir())
OWN_SETTINGS = ROOT / "images" / "lizmap" / "web-client" / "own-settings.json"


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


OPTIONS: dict[str, Any] = {
    name: option
    for role in ROLES
    for name, option in _read(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"].items()
}
DEFAULTS: dict[str, Any] = {
    name: value
    for role in ROLES
    for name, value in _read(role / "defaults" / "main.yml").items()
    if "{{" not in str(value)
}
TEMPLATED: dict[str, Any] = {
    "lizmap_archive": "/lizmap.zip",
    "lizmap_server_plugin": "/plugin.zip",
    "lizmap_url": "http://192.0.2.1:80",
    "lizmap_address": "192.0.2.1",
    "lizmap_authority_folder": "/inventory",
    "lizmap_secrets_folder": "/etc/poppyfield/secrets",
    "postgis_secrets_folder": "/etc/poppyfield/secrets",
    "arm_images_cache_folder": "/cache",
    "lizmap_cache_folder": "/cache",
    "bundle_folder": "",
    "bundle_card_user": "pi",
    "bundle_key_folder": "/inventory",
    "arm_images_architectures": [],
    "hotspot_ssid": "pi",
    "hotspot_password_folder": "/inventory/hotspot-passwords",
}
"""What a person gives, and what templates of the roles' defaults give."""


@dataclass
class FakeLaptop:
    """A laptop that has every file but these."""

    missing: Sequence[str] = ()
    certificate: str = ""
    """What is wrong with the certificate."""
    authority: AuthorityError | None = None
    """What is wrong with the fleet's authority."""
    dumps: Mapping[str, DumpFile] = field(default_factory=dict)
    """By path what a file says of itself; others are what their names say, and load."""
    tiles: Mapping[str, TilesFile | TilesFileError] = field(default_factory=dict)
    """By path what a file of tiles says of itself; others are what their names say, and good."""
    own_settings: Mapping[str, Any] = field(default_factory=lambda: json.loads(OWN_SETTINGS.read_text("utf-8")))

    def is_file(self, path: str) -> bool:
        """Tell whether it is a file."""
        return path not in self.missing

    def is_folder(self, path: str) -> bool:
        """Tell whether it is a folder."""
        return path not in self.missing

    def dump_file(self, path: str) -> DumpFile:
        """Read what a file says of itself."""
        kind = DumpKind.ARCHIVE if path.endswith(".dump") else DumpKind.SQL
        return self.dumps.get(path, DumpFile(kind, gzipped=path.endswith(".gz")))

    def tiles_file(self, path: str) -> TilesFile | TilesFileError:
        """Read what a file says of itself."""
        form = TilesForm.MBTILES if path.endswith(".mbtiles") else TilesForm.PMTILES
        return self.tiles.get(path, TilesFile(form, 1_000_000, "png", attribution="IGN"))

    def sha256(self, path: str, cache_folder: Path) -> str:
        """Give a digest, which is of the name here."""
        return hashlib.sha256(path.encode()).hexdigest()

    def certificate_problem(self, certificate: str, key: str, names: Sequence[str]) -> str:
        """Say what is wrong with it."""
        return self.certificate

    def authority_problem(self, folder: str, passphrase: str, names: Sequence[str]) -> AuthorityError | None:
        """Say what is wrong with it."""
        return self.authority


def effective(**given: Any) -> dict[str, Any]:
    """Give what applies to a host with these variables."""
    return {**DEFAULTS, **TEMPLATED, **given}


def problems(laptop: FakeLaptop | None = None, /, **given: Any) -> list[Problem]:
    """Give what is wrong with the only Pi of a run."""
    return problems_of({"pi": given}, laptop)


def problems_of(hosts: dict[str, dict[str, Any]], laptop: FakeLaptop | None = None) -> list[Problem]:
    """Give what is wrong with the Pis of a run."""
    complete = {name: effective(**given) for name, given in hosts.items()}
    return check(complete, OPTIONS, laptop or FakeLaptop(), defaults=DEFAULTS)


def told(laptop: FakeLaptop | None = None, /, **given: Any) -> list[str]:
    """Give the variables that something is wrong with on the only Pi of a run, each with what it is."""
    return [f"{found.finding.variable}: {found.finding.wrong}" for found in problems(laptop, **given)]


def host(**given: Any) -> Host:
    """Give a host with these variables."""
    hosts, _ = typed_hosts({"pi": effective(**given)}, OPTIONS, DEFAULTS)
    return hosts[0]
