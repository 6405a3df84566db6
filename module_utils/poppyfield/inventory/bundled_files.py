"""The files of the laptop that variables name: what of them goes into a bundle, and what stands for it there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.poppyfield.bundle.contents import key_of, reference
from ansible.module_utils.poppyfield.inventory.laptop import local_path
from ansible.module_utils.poppyfield.inventory.problems import LEAST_SECRET, Finding, Host

ARCHIVES = ("lizmap_archive", "lizmap_server_plugin")
ENTRIES = {
    "lizmap_projects": "folder",
    "lizmap_basemaps": "file",
    "lizmap_server_extra_plugins": "source",
    "postgis_databases": "initial_sql",
}
"""By variable what names a file in each of its entries."""
LISTS = ("postgis_first_start_files",)
OF_LIZMAP = (*ARCHIVES, "lizmap_server_extra_plugins")


@dataclass
class BundledFiles:
    """What goes into a bundle."""

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By host the variables that name files, with references in place of paths."""
    sources: dict[str, str] = field(default_factory=dict)
    """By key the path on this laptop."""

    def put(self, path: str) -> str:
        """Have a file or folder go in, once for all hosts; give what stands in its place."""
        there = local_path(path).absolute()
        key = key_of(there, hashlib.sha256(str(there).encode()).hexdigest())
        self.sources[key] = str(there)
        return reference(key)


def collected(hosts: Iterable[Host]) -> BundledFiles:
    """Give what the variables of hosts name; what is fetched from elsewhere stays as it is."""
    found = BundledFiles()
    for host in hosts:
        found.hosts[host.name] = dict(_of_host(host.values, found))
    return found


def _of_host(values: Mapping[str, Any], found: BundledFiles) -> Iterator[tuple[str, Any]]:
    left = OF_LIZMAP if values["lizmap_web_client"] != "archive" else ()
    for name in ARCHIVES:
        if name not in left and _is_path(values[name]):
            yield name, found.put(values[name])
    for name, entry_key in ENTRIES.items():
        entries: Sequence[Mapping[str, Any]] = () if name in left else values[name]
        if any(_is_path(entry.get(entry_key)) for entry in entries):
            yield name, [_entry(entry, entry_key, found) for entry in entries]
    for name in LISTS:
        if values[name]:
            yield name, [found.put(path) for path in values[name]]


def _entry(entry: Mapping[str, Any], entry_key: str, found: BundledFiles) -> dict[str, Any]:
    path = entry.get(entry_key)
    return {**entry, entry_key: found.put(path)} if path and _is_path(path) else dict(entry)


def _is_path(value: Any) -> bool:
    return bool(value) and "://" not in str(value)


def findings(host: Host, found: BundledFiles, secrets: Iterable[str]) -> Iterator[Finding]:
    """Give what cannot go into a bundle: a secret, or what a Pi alone cannot have."""
    for variable, value in found.hosts[host.name].items():
        text = json.dumps(value, ensure_ascii=False)
        if any(
            len(secret) >= LEAST_SECRET and json.dumps(secret, ensure_ascii=False)[1:-1] in text for secret in secrets
        ):
            yield Finding(
                variable,
                "something encrypted stands in it, and a bundle would hold it in the clear",
                "Keep what is encrypted in another variable, or set bundle_alone to false",
            )
    if host.values["hardening_ssh_keys_only"]:
        yield Finding(
            "hardening_ssh_keys_only",
            "passwords are switched off once a log-in by key has worked from the laptop, which a Pi alone has not",
            "Set it to false, or bundle_alone to false, after which a laptop installs from the bundle",
        )
    if (how := host.values["lizmap_tls"]) in ("files", "fleet"):
        what = "the key lizmap_tls_key" if how == "files" else "the authority's key, which would have to sign there"
        yield Finding(
            "lizmap_tls",
            f"it is {how}, and no key goes into a bundle, so that a Pi alone has not {what}",
            "Set bundle_alone to false, after which a laptop installs from the bundle; or lizmap_tls to self_signed",
        )


def paths(found: BundledFiles) -> list[dict[str, str]]:
    """Give what the module made_bundle takes."""
    return [{"key": key, "source": path} for key, path in sorted(found.sources.items())]
