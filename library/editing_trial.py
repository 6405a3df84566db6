#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: whether PostgreSQL would take new features of Lizmap's layers. Read only."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: editing_trial
short_description: Try without a trace whether people can add features to layers
version_added: "0.1.0"
description:
  - Asks PostgreSQL, as the role that Lizmap logs in as and from Lizmap's container, whether it would take a new row of
    each layer, and warns of each layer that nobody can add features to, in PostgreSQL's own words.
  - Nothing is written into the layers' tables, no trigger is called, nobody is notified and no sequence goes on.
    PostgreSQL plans an INSERT without executing it, and takes a row into a temporary copy of the table's definition, in
    a transaction that may only read all else and is rolled back.
  - What a trigger refuses, what row-level security refuses, and values that are taken already, are not tried.
  - It fails only with O(required), and for a layer that people could add features to in O(before). Any other layer is
    no reason to take the rest of a release back.
options:
  layers:
    description: The layers, as the filter C(edited_layers) gives them.
    type: list
    elements: dict
    required: true
    suboptions:
      map:
        description: The map, as repository/project.
        type: str
        required: true
      layer:
        description: Name of the layer.
        type: str
        required: true
      layer_id:
        description: Id of the layer in the project.
        type: str
        required: true
      schema:
        description: Schema of its table.
        type: str
        default: ""
      table:
        description: Its table or view. Empty when its features are not in the database of the map server.
        type: str
        default: ""
      key:
        description: The column that QGIS tells the rows of a view by.
        type: str
        default: ""
  container:
    description: Name of Lizmap's container.
    type: str
    default: websig-lizmap
  required:
    description: Whether to fail when people cannot add features to one of the layers.
    type: bool
    default: false
  before:
    description: The C(trials) that it returned before a release.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    support: full
    description: Changes nothing, so it does the same in check mode.
  diff_mode:
    support: none
    description: Changes nothing, so there is no difference to show.
  idempotent:
    support: full
    description: Changes nothing, however often it runs.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Try a layer
  editing_trial:
    layers:
      - {map: fields/meadow, layer: Trees, layer_id: trees_1, schema: public, table: trees}
"""

RETURN = r"""
trials:
  description: What was found of each layer.
  returned: always
  type: list
  elements: dict
  contains:
    map:
      description: The map.
      type: str
    layer:
      description: Name of the layer.
      type: str
    layer_id:
      description: Id of the layer.
      type: str
    problem:
      description: Why nobody can add a feature, and what helps. Empty when people can, or when it is not known.
      type: str
    untried:
      description: Why it is not known.
      type: str
    needed:
      description: Columns that PostgreSQL wants a value of.
      type: list
      elements: str
    counting:
      description: The column and the default that Lizmap calls when it opens the form, so that a sequence goes on.
      type: str
    form_fails:
      description: Why Lizmap's form does not open, if it does not.
      type: str
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, last_lines
from ansible.module_utils.poppyfield.containers.services import LIZMAP
from ansible.module_utils.poppyfield.lizmap import write_trial
from ansible.module_utils.poppyfield.lizmap.lizmap_module import CONTAINER_OPTION
from ansible.module_utils.poppyfield.lizmap.write_trial import EditedLayer, RowVerdict, Table

Json = dict[str, Any]

ARGUMENTS: Json = {
    "layers": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "map": {"type": "str", "required": True},
            "layer": {"type": "str", "required": True},
            "layer_id": {"type": "str", "required": True},
            **{name: {"type": "str", "default": ""} for name in ("schema", "table")},
            # The name of a column.
            "key": {"type": "str", "default": "", "no_log": False},
        },
    },
    "container": CONTAINER_OPTION,
    "required": {"type": "bool", "default": False},
    "before": {"type": "list", "elements": "dict", "default": []},
}


class LizmapDatabase:
    """The database of the map server, as Lizmap reaches it."""

    def __init__(self, container: str) -> None:
        self.engine = Engine.connect()
        self.container = container

    def ask(self, transactions: Sequence[Json]) -> list[Json]:
        """Ask in these transactions; give what PostgreSQL answered in each."""
        command = ("php", "-r", write_trial.SCRIPT)
        result = self.engine.execute(self.container, LIZMAP.user, command, [json.dumps(transactions).encode()])
        try:
            return list(json.loads(result.output).values())
        except ValueError as error:
            said = last_lines(result.errors or result.output, 3)
            raise EngineError(f"Lizmap's container does not reach the database: {said}") from error


def try_layers(layers: Sequence[EditedLayer], database: LizmapDatabase) -> dict[EditedLayer, RowVerdict]:
    """Try each layer; all of them together, as each question to the container takes a while."""
    verdicts = {layer: verdict for layer in layers if (verdict := write_trial.without_table(layer))}
    asked = [layer for layer in layers if layer not in verdicts]
    tables: dict[EditedLayer, Table] = {}
    for layer, answers in _answered(asked, database, write_trial.catalog_question):
        found = write_trial.read_table(layer, answers)
        if isinstance(found, RowVerdict):
            verdicts[layer] = found
        else:
            tables[layer] = found
    for layer, answers in _answered(list(tables), database, lambda layer: write_trial.trial(tables[layer])):
        verdicts[layer] = write_trial.judge(tables[layer], answers)
    return verdicts


def _answered(
    layers: Sequence[EditedLayer], database: LizmapDatabase, question: Callable[[EditedLayer], Json]
) -> list[tuple[EditedLayer, Json]]:
    return list(zip(layers, database.ask([question(layer) for layer in layers]), strict=True)) if layers else []


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    layers = [EditedLayer(**given) for given in module.params["layers"]]
    try:
        verdicts = try_layers(layers, LizmapDatabase(module.params["container"]))
    except EngineError as error:
        verdicts = dict.fromkeys(layers, RowVerdict(untried=str(error)))
    trials = [
        {"map": layer.map, "layer": layer.layer, "layer_id": layer.layer_id, **verdicts[layer].as_dict()}
        for layer in layers
    ]
    told = [write_trial.sentence(trial) for trial in trials if trial["problem"]]
    if failed := told if module.params["required"] else write_trial.broken_since(trials, module.params["before"]):
        module.fail_json(msg=" ".join(failed), changed=False, trials=trials)
    for words in told:
        module.warn(words)
    module.exit_json(changed=False, trials=trials)


if __name__ == "__main__":
    main()
