"""Documentation that modules share: the option `run` of module_utils/poppyfield/runs/lock.py."""

from __future__ import annotations


class ModuleDocFragment:
    """Who makes a run."""

    DOCUMENTATION = r"""
options:
  run:
    description:
      - Who makes the run, as M(role_variables) tells it. With it the host's lock is taken or renewed, and the module
        fails where another run holds it. What a module deploys, and how that ended, becomes a line of the host's trail.
      - Without it there is neither.
    type: dict
    suboptions:
      by:
        description: Who, and on which laptop.
        type: str
        default: ""
      playbook:
        description: The playbook.
        type: str
        default: ""
      commit:
        description: The commit of the checkout.
        type: str
        default: ""
      machine:
        description: The laptop and its user, as a digest.
        type: str
        required: true
      process:
        description: The process of the run.
        type: str
        required: true
      living:
        description: Processes of that laptop that still make runs. The lock of one that is over is taken at once.
        type: list
        elements: str
        default: []
      take_over:
        description: Whether the lock of another run is taken all the same.
        type: bool
        default: false
"""
