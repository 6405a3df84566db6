# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup plugin: the tables of services, profiles and architectures, for playbooks and roles."""

from __future__ import annotations

DOCUMENTATION = r"""
name: poppyfield_table
short_description: What Poppyfield consists of, one table each
version_added: "0.1.0"
description:
  - Gives the tables that modules use themselves, as plain dictionaries and in order, so that no playbook or role names
    a container, an architecture or a version of its own.
options:
  _terms:
    description:
      - V(services) has by name what there is to know of each container. V(container), V(image) (without a tag),
        V(context) (the folder of its build context in the project), V(role), V(network_alias), V(title),
        V(build_arguments) (by build argument the field of the profile), V(ports) (with V(variable), V(default) and
        V(unless)), V(data_folders) (by variable the folder), V(memory_limit_share), V(memory_share),
        V(has_application), V(keeps_previous) and V(user) (whose the data are in the container).
      - V(profiles) has by name V(architectures), V(postgresql), V(postgis), V(qgis_server), V(php), V(lizmap_from),
        V(lizmap_before), V(lizmap_tested) and V(lizmap_server).
      - V(architectures) has by Debian's name V(platform) (as Docker is asked for it), V(engine) (as Docker Engine says
        it) and V(machine) (as the kernel says it).
      - V(network) is the name of the containers' network, V(secrets_folder) the folder of a host for passwords and
        keys, V(compose_folder) that for docker-compose, V(hardened_engine) has the keys of Docker's daemon.json that
        the variable C(hardening_engine) asks for, V(default_profile) is the name of a profile, and V(what_fits) says in
        sentences what each profile is for.
      - V(ports) has a dictionary for each port that the host at hand publishes, with V(port), V(container) and
        V(variable), as M(host_requirements) takes it.
      - V(hotspot) has V(network) and V(names) of the Wi-Fi of its own that the host at hand is to have; empty ones
        where it has none.
      - V(engine_packages) has by source of Docker Engine and release the packages, the engine first.
      - V(services_of_host) has the entries of V(services) as a list, with V(container) as the host at hand calls it.
    type: list
    elements: str
    choices:
      - services
      - profiles
      - architectures
      - engine_packages
      - network
      - secrets_folder
      - compose_folder
      - hardened_engine
      - default_profile
      - what_fits
      - ports
      - hotspot
      - services_of_host
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Deploy each service by its role
  ansible.builtin.include_role:
    name: "{{ item.role }}"
  loop: "{{ lookup('poppyfield_table', 'services').values() | list }}"

- name: Show which PostgreSQL the images have
  ansible.builtin.debug:
    msg: "{{ lookup('poppyfield_table', 'profiles').trixie.postgresql }}"
"""

RETURN = r"""
_raw:
  description: What was asked for, one for each term.
  type: list
  elements: raw
"""

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.containers import services
from ansible.module_utils.poppyfield.host import architectures, docker_packages, docker_settings
from ansible.module_utils.poppyfield.hotspot import settings as hotspot
from ansible.module_utils.poppyfield.images import profiles

TABLES: Mapping[str, Callable[[], Any]] = {
    "services": services.table,
    "profiles": profiles.table,
    "architectures": architectures.table,
    "engine_packages": docker_packages.table,
    "network": lambda: services.NETWORK,
    "secrets_folder": lambda: services.SECRETS_FOLDER,
    "compose_folder": lambda: services.COMPOSE_FOLDER,
    "hardened_engine": lambda: dict(docker_settings.HARDENED),
    "default_profile": lambda: profiles.DEFAULT,
    "what_fits": profiles.what_fits,
}
OF_HOST: Mapping[str, tuple[Callable[[], set[str]], Callable[[Mapping[str, Any]], Any]]] = {
    "ports": (services.variables_of_ports, services.published_ports),
    "hotspot": (lambda: set(hotspot.VARIABLES), hotspot.of_host),
    "services_of_host": (services.variables_of_names, services.of_host),
}
"""For each table that depends on the host at hand, the variables that it looks at."""


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core has no types
    """Give what was asked for."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """Return one value for each term."""
        return [self._of_host(term, variables or {}) if term in OF_HOST else _table(term) for term in terms]

    def _of_host(self, term: str, variables: Mapping[str, Any]) -> Any:
        names, table = OF_HOST[term]
        return table({name: self._templar.template(variables[name]) for name in names() & set(variables)})


def _table(term: str) -> Any:
    if term not in TABLES:
        raise AnsibleError(f"There is no table {term!r}. There are: {', '.join([*TABLES, *OF_HOST])}.")
    return TABLES[term]()
