#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: backups of a host, made by a timer."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_service
short_description: Backups of a map server, made by a timer
version_added: "0.1.0"
description:
  - Installs the program that makes backups and restores them, its settings, and a timer of systemd that runs it at low
    priority. The program feeds restic by streams; nothing is staged on the host's own card.
  - The action plugin makes a password for each host once, in O(password_folder) on the controller, and the module
    writes it on the host, readable by root alone. A host that has another one is left as it is.
  - The program restic must be there already.
options:
  host:
    description: The name of the host in its backups.
    type: str
    required: true
  targets:
    description: Where the backups go.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the target is called.
        type: str
        required: true
      label:
        description: Label of the file system of a stick or disk, which is mounted for each backup alone.
        type: str
      folder:
        description: A folder on which something is mounted. While nothing is, nothing is written.
        type: path
      sftp:
        description: Another machine, as C(USER@MACHINE:/FOLDER). The host gets in with a key of its own.
        type: str
      port:
        description: Where that machine answers.
        type: int
      host_key:
        description: The key that the machine of O(targets[].sftp) must show, such as C(ssh-ed25519 AAAA...).
        type: str
  keep:
    description: How many backups are kept by C(hourly), C(daily) and C(weekly).
    type: dict
    required: true
  schedule:
    description: How often a backup is made.
    type: str
    choices: [hourly, daily, weekly]
    default: hourly
  folders:
    description: By C(projects), C(config) and C(secrets) the folders that are saved and restored.
    type: dict
    required: true
  also:
    description: Further files and folders that are saved, and that no restore puts in place.
    type: list
    elements: path
    default: []
  prove:
    description:
      - Whether the timer restores a backup for trial, the first one and then one a week, in a container that is thrown
        away, and compares it with what was saved. It takes room on the target meanwhile.
    type: bool
    default: true
  wal:
    description:
      - Whether what is committed in the database is on the targets within a minute, by its WAL and a base copy. A
        service of systemd saves them, encrypted as the backups are. Without it, one that was there is ended.
    type: bool
    default: false
  max_age_days:
    description: The newest backup counts as too old after so many days.
    type: int
    default: 3
  max_unproven_days:
    description: Backups count as unproven after so many days without a trial that went well.
    type: int
    default: 14
  data_folder:
    description: The folder that holds the database.
    type: path
    required: true
  postgis:
    description: Name of the database's container.
    type: str
    default: websig-postgis
  lizmap:
    description: Name of the map server's container.
    type: str
    default: websig-lizmap
  healthy_timeout:
    description: How many seconds the map server may take to be healthy after a restore.
    type: int
    default: 900
  password_folder:
    description: Folder on the controller with a file for each host that holds the password of its backups. Needed.
    type: path
attributes:
  action:
    description: The password is made and kept on the controller.
    support: full
  check_mode:
    description: Tells what would be changed; no password is made.
    support: full
  diff_mode:
    description: Shows which files are made or replaced, never their content.
    support: full
  idempotent:
    description: A host that is set up stays as it is.
    support: full
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Make a backup every hour while the stick is in
  backup_service:
    host: "{{ inventory_hostname }}"
    targets:
      - {name: stick, label: POPPYFIELD}
    keep: {hourly: 24, daily: 7, weekly: 8}
    folders:
      projects: /srv/poppyfield/lizmap/projects
      config: /srv/poppyfield/lizmap/config
      secrets: /etc/poppyfield/secrets
    data_folder: /srv/poppyfield/postgis/data
    password_folder: "{{ inventory_dir }}/backup-passwords"
"""

RETURN = r"""
reasons:
  description: Which files changed.
  returned: success
  type: list
  elements: str
public_key:
  description: What machines that are targets by SFTP are to let in, a line for their C(authorized_keys). Else empty.
  returned: success
  type: str
offers:
  description: >-
    For each target that holds backups of this host from before its card, which was neither saved there nor restored
    yet: the C(target), and what is C(said) of the newest. None of them is put in place by itself.
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.backup.service import SCHEDULES, BackupService, BackupServiceError
from ansible.module_utils.poppyfield.host import host_files
from ansible.module_utils.poppyfield.host.host_files import HostFileError
from ansible.module_utils.poppyfield.host.password_file import PasswordFileError
from ansible.module_utils.poppyfield.host.systemd import SystemdError

OF_THE_PROGRAM = (
    *("host", "targets", "keep", "folders", "also", "data_folder", "postgis", "lizmap", "healthy_timeout"),
    *("prove", "wal", "max_age_days", "max_unproven_days"),
)
ARGUMENTS: dict[str, Any] = {
    "host": {"type": "str", "required": True},
    "targets": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "label": {"type": "str"},
            "folder": {"type": "path"},
            "sftp": {"type": "str"},
            "port": {"type": "int"},
            "host_key": {"type": "str", "no_log": False},
        },
    },
    "keep": {"type": "dict", "required": True},
    "schedule": {"type": "str", "choices": list(SCHEDULES), "default": "hourly"},
    "folders": {"type": "dict", "required": True},
    "also": {"type": "list", "elements": "path", "default": []},
    "prove": {"type": "bool", "default": True},
    "wal": {"type": "bool", "default": False},
    "max_age_days": {"type": "int", "default": 3},
    "max_unproven_days": {"type": "int", "default": 14},
    "data_folder": {"type": "path", "required": True},
    "postgis": {"type": "str", "default": "websig-postgis"},
    "lizmap": {"type": "str", "default": "websig-lizmap"},
    "healthy_timeout": {"type": "int", "default": 900},
    # Of the action plugin: its own option never gets here; the password, and the question whether there is one.
    "password_folder": {"type": "path", "no_log": False},
    "_password": {"type": "str", "default": "", "no_log": True},
    "_ask": {"type": "bool", "default": False},
}


def settings_of(params: dict[str, Any]) -> dict[str, Any]:
    """Give what the program on the host is to know."""
    targets = [{name: value for name, value in target.items() if value} for target in params["targets"]]
    keep = {period: int(count) for period, count in params["keep"].items()}
    return {**{name: params[name] for name in OF_THE_PROGRAM}, "targets": targets, "keep": keep}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params, service = module.params, BackupService()
    if params["_ask"]:
        module.exit_json(changed=False, _has_password=service.has_password())
    try:
        settings = settings_of(params)
        changes = service.converge(settings, params["schedule"], params["_password"], check_mode=module.check_mode)
        offers = [] if module.check_mode else service.offers(settings)
        key = service.public_key() if any(target.get("sftp") for target in settings["targets"]) else ""
    except (BackupServiceError, HostFileError, PasswordFileError, SystemdError) as error:
        module.fail_json(msg=f"{str(error).rstrip('.')}.")
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}.")
    module.exit_json(**host_files.result(changes), offers=offers, public_key=key)


if __name__ == "__main__":
    main()
