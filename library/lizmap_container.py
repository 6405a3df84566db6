#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the map server container with its projects, configuration and port."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lizmap_container
short_description: The map server container
version_added: "0.1.0"
description:
  - Keeps the map server (QGIS Server behind a web server, with Lizmap Web Client where the image has it) in a
    container. The QGIS projects are in a plain folder on the host, which the container can only read.
  - The container is replaced when something that was asked for changed, was removed, or differs from what runs. A new
    one is tried beside the old one first (O(prove_beside)). The old one is then stopped and kept until the new one is
    healthy, and serves again if the new one is not.
  - Whether it is healthy a container finds out by itself. For what only somebody outside can tell, the old one can be
    kept for longer (O(keep_previous)), and M(previous_container) rolls back to it.
  - A container or network of the same name that Poppyfield did not make is never touched.
extends_documentation_fragment:
  - poppyfield_container
  - poppyfield_host_files
  - poppyfield_run
options:
  name:
    default: websig-lizmap
  network_alias:
    default: lizmap
  projects_folder:
    description: Folder on the host with one folder for each repository and the QGIS projects in it. It must exist.
    type: path
    default: /srv/poppyfield/lizmap/projects
  config_folder:
    description: Folder on the host that keeps the map server's own state. It must exist and belong to the user 33.
    type: path
    default: /srv/poppyfield/lizmap/config
  page_folder:
    description:
      - Folder on the host with the pages that M(pi_page) writes, such as C(/run/poppyfield-page), which the map server
        hands out at C(/status). It must exist. Without it there are none.
    type: path
  secrets:
    description:
      - Secrets that the container reads, a dictionary from their name to their file on the host.
      - The container is replaced when one of the files was renewed.
    type: dict
    default: {}
  port:
    description: TCP port of the host on which the map is published.
    type: int
    default: 80
  https_port:
    description:
      - TCP port of the host on which the map is published by HTTPS. With V(0) there is only HTTP; otherwise HTTP
        redirects there.
      - The certificate, with its chain, is the secret C(tls_certificate), and its key C(tls_key). Where the latter's
        file holds the certificate as well, that one is used, and both are replaced at once.
      - With the secret C(tls_authority), a certificate authority, the page C(/fleet-ca/) offers it to devices, by HTTP,
        too.
    type: int
    default: 0
  hsts_seconds:
    description:
      - How long browsers are to come back by HTTPS only, whatever people type. With V(0) they are not told. Only for a
        certificate that browsers trust, since they then let nobody pass a warning.
    type: int
    default: 0
  trusted_proxies:
    description:
      - Addresses, or networks such as V(10.0.0.0/8), of proxies before this host. Of these X-Forwarded-For and
        X-Forwarded-Proto are believed, from others not.
    type: list
    elements: str
    default: []
  server_names:
    description:
      - Names under which the map is served, besides V(localhost) and IP addresses. Requests for others are refused.
        Empty serves any.
    type: list
    elements: str
    default: []
  hotspot_network:
    description:
      - Network of a Wi-Fi of the host's own, as of M(hotspot_service). A device that joins it, and asks whether it is
        online, is led to a page there, and once its button was pressed hears that it is. Empty leads nobody.
    type: str
    default: ""
  may_reach:
    description:
      - What the container may reach besides O(network), such as a server whose layers a project shows. Everything else,
        the host itself included, is refused by the host's firewall; what only answers is not.
      - For other computers' names, name their DNS server here as well, with the port 53 and V(udp).
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: An IP address, or a network such as V(10.0.0.0/8).
        type: str
        required: true
      port:
        description: The port there. Without one, all of them.
        type: int
      protocol:
        description: Of the port.
        type: str
        choices: [tcp, udp]
        default: tcp
  bind_address:
    description: Address of the host on which the map is published.
    type: str
    default: 0.0.0.0
  database:
    description: Database that the projects read.
    type: dict
    required: true
    suboptions:
      host:
        description: Host of the database inside O(network).
        type: str
        default: postgis
      port:
        description: Port of the database.
        type: int
        default: 5432
      name:
        description: Name of the database.
        type: str
        required: true
      user:
        description: Role that connects. Its password is the secret C(postgis_password).
        type: str
        required: true
  accounts:
    description:
      - Where Lizmap keeps its accounts. V(sqlite) is in O(config_folder).
      - V(postgis) is on the same server as O(database), in the database C(lizmap), as the role C(lizmap), whose
        password is the secret C(lizmap_accounts_password).
    type: str
    choices: [sqlite, postgis]
    default: sqlite
  qgis_workers:
    description:
      - Number of QGIS Server processes.
      - With V(0) it follows from the memory that the container may use, one for each 700 MB, from 1 to 4.
    type: int
    default: 0
  php_children:
    description:
      - Greatest number of PHP processes.
      - With V(0) it follows from the memory that the container may use, two for each 700 MB, from 2 to 8.
    type: int
    default: 0
  server_name:
    description: Name of the server in a browser's address, if it has one.
    type: str
    default: ""
  prove_beside:
    description:
      - Whether a new container is first tried beside the old one, without its port and with an empty configuration,
        so that one that cannot become healthy costs no second of service.
      - V(auto) does it on hosts with 2 GB of memory or more, since both hold their programs in memory for that time.
    type: str
    choices: [auto, always, never]
    default: auto
  keep_previous:
    description:
      - Whether the old container stays when the new one is healthy, stopped, and named O(name) with C(-previous) added,
        until M(previous_container) removes it or puts it back.
    type: bool
    default: false
  hold:
    description:
      - Whether to do nothing where a container that runs would be replaced, and return RV(held), so that others can
        look at what the old one serves before it goes. Where a container was kept earlier, it is replaced all the same,
        since nobody has looked yet at the one in place.
    type: bool
    default: false
  stop_timeout:
    default: 30
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Run the map server
  lizmap_container:
    image: "{{ lizmap.image }}"
    port: 80
    secrets:
      postgis_password: /etc/poppyfield/secrets/lizmap_postgis_password
    database:
      name: gis
      user: lizmap

