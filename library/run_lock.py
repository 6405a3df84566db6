#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: a host's lock for a whole run."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: run_lock
short_description: A host's lock for a whole run
version_added: "0.1.0"
description:
  - Names on the host who works on it, so that two operators do not put each other's release back. M(host_requirements)
    takes the lock with its first look; this module takes it where nothing is looked at, and lets it go.
  - A lock that nobody let go of, as when a laptop was switched off, ends 30 minutes after the last sign of its run,
    when the host restarts, and at once for another run of the same user on the same laptop.
  - To let it go a short command is run on the host, and no module.
options:
  state:
    description:
      - With V(taken) this run gets the lock, or keeps it. It fails where another run has it, and names that one.
      - With V(released) it has it no longer. The lock of another run stays.
    type: str
    choices: [taken, released]
    required: true
extends_documentation_fragment:
  - poppyfield_run
attributes:
  check_mode:
    support: full
    description: There is no lock then, and none is in the way.
  diff_mode:
    support: none
    description: The lock is there or is not.
  idempotent:
    support: full
    description: The lock is not counted as a change.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Lock the Pi for this run
  run_lock:
    state: taken

- name: Let go of the Pi
  run_lock:
    state: released
"""

RETURN = r"""
msg:
  description: Who has the lock, in a sentence.
  returned: failure
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.runs import lock
from ansible.module_utils.poppyfield.runs.lock import LockError

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["taken", "released"], "required": True},
    "run": lock.OPTION,
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    run = None if module.check_mode else module.params["run"]
    try:
        (lock.take if module.params["state"] == "taken" else lock.let_go)(run)
    except LockError as error:
        module.fail_json(msg=f"Nothing was done. {error}")
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
