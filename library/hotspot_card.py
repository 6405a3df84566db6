#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin hotspot_card, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hotspot_card
short_description: Write how people join the Wi-Fi of a Pi, to be printed
description:
  - Writes into O(folder) a page of HTML and the same as PDF, C(HOST.en.html) and C(HOST.en.pdf). They hold the name of
    the Wi-Fi and its password, as text and as a QR code by which telephones join it, and the address of the map.
  - Only the owner may read them, since they hold the password.
  - Runs on the controller. The Pi is not asked.
options:
  host:
    description: The name of the Pi, and of its file in O(password_folder).
    type: str
    required: true
  enabled:
    description: Whether the Pi has a Wi-Fi of its own. Without one there is no card.
    type: bool
    default: true
  ssid:
    description: The name of the Wi-Fi.
    type: str
    required: true
  open:
    description: Whether the Wi-Fi has no password.
    type: bool
    default: false
  password:
    description: The password, where it is not in O(password_folder).
    type: str
    default: ""
  password_folder:
    description:
      - Folder with a file for each Pi that holds the password of its Wi-Fi. Files encrypted with ansible-vault are
        read, too.
    type: path
    required: true
  folder:
    description: The folder to write into.
    type: path
    required: true
  language:
    description: The language of the card.
    type: str
    choices: [en, fr]
    default: en
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Tells whether the card would be written.
    support: full
  diff_mode:
    description: Shows nothing, since the card holds a password.
    support: none
  idempotent:
    description: A card that says the same stays as it is.
    support: full
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Write the card of the Wi-Fi
  hotspot_card:
    host: "{{ inventory_hostname }}"
    ssid: "{{ inventory_hostname }}"
    password_folder: inventory/fleet/hotspot-passwords
    folder: build/hotspot-cards
    language: fr
"""

RETURN = r"""
files:
  description: The page, and the same as PDF.
  returned: success
  type: list
  elements: str
"""