- name: Run it with HTTPS, behind a proxy of the local network
  lizmap_container:
    image: "{{ lizmap.image }}"
    port: 80
    https_port: 443
    trusted_proxies: [192.168.1.1]
    secrets:
      postgis_password: /etc/poppyfield/secrets/lizmap_postgis_password
      tls_certificate: /etc/poppyfield/tls/certificate.pem
      tls_key: /etc/poppyfield/tls/key.pem
    database:
      name: gis
      user: lizmap

- name: Remove the map server, keeping projects and configuration
  lizmap_container:
    image: "{{ lizmap.image }}"
    database:
      name: gis
      user: lizmap
    state: absent
"""

RETURN = r"""
container:
  description: The container after the run, empty when there is none.
  returned: always
  type: dict
  contains:
    id:
      description: Its id.
      type: str
    name:
      description: Its name.
      type: str
    image:
      description: Reference of its image.
      type: str
    running:
      description: Whether it runs.
      type: bool
    health:
      description: What its health check says.
      type: str
held:
  description: Whether the container would be replaced, and nothing was done because of O(hold). Never in check mode.
  returned: always
  type: bool
previous:
  description: Name of the old container where it was kept, otherwise empty.
  returned: always
  type: str
steps:
  description: What was done, or would be done in check mode, in order.
  returned: always
  type: list
  elements: str
reasons:
  description: Why something changed.
  returned: always
  type: list
  elements: str
  sample: ["ports: 8080/tcp: 0.0.0.0:80 -> 0.0.0.0:8000"]
seconds_without_service:
  description: How long nobody was served while the container was replaced.
  returned: always
  type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers import container_module, services
