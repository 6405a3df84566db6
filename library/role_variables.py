#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin role_variables, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: role_variables
short_description: Check the variables of all hosts of a run before anything is changed
description:
  - Judges, on the controller and without connecting to a host, what applies to each host of the run, that is the
    inventory's values over the defaults of the roles. One task with C(run_once) judges all of them.
  - Names, types, choices and required options are checked by the roles' argument specifications. A variable that begins
    with a role's name, or is nearly the name of a role's variable, and is not one of them, is taken for a misspelling.
  - Values are judged by what the modules would refuse, and by what the roles would fail at. Files and folders of the
    controller are looked for, and a given certificate is read.
  - What the hosts of one run must share, such as the profile of the images, is compared.
  - Reports all problems together, each once, with its hosts, its variable, the value unless it is secret, and a remedy.
options:
  roles:
    description:
      - The roles whose variables the hosts may have. Other variables that begin like a role of the folder are named.
        All roles of the folder unless it is given.
    type: list
    elements: str
  roles_folder:
    description: The folder on the controller that holds the roles.
    type: path
    required: true
  stages:
    description:
      - The stages of the run, or its tags, on which it depends what a Pi must have. V(build) and V(verify) write
        nothing on it, and so need no room. V(authority) makes the fleet's certificate authority, so none is asked for.
        All of them unless it is given.
    type: list
    elements: str
    default: []
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Changes nothing, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
  idempotent:
    description: Changes nothing, however often it runs.
    support: full
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Check the inventory
  role_variables:
    roles_folder: "{{ playbook_dir }}/../roles"
  register: inventory_check
  run_once: true

- name: Check it where only two of the roles have variables
  role_variables:
    roles: [postgis, lizmap]
    roles_folder: "{{ playbook_dir }}/../roles"
  run_once: true
"""

RETURN = r"""
problems:
  description: What is wrong, one line each.
  returned: always
  type: list
  elements: str
requirements:
  description: By host the options for M(host_requirements), which follow from its variables.
  returned: success
  type: dict
  contains:
    profile:
      description: The profile of the images.
      type: str
    memory_mb:
      description: The least memory.
      type: int
    disk:
      description: The least free disk by path; nothing where O(stages) write nothing.
      type: list
      elements: dict
    clock_difference:
      description: How many seconds the clock may be off the laptop's; 0 where O(stages) write nothing.
      type: int
    set_clock:
      description: Whether O(stages) set a clock that no time server sets.
      type: bool
    docker_source:
      description: Where Docker Engine is to come from; none where O(stages) install nothing.
      type: str
    docker_settings:
      description: The keys that Docker's daemon.json must have; none where O(stages) install nothing.
      type: dict
    folders:
      description: The folders whose content must last, each with its variable; nothing where O(stages) write nothing.
      type: list
      elements: dict
    ports:
      description: The ports that the host publishes, each with its container and its variable.
      type: list
      elements: dict
    files:
      description: The files that the roles manage.
      type: list
      elements: str
first_start_files:
  description: What each of C(postgis_first_start_files) says of itself, with the roles that it names.
  returned: success
  type: list
  elements: str
  sample: ["10-gis.sql: SQL by pg_dump 16.3; roles ann, reader; extensions postgis"]
repositories:
  description: What all hosts together publish, as M(qgis_projects) takes it.
  returned: success
  type: list
  elements: dict
run:
  description: Who makes this run, as modules take it; nothing where O(stages) write nothing on a host.
  returned: success
  type: dict
  sample: {by: anne@laptop, playbook: site.yml, commit: 1f0c2a9be2d4, machine: 0b1de4fa7721, process: 4711-90210}
certificate_names:
  description: The names and addresses of all hosts whose certificates the fleet's authority is to sign.
  returned: success
  type: list
  elements: str
web_client:
  description: Which web client all hosts have.
  returned: success
  type: str
batches:
  description: How many hosts get a release at a time, as in C(fleet_batch).
  returned: success
  type: list
  elements: str
max_failed:
  description: On how many hosts a release may fail before no more are touched.
  returned: success
  type: int
all_must_answer:
  description: Whether a host that does not answer stops the run.
  returned: success
  type: bool
profile:
  description: The profile of the images of all hosts.
  returned: success
  type: str
"""
