#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what was deployed on a host, when, by whom, with what result."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: deployment_trail
short_description: What was deployed on a host, when, by whom, with what result
version_added: "0.1.0"
description:
  - Reads the trail that M(postgis_container), M(lizmap_container) and M(previous_container) leave on the host, in
    C(/var/lib/poppyfield/history.jsonl), and changes nothing.
  - The host keeps half a megabyte of it, some thousand deployments. Read it as root.
options:
  limit:
    description: How many entries to give.
    type: int
    default: 20
  services:
    description: Give only those of these services, by name.
    type: list
    elements: str
attributes:
  check_mode:
    support: full
    description: It never changes anything.
  diff_mode:
    support: none
    description: There is no difference to show.
  idempotent:
    support: full
    description: It never changes anything.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Read what was deployed last
  deployment_trail:
    limit: 5
"""

RETURN = r"""
entries:
  description: The newest first.
  returned: always
  type: list
  elements: dict
  contains:
    at:
      description: When, by the host's clock.
      type: str
      sample: "2026-01-01T08:00:00+00:00"
    result:
      description: One of V(deployed), V(put back), V(changed) and V(failed).
      type: str
    service:
      description: Name of the service.
      type: str
    container:
      description: Name of the container.
      type: str
    image:
      description: Image of the container that was in place then.
      type: str
    digest:
      description: Digest of that image.
      type: str
    tried:
      description: Image of the release that failed.
      type: str
    why:
      description: What was wrong, or what changed.
      type: str
    by:
      description: Who, and on which laptop.
      type: str
    playbook:
      description: The playbook.
      type: str
    commit:
      description: The commit of the laptop's checkout.
      type: str
msg:
  description: How many there are, in a sentence.
  returned: always
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.runs import trail

ARGUMENTS: dict[str, Any] = {
    "limit": {"type": "int", "default": 20},
    "services": {"type": "list", "elements": "str"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    entries = trail.newest(module.params["limit"], module.params["services"])
    said = f"{len(entries)} of its deployments, the newest first." if entries else "nothing was deployed yet."
    module.exit_json(changed=False, entries=entries, msg=said)


if __name__ == "__main__":
    main()