from ansible.module_utils.poppyfield.containers.plan import PlanError
from ansible.module_utils.poppyfield.containers.services import LIZMAP, POSTGIS
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Mount, Port, Proof
from ansible.module_utils.poppyfield.host import firewall, host_files
from ansible.module_utils.poppyfield.hotspot import settings as hotspot
from ansible.module_utils.poppyfield.lizmap import sandbox

FOLDER = LIZMAP.data_folders["lizmap_folder"]
HTTP_PORT = 8080
HTTPS_PORT = 8443
TLS_SECRETS = ("tls_certificate", "tls_key")
PROJECTS_TARGET = "/srv/projects"
CONFIG_TARGET = "/srv/lizmap"
PAGE_TARGET = "/srv/page"
SECRETS_TARGET = "/run/secrets"
OWN_FOLDER = "uid=33,gid=33,mode=0750,size=128m"
LEAST_MEMORY_FOR_TWO = 1792 * 1024 * 1024
"""What a Pi sold as 2 GB tells, rounded."""

ARGUMENTS: dict[str, Any] = {
    **container_module.CONTAINER_OPTIONS,
    **services.options_of(LIZMAP),
    "projects_folder": {"type": "path", "default": f"{FOLDER}/projects"},
    "config_folder": {"type": "path", "default": f"{FOLDER}/config"},
    "page_folder": {"type": "path"},
    "secrets": {"type": "dict", "default": {}, "no_log": False},
    "port": {"type": "int", "default": LIZMAP.ports[0].default},
    "https_port": {"type": "int", "default": 0},
    "hsts_seconds": {"type": "int", "default": 0},
    "trusted_proxies": {"type": "list", "elements": "str", "default": []},
    "server_names": {"type": "list", "elements": "str", "default": []},
    "hotspot_network": {"type": "str", "default": ""},
    "may_reach": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "address": {"type": "str", "required": True},
            "port": {"type": "int"},
            "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
        },
    },
    "bind_address": {"type": "str", "default": "0.0.0.0"},  # noqa: S104 - a map server is there for its network
    "database": {
        "type": "dict",
        "required": True,
        "options": {
            "host": {"type": "str", "default": POSTGIS.network_alias},
            "port": {"type": "int", "default": 5432},
            "name": {"type": "str", "required": True},
            "user": {"type": "str", "required": True},
        },
    },
    "accounts": {"type": "str", "choices": ["sqlite", "postgis"], "default": "sqlite"},
    "qgis_workers": {"type": "int", "default": 0},
    "php_children": {"type": "int", "default": 0},
    "server_name": {"type": "str", "default": ""},
    "stop_timeout": {"type": "int", "default": 30},
    "prove_beside": {"type": "str", "choices": ["auto", "always", "never"], "default": "auto"},
    "keep_previous": {"type": "bool", "default": False},
    "hold": {"type": "bool", "default": False},
}


def environment_of(params: dict[str, Any]) -> dict[str, str]:
    """Give the environment of the container, in which there are no secrets."""
    database = params["database"]
    environment = {
        "POSTGIS_HOST": database["host"],
        "POSTGIS_PORT": str(database["port"]),
        "POSTGIS_DATABASE": database["name"],
        "POSTGIS_USER": database["user"],
    }
    chosen = {
        "QGIS_SERVER_WORKERS": params["qgis_workers"],
        "PHP_CHILDREN": params["php_children"],
        "SERVER_NAME": params["server_name"],
        "HTTPS_PORT": params["https_port"],
        "HSTS_SECONDS": params["hsts_seconds"],
        "TRUSTED_PROXIES": " ".join(params["trusted_proxies"]),
        "SERVER_NAMES": " ".join(params["server_names"]),
        "HOTSPOT_NETWORK": params["hotspot_network"],
        "LIZMAP_ACCOUNTS": params["accounts"] if params["accounts"] != "sqlite" else "",
    }
    return environment | {name: str(value) for name, value in chosen.items() if value}


