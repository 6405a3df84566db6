#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin emergency_sheet, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: emergency_sheet
short_description: Write what to do with the backups of a Pi, to be printed
description:
  - Writes into O(folder) a page of HTML and the same as PDF, C(HOST.en.html) and C(HOST.en.pdf). They say where the
    backups of a Pi are, and how they are put in place, and hold their password as text and as a QR code.
  - Only the owner may read them. Whoever has such a sheet and the backups can read everything.
  - Runs on the controller. The Pi is not asked.
options:
  host:
    description: The name of the Pi in its backups.
    type: str
    required: true
  targets:
    description: Where the backups go, as in C(backup_targets).
    type: list
    elements: dict
    required: true
  password_folder:
    description:
      - Folder with a file for each Pi that holds the password of its backups. Files encrypted with ansible-vault are
        read, too.
    type: path
    required: true
  folder:
    description: The folder to write into.
    type: path
    required: true
  language:
    description: The language of the sheet.
    type: str
    choices: [en, fr]
    default: en
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Tells whether the sheet would be written.
    support: full
  diff_mode:
    description: Shows nothing, since the sheet holds a password.
    support: none
  idempotent:
    description: A sheet that says the same stays as it is.
    support: full
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Write the emergency sheet
  emergency_sheet:
    host: "{{ inventory_hostname }}"
    targets:
      - {name: stick, label: POPPYFIELD}
    password_folder: inventory/fleet/backup-passwords
    folder: build/emergency-sheets
    language: fr
"""

RETURN = r"""
files:
  description: The page, and the same as PDF.
  returned: success
  type: list
  elements: str
"""
