"""What a fleet with an authority of its own needs, and the names that its certificates are for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from ansible.module_utils.poppyfield.host.certificates import CertificateError, check_names
from ansible.module_utils.poppyfield.host.fleet_authority import AuthorityError, MissingAuthorityError, PassphraseError
from ansible.module_utils.poppyfield.hotspot import settings as hotspot
from ansible.module_utils.poppyfield.inventory.laptop import Laptop
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown

NAME = re.compile(r"[0-9A-Za-z_.:-]+")
FOR_EVERYBODY = re.compile(
    r"(?!pi)[a-z]{2}|arpa|biz|com|edu|gov|home|info|int|internal|lan|local|localhost|mil|net|org"
)
"""Names below which others have theirs, for which the authority would be, too: of countries (pi is none) and of all."""
PLAYBOOK = "ansible-playbook playbooks/authority.yml"


def has_authority(host: Host) -> bool:
    """Tell whether the fleet's authority signs for a host."""
    return bool(host.values["lizmap_tls"] == "fleet")


def names_of(host: Host) -> list[str]:
    """Give the names under which a host serves the map, as the role has them."""
    values = host.values
    names = [
        values["lizmap_server_name"],
        host.name,
        f"{host.name}.local",
        values["lizmap_address"],
        _host_of(values["lizmap_url"]),
        *values["lizmap_server_names"],
        *(hotspot.names_of(values["hotspot_network"]) if values["hotspot_enabled"] else ()),
    ]
    return check_names(name for name in names if NAME.fullmatch(name))


def names_of_all(hosts: Iterable[Host]) -> list[str]:
    """Give the names of all hosts that have the fleet's authority."""
    return list(dict.fromkeys(name for host in hosts if has_authority(host) for name in names_of(host)))


def findings(host: Host, laptop: Laptop) -> Iterator[Finding]:
    """Give what is wrong."""
    if not has_authority(host):
        return
    try:
        names = names_of(host)
    except CertificateError:
        # Told by the check of names.
        return
    yield from _too_wide(names)
    values = host.values
    problem = laptop.authority_problem(values["lizmap_authority_folder"], values["lizmap_authority_passphrase"], names)
    if problem:
        yield _of(problem)


def _too_wide(names: Iterable[str]) -> Iterator[Finding]:
    for name in names:
        if FOR_EVERYBODY.fullmatch(name):
            yield Finding(
                "lizmap_tls",
                f"it is fleet, but an authority for the name {name} would be for every name that ends in .{name}",
                "Give the Pi another name, as pi-orchard",
                shown(name),
            )


def _of(problem: AuthorityError) -> Finding:
    if isinstance(problem, MissingAuthorityError):
        return Finding(
            "lizmap_authority_folder",
            f"lizmap_tls is fleet, but {problem}",
            f"Bring the files back from your copy; for a new fleet, {PLAYBOOK} makes them",
        )
    if isinstance(problem, PassphraseError):
        return Finding(
            "lizmap_authority_passphrase", str(problem), "Give the one with which the authority was made, from a vault"
        )
    return Finding(
        "lizmap_tls",
        str(problem),
        f"Renew it: {PLAYBOOK}. Tablets that have installed the one before go on opening the Pis that it is for; to "
        "open this one without a warning they have to install the new one, from the page /fleet-ca/",
    )


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
