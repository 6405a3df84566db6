#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the container of a server of static files."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: files_container
short_description: The file server container
version_added: "0.1.0"
description:
  - Serves the files of a folder on the host, which the container can only read.
  - A container or network of the same name that Poppyfield did not make is never touched.
extends_documentation_fragment:
  - poppyfield_container
  - poppyfield_host_files
  - poppyfield_run
options:
  name:
    default: websig-files
  network_alias:
    default: files
  folder:
    description: Folder on the host with the files. It must exist, or be one of O(host_files.folders).
    type: path
    default: /srv/poppyfield/files
  port:
    description: TCP port of the host on which the files are published.
    type: int
    default: 8090
  bind_address:
    description: Address of the host on which the files are published.
    type: str
    default: 0.0.0.0
  stop_timeout:
    default: 10
  memory_limit_share:
    default: 0.25
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Serve the files
  files_container:
    image: "{{ files_image }}"
    port: 8090
"""

RETURN = r"""
container:
  description: The container after the run, with the keys that M(lizmap_container) returns, empty when there is none.
  returned: always
  type: dict
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
seconds_without_service:
  description: How long nobody was served while the container was replaced.
  returned: always
  type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers import container_module, services
from ansible.module_utils.poppyfield.containers.plan import PlanError
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Mount, Port
from ansible.module_utils.poppyfield.host import host_files

FILES = services.named("files")
CONTAINER_PORT = 8080
FILES_TARGET = "/srv/files"

ARGUMENTS: dict[str, Any] = {
    **container_module.CONTAINER_OPTIONS,
    **services.options_of(FILES),
    "folder": {"type": "path", "default": FILES.data_folders["files_folder"]},
    "port": {"type": "int", "default": FILES.ports[0].default},
    "bind_address": {"type": "str", "default": "0.0.0.0"},
    "stop_timeout": {"type": "int", "default": 10},
}


def spec_of(params: dict[str, Any], memory: int) -> ContainerSpec:
    """Give the canonical specification of what the parameters ask for on a host with this memory in bytes."""
    return ContainerSpec(
        name=params["name"],
        resource=FILES.name,
        image=params["image"],
        network=params["network"],
        network_aliases=(params["network_alias"],),
        mounts=(Mount(params["folder"], FILES_TARGET, read_only=True),),
        ports=(Port(params["bind_address"], params["port"], CONTAINER_PORT),),
        health=container_module.health_timing(params),
        stop_timeout=params["stop_timeout"],
        memory_limit=container_module.memory_limit(params, memory),
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        memory = container_module.total_memory(container_module.read_meminfo())
        files = container_module.bring_about(module)
        result = container_module.run(module, spec_of(module.params, memory))
    except PlanError as error:
        module.fail_json(msg=str(error))
    for name in ("content_changes", "previous"):
        result.pop(name)
    module.exit_json(**host_files.with_changes(result, files))


if __name__ == "__main__":
    main()
