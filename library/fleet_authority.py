#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin fleet_authority, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_authority
short_description: Make and renew the certificate authority of a fleet
description:
  - Makes, on the controller and without connecting to a host, a certificate authority whose certificates devices trust
    once they have installed its own. M(tls_certificate) has the certificates of hosts signed by it.
  - The authority is for the given names and addresses alone, by critical name constraints. What somebody signs with a
    stolen key for another name, devices refuse. A name also stands for what is below it, as in maps.NAME.
  - It signs certificates of servers only, and no other authorities, for ten years.
  - The key is C(fleet-ca.key), which the passphrase opens and only its owner may read. The certificate that devices
    install is C(fleet-ca.crt). Keep a copy of both.
  - It is renewed when a name is missing, and in its last two years. It then keeps its key, so that devices which have
    installed the one before go on trusting the earlier hosts; for hosts that were added they need the new one.
options:
  folder:
    description: Folder on the controller for both files.
    type: path
    required: true
  passphrase:
    description: Opens the key. A new authority wants at least 12 characters.
    type: str
    required: true
  names:
    description: Names and IP addresses of all hosts of the fleet.
    type: list
    elements: str
    required: true
requirements:
  - openssl and the Python library C(cryptography) on the controller
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Tells what would be done.
    support: full
  diff_mode:
    description: There is nothing to read in a certificate. The reasons tell what changes.
    support: none
  idempotent:
    description: Renews the authority only where a name is missing, or near its end.
    support: full
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Make the fleet's certificate authority
  fleet_authority:
    folder: "{{ inventory_dir }}"
    passphrase: "{{ passphrase_of_the_authority }}"
    names: [pi-marsh, pi-marsh.local, 192.168.1.20]
"""

RETURN = r"""
reasons:
  description: Why it was made, renewed or written.
  returned: success
  type: list
  elements: str
renewed:
  description: Whether devices have to install it once more to trust hosts that were added.
  returned: success
  type: bool
valid_until:
  description: Its last day.
  returned: success
  type: str
  sample: "2036-11-24"
fingerprint:
  description: The SHA-256 of its certificate, to compare with what a device shows.
  returned: success
  type: str
"""
