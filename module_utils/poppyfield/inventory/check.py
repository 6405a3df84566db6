"""All checkers over all hosts. Pure, but for what a laptop is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible.module_utils.poppyfield.inventory import (
    archives,
    backup,
    basemaps,
    dumps,
    engine,
    fleet,
    fleet_authority,
    folders,
    hardening,
    hotspot,
    images,
    lizmap_accounts,
    lizmap_front,
    lizmap_settings,
    memory,
    names_and_types,
    network_policy,
    people,
    pi_page,
    position,
    postgis,
    projects,
)
from ansible.module_utils.poppyfield.inventory.laptop import Laptop
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, Problem, together

Checker = Callable[[Host, Laptop], Iterator[Finding]]
CHECKERS: tuple[Checker, ...] = (
    lambda host, laptop: fleet.findings(host),
    lambda host, laptop: engine.findings(host),
    lambda host, laptop: hardening.findings(host),
    lambda host, laptop: backup.findings(host),
    lambda host, laptop: pi_page.findings(host),
    lambda host, laptop: position.findings(host),
    lambda host, laptop: hotspot.findings(host),
    images.findings,
    lambda host, laptop: folders.findings(host),
    lambda host, laptop: memory.findings(host),
    postgis.findings,
    lambda host, laptop: people.findings(host),
    dumps.findings,
    archives.findings,
    lizmap_front.findings,
    fleet_authority.findings,
    lambda host, laptop: network_policy.findings(host),
    lambda host, laptop: lizmap_accounts.findings(host),
    lambda host, laptop: lizmap_settings.findings(host, laptop.own_settings),
    projects.findings,
    basemaps.findings,
)


def check(
    hosts: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any],
    laptop: Laptop,
    *,
    defaults: Mapping[str, Any] | None = None,
    before: Mapping[str, Sequence[Finding]] | None = None,
    secrets: Sequence[str] = (),
) -> list[Problem]:
    """Give everything that is wrong with the variables of hosts, each thing once, with all of its hosts.

    `hosts` has by name what applies to each host: the inventory's values over the roles' defaults. `defaults` stand in
    for values of another type than the documented one (`options`), so that one mistake is told once. `before` has what
    is known already, and `secrets` what no message may show.
    """
    kept, found = typed_hosts(hosts, options, defaults or {})
    found += [(name, finding) for name, findings in (before or {}).items() for finding in findings]
    told = {(name, finding.variable) for name, finding in found}
    told |= {(str(name), variable) for name, given in hosts.items() for variable in set(options) - set(given)}
    for host in kept:
        for checker in CHECKERS:
            # Of a value that is not there or not of its type, nothing more.
            found += [(host.name, one) for one in checker(host, laptop) if (host.name, one.variable) not in told]
    found += [*images.shared(kept), *fleet.shared(kept)]
    hidden = [text for host in kept for text in _secrets(host, options)]
    return together(found, [*hidden, *secrets])


def typed_hosts(
    hosts: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[list[Host], list[tuple[str, Finding]]]:
    """Give the hosts with the documented types, and what is wrong with names of hosts and with types."""
    kept: list[Host] = []
    found: list[tuple[str, Finding]] = []
    for name, given in hosts.items():
        values, findings = names_and_types.typed(options, given)
        wrong = {finding.variable for finding in findings} | (set(options) - set(given))
        stand_ins = {variable: defaults[variable] for variable in wrong & set(defaults) & set(options)}
        values |= names_and_types.typed({variable: options[variable] for variable in stand_ins}, stand_ins)[0]
        kept.append(Host(str(name), given, values))
        found += [(str(name), finding) for finding in [*names_and_types.host_findings(str(name)), *findings]]
    return kept, found


def _secrets(host: Host, options: Mapping[str, Any]) -> Iterator[str]:
    for name, option in options.items():
        if name in host.given:
            yield from _leaves(host.given[name], secret=names_and_types.is_secret(name, option))


def _leaves(value: Any, *, secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, secret=secret or "password" in str(name).lower())
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, secret=secret)
    elif secret and value is not None and not isinstance(value, bool):
        yield str(value)
