"""Check a host's variables against the argument specifications of roles, on the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible.module_utils
import yaml
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

# On the controller, Ansible finds a project's own module_utils for modules only.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.poppyfield.role_variables import argument_problems, unknown_variables  # noqa: E402

# Names that Ansible itself adds to a host's variables and that are no person's choice.
ANSIBLE_NAMES = ("ansible_", "_", "group_names", "groups", "hostvars", "inventory_", "omit", "play", "role_", "vars")


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/role_variables.py."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"roles", "roles_folder"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return `failed` with every problem in one message, or that there is none."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _, arguments = self.validate_argument_spec(
            {
                "roles": {"type": "list", "elements": "str", "required": True},
                "roles_folder": {"type": "path", "required": True},
            }
        )
        options = self._options(Path(arguments["roles_folder"]), arguments["roles"])
        mine = [name for name in variables if not name.startswith(ANSIBLE_NAMES)]
        values = {name: self._templar.template(variables[name]) for name in mine if name in options}
        found = unknown_variables(mine, options, arguments["roles"]) + argument_problems(options, values)
        result.update(changed=False, problems=found)
        if found:
            result.update(failed=True, msg="Nothing was changed. In the inventory: " + "; ".join(found))
        return result

    def _options(self, folder: Path, roles: list[str]) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for role in roles:
            path = folder / role / "meta" / "argument_specs.yml"
            try:
                specs = yaml.safe_load(path.read_text(encoding="utf-8"))
            except OSError as error:
                raise AnsibleError(f"can't read the argument specification {path}: {error}") from error
            options.update(specs["argument_specs"]["main"]["options"])
        return options
