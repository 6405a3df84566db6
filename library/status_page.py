#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin status_page, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: status_page
short_description: Tell how a fleet fares, what is wrong first, and write its page
description:
  - Shows a line for each Pi, what is wrong first, in colour where the terminal has it.
  - Writes into O(folder) the page C(index.html), which needs no other file and has no script, the same as
    C(status.json), and C(history.json), in which the last rows of all Pis and a few figures of the last sixty runs are
    remembered.
  - A Pi that did not answer, or was not asked, is shown as it was when it last did.
  - What a Pi says is bounded, and escaped. Pictures are drawn again.
  - Runs on the controller, once for all Pis.
options:
  folder:
    description: The folder to write into. The last picture of each map is in its folder C(pictures).
    type: path
    required: true
  language:
    description: The language of the page and of the lines.
    type: str
    choices: [en, fr]
    default: en
  fleet:
    description: The names of all Pis. What was remembered of others is forgotten.
    type: list
    elements: str
    required: true
  looks:
    description: By Pi what M(stack_info) returned, for those that were asked, also where it failed.
    type: dict
    required: true
  maps:
    description: By Pi what came of a loop of M(published_map) over its maps.
    type: dict
    default: {}
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Shows the lines and writes nothing.
    support: full
  diff_mode:
    description: Changes nothing on a Pi, so there is no difference to show.
    support: none
  idempotent:
    description: Changes nothing on a Pi. Its own files are written each time, which does not count as a change.
    support: full
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Tell how the fleet fares
  status_page:
    folder: build/status
    fleet: "{{ groups.pis }}"
    looks: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'stack'))) }}"
  run_once: true
"""

RETURN = r"""
page:
  description: The page.
  returned: success
  type: str
levels:
  description: By Pi V(unreachable), V(broken), V(attention) or V(fine), the worst first.
  returned: success
  type: dict
not_well:
  description: By Pi what is wrong, of those that were asked and are unreachable or broken.
  returned: success
  type: dict
"""
