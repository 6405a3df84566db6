#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: our keys in Docker's daemon.json, among those of the operator."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: docker_settings
short_description: Set Poppyfield's keys in Docker's daemon.json
version_added: "0.1.0"
description:
  - Adds keys to the file, or gives them other values, and keeps all other keys.
  - Fails, and changes nothing, where a key of the operator contradicts one that is needed, or where the file is not
    valid JSON. M(host_requirements) tells the same before anything is changed.
  - The engine must be restarted to read the file.
options:
  settings:
    description: Poppyfield's keys, C(live-restore), C(log-driver) and C(log-opts), with their values.
    type: dict
    required: true
  path:
    description: The file. Its owner and mode stay.
    type: path
    default: /etc/docker/daemon.json
attributes:
  check_mode:
    support: full
    description: Tells what would be changed.
  diff_mode:
    support: full
    description: Shows Poppyfield's own keys before and after. Others, such as a proxy's password, are never shown.
  idempotent:
    support: full
    description: A file that has the keys stays as it is, byte by byte.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Bound the logs of containers
  docker_settings:
    settings:
      live-restore: true
      log-driver: local
      log-opts: {max-size: 10m, max-file: "3"}
"""

RETURN = r"""
kept:
  description: The names of the operator's keys, which stay as they are.
  returned: success
  type: list
  elements: str
"""

import stat
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.host.docker_settings import (
    PATH,
    SettingsError,
    merged,
    problems,
    read,
    shown,
    text_of,
)

ARGUMENTS: dict[str, Any] = {
    "settings": {"type": "dict", "required": True},
    "path": {"type": "path", "default": PATH},
}


def converge(path: Path, ours: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Put our keys into the file; give the module's return values."""
    there = read(path.read_text("utf-8") if path.exists() else "")
    refused = list(problems(there, ours, root=""))
    if refused:
        raise SettingsError(" ".join(refused).removesuffix("."))
    wanted = merged(there, ours)
    if wanted != there and not check_mode:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Who may read it is the operator's choice: there can be a proxy's password in it.
        kept = {"mode": stat.S_IMODE(path.stat().st_mode)} if path.exists() else {}
        atomic_file.write(path, text_of(wanted).encode(), **kept)
    return {
        "changed": wanted != there,
        "kept": sorted(set(there) - set(ours)),
        "diff": {"before": text_of(shown(there, ours)), "after": text_of(shown(wanted, ours))},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    path = Path(module.params["path"])
    try:
        result = converge(path, module.params["settings"], check_mode=module.check_mode)
    except SettingsError as error:
        module.fail_json(msg=f"Nothing was changed. {error}.")
    except UnicodeDecodeError:
        module.fail_json(msg=f"Nothing was changed. {path} is not UTF-8. Correct it, or move it away.")
    except OSError as error:
        module.fail_json(msg=f"{path}: {error.strerror}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