def ports_of(params: dict[str, Any]) -> tuple[Port, ...]:
    """Give the ports that are published."""
    address = params["bind_address"]
    https = (Port(address, params["https_port"], HTTPS_PORT),) if params["https_port"] else ()
    return (Port(address, params["port"], HTTP_PORT), *https)


def check_may_reach(params: dict[str, Any]) -> None:
    """Refuse what is neither an address nor a network."""
    wrong = [place["address"] for place in params["may_reach"] if not firewall.is_network(place["address"])]
    if wrong:
        raise PlanError(f"may_reach: {', '.join(wrong)} is no IP address, and no network as 10.0.0.0/8.")


def check_hotspot(params: dict[str, Any]) -> None:
    """Refuse what is no network."""
    if (network := params["hotspot_network"]) and (wrong := hotspot.network_problem(network)):
        raise PlanError(f"hotspot_network: {network}: {wrong}.")


def check_tls(params: dict[str, Any]) -> None:
    """Refuse HTTPS without a certificate, and without a port of its own."""
    if not params["https_port"]:
        return
    missing = [name for name in TLS_SECRETS if name not in params["secrets"]]
    if missing:
        raise PlanError(f"https_port needs the secrets {' and '.join(TLS_SECRETS)}: {', '.join(missing)} is not there.")
    if params["https_port"] == params["port"]:
        raise PlanError(f"port and https_port are both {params['port']}: each needs its own.")


def proof_of(params: dict[str, Any], memory: int) -> Proof | None:
    """Give how a new container is tried beside the old one, None if it is not; `memory` is the host's, in bytes."""
    wanted = params["prove_beside"]
    if wanted == "never" or (wanted == "auto" and memory < LEAST_MEMORY_FOR_TWO):
        return None
    # With an empty configuration it installs Lizmap, which it must not do in the database that the old one uses.
    accounts = {"LIZMAP_ACCOUNTS": "sqlite"} if params["accounts"] != "sqlite" else {}
    return Proof(tmpfs={CONFIG_TARGET: OWN_FOLDER}, environment={"QGIS_SERVER_WORKERS": "1", **accounts})


def spec_of(params: dict[str, Any], stamps: dict[str, str], memory: int) -> ContainerSpec:
    """Give the canonical specification of what the parameters ask for."""
    return ContainerSpec(
        name=params["name"],
        resource=LIZMAP.name,
        image=params["image"],
        network=params["network"],
        network_aliases=(params["network_alias"],),
        environment=environment_of(params),
        mounts=(
            Mount(params["projects_folder"], PROJECTS_TARGET, read_only=True),
            Mount(params["config_folder"], CONFIG_TARGET, read_only=False),
            *([Mount(params["page_folder"], PAGE_TARGET, read_only=True)] if params["page_folder"] else []),
            *(Mount(path, f"{SECRETS_TARGET}/{name}", read_only=True) for name, path in params["secrets"].items()),
        ),
        capabilities=sandbox.CAPABILITIES,
        tmpfs=sandbox.TMPFS,
        hardware_address=firewall.hardware_address(params["name"]) if params["may_reach"] else "",
        memory_limit=container_module.memory_limit(params, memory),
        ports=ports_of(params),
        health=container_module.health_timing(params),
        stop_timeout=params["stop_timeout"],
        secret_stamps=stamps,
        proof=proof_of(params, memory),
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        check_tls(module.params)
        check_may_reach(module.params)
        check_hotspot(module.params)
        memory = container_module.total_memory(container_module.read_meminfo())
        files = container_module.bring_about(module)
        predicted = {change.path for change in files if change.is_new} if module.check_mode else set()
        stamps = container_module.stamps_of(module.params["secrets"], predicted)
        spec = spec_of(module.params, stamps, memory)
        files += container_module.keep_to_network(module, spec, module.params["may_reach"])
        result = container_module.run(module, container_module.bound_to_data(module, spec))
    except PlanError as error:
        module.fail_json(msg=str(error))
    result.pop("content_changes")
    module.exit_json(**host_files.with_changes(result, files))


if __name__ == "__main__":
    main()
