"""How people reach the map: name, ports, addresses, certificate, proxies. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.poppyfield.containers import services
from ansible.module_utils.poppyfield.host.certificates import CertificateError, check_names
from ansible.module_utils.poppyfield.host.firewall import is_network
from ansible.module_utils.poppyfield.inventory.laptop import Laptop
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown

SERVER_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
LARGEST_PORT = 65535
FILES = ("lizmap_tls_certificate", "lizmap_tls_key")


def findings(host: Host, laptop: Laptop) -> Iterator[Finding]:
    """Give what is wrong."""
    values = host.values
    yield from _server_name("lizmap_server_name", values["lizmap_server_name"])
    for name in values["lizmap_server_names"]:
        yield from _server_name("lizmap_server_names", name)
    wrong_ports = list(ports(values))
    yield from wrong_ports
    yield from _bind_address(values["lizmap_bind_address"])
    yield from _files(values, laptop)
    yield from _hsts(values)
    yield from proxies(values["lizmap_trusted_proxies"])
    yield from _own_certificate(host)
    if not wrong_ports:
        # It mostly follows from the ports.
        yield from _url(values["lizmap_url"])


def _server_name(variable: str, name: str) -> Iterator[Finding]:
    if not name:
        return
    try:
        known = SERVER_NAME.fullmatch(name) and check_names([name])
    except CertificateError:
        known = None
    if not known:
        yield Finding(
            variable,
            f"{name} is no name of a server",
            "Give one as in maps.example.org, without http:// and without a port",
            shown(name),
        )


def ports(values: Mapping[str, Any]) -> Iterator[Finding]:
    """Give ports that are none, and those that two want."""
    published = services.published_ports(values)
    seen: dict[int, str] = {}
    for port, variable in ((entry["port"], entry["variable"]) for entry in published):
        if not 1 <= port <= LARGEST_PORT:
            yield Finding(variable, "it is no port", f"Give a number between 1 and {LARGEST_PORT}", shown(port))
        elif port in seen:
            yield Finding(variable, f"{seen[port]} and {variable} are both {port}", "Give each its own", shown(port))
        seen.setdefault(port, variable)


def _bind_address(address: str) -> Iterator[Finding]:
    try:
        # Docker takes no zone.
        ipaddress.ip_address(address.replace("%", " "))
    except ValueError:
        yield Finding(
            "lizmap_bind_address",
            "it is no IP address",
            "Give one of the Pi's addresses, or 0.0.0.0 for all of them",
            shown(address),
        )


def _files(values: Mapping[str, Any], laptop: Laptop) -> Iterator[Finding]:
    if values["lizmap_tls"] != "files":
        return
    wrong = False
    for variable in FILES:
        path = values[variable]
        if not path or not laptop.is_file(path):
            wrong = True
            yield Finding(
                variable,
                "lizmap_tls is files, so name your files in lizmap_tls_certificate and lizmap_tls_key"
                if not path
                else "it is not a file on this laptop",
                "Give a file in PEM, the key without a passphrase, or set lizmap_tls to self_signed",
                shown(path) if path else "",
            )
    certificate, key = (values[variable] for variable in FILES)
    names = [values["lizmap_server_name"]] if values["lizmap_server_name"] else []
    if not wrong and (problem := laptop.certificate_problem(certificate, key, names)):
        yield Finding(
            FILES[0],
            problem,
            f"Give a certificate for {names[0] if names else 'the name of the map'} and its key, both in PEM, the key "
            "without a passphrase; or set lizmap_tls to self_signed",
            shown(certificate),
        )


def _own_certificate(host: Host) -> Iterator[Finding]:
    """A certificate that is made for a Pi is for all names by which people may reach it."""
    tls = host.values["lizmap_tls"]
    if tls not in ("self_signed", "fleet"):
        return
    names = {"the Pi's name in the inventory": host.name, "lizmap_address": host.values["lizmap_address"]}
    wrong = [f"{what} ({shown(name)})" for what, name in names.items() if not _is_for_certificates(name)]
    if wrong:
        yield Finding(
            "lizmap_tls",
            f"it is {tls}, but a certificate cannot be for {' and '.join(wrong)}",
            "Use letters a to z, digits, dots and hyphens there, or your own certificate",
        )


def _is_for_certificates(name: str) -> bool:
    try:
        check_names([name])
    except CertificateError:
        return False
    return True


def _hsts(values: Mapping[str, Any]) -> Iterator[Finding]:
    seconds = values["lizmap_hsts_seconds"]
    if seconds < 0:
        yield Finding("lizmap_hsts_seconds", "it is no number of seconds", "Give 0 or more", shown(seconds))
    if seconds > 0 and values["lizmap_tls"] != "files":
        yield Finding(
            "lizmap_hsts_seconds",
            "lizmap_hsts_seconds is for a certificate that browsers trust: with lizmap_tls other than files, browsers "
            "would refuse the map",
            "Set it to 0",
            shown(seconds),
        )


def proxies(addresses: Iterable[str]) -> Iterator[Finding]:
    """Give what is neither an address nor a network."""
    for address in addresses:
        if not is_network(address):
            yield Finding(
                "lizmap_trusted_proxies",
                f"{address} is no IP address, and no network as 10.0.0.0/8",
                "Give the addresses of your proxies, or remove it",
                shown(address),
            )


def _url(url: str) -> Iterator[Finding]:
    if re.match(r"https?://\[[^]/]*%", url):
        yield Finding(
            "lizmap_address",
            "a link-local address with a zone means something on this laptop only, and no browser opens it",
            "ansible_host may stay; give another address of the Pi or its name, such as NAME.local, as lizmap_address",
            shown(url),
        )
    elif not _is_url(url):
        yield Finding(
            "lizmap_url",
            "it is no address of a web server",
            "Give one as http://192.168.1.21:80, an IPv6 address between brackets",
            shown(url),
        )


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(
            parts.scheme in ("http", "https")
            and parts.hostname
            and parts.port != 0
            and not parts.query
            and not parts.fragment
            and not re.search(r"[\s\x00-\x1f]", url)
        )
    except ValueError:
        return False
