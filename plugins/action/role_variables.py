"""Check the variables of all hosts of a run, on the controller, before anything is changed."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.context import cliargs_deferred_get
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.parsing.vault import VaultHelper
from ansible.plugins.action import ActionBase
from ansible.template import Templar

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.inventory import (  # noqa: E402
    basemaps,
    bundle,
    check,
    dumps,
    first_look,
    fleet_authority,
    names_and_types,
    projects,
)
from ansible.module_utils.poppyfield.inventory.laptop import ThisLaptop  # noqa: E402
from ansible.module_utils.poppyfield.inventory.problems import Finding, message, together  # noqa: E402
from ansible.module_utils.poppyfield.runs import lock, who  # noqa: E402

# Names that Ansible itself adds to a host's variables and that are no person's choice.
ANSIBLE_NAMES = ("ansible_", "_", "group_names", "groups", "hostvars", "inventory_", "omit", "play", "role_", "vars")
MADE_BY_ROLES = ("arm_images_archives", "arm_images_built", "arm_images_delivered", "lizmap_application")
"""Facts that begin as variables of a role do."""
LATER = (
    *("arm_images_prebuilt", "bundle_archives", "bundle_card_image", "bundle_check", "raspberry_pi_bundle_date"),
    *("arm_images_architectures", "arm_images_applications", "lizmap_authority_names", "lizmap_image", "postgis_image"),
)
"""What the roles find out or playbooks hand over: judged only where a person gives it."""
UNRESOLVED = "Define what it names, or correct it; of an encrypted value, give the vault's password"
MAKES_AUTHORITY = "authority"
"""The stage that makes the fleet's authority, so that there need not be one yet."""
SPECIFICATION = "meta/argument_specs.yml"
DEFAULTS = "defaults/main.yml"
OUR_ROLES = frozenset(
    {
        "arm_images",
        "backup",
        "bundle",
        "docker_engine",
        "fleet",
        "hardening",
        "hotspot",
        "lizmap",
        "pi_page",
        "position",
        "postgis",
        "raspberry_pi",
    }
)
"""Whose variables the checkers judge."""
ABSENT = object()
OWN_SETTINGS = Path(__file__).resolve().parents[2] / "images" / "lizmap" / "web-client" / "own-settings.json"

Json = dict[str, Any]


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/role_variables.py."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"roles", "roles_folder", "stages"})

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Return `failed` with every problem in one message; else what later tasks need to know of the hosts."""
        result: Json = super().run(tmp, task_vars)
        variables = task_vars or {}
        _, arguments = self.validate_argument_spec(
            {
                "roles": {"type": "list", "elements": "str"},
                "roles_folder": {"type": "path", "required": True},
                "stages": {"type": "list", "elements": "str", "default": []},
            }
        )
        roles = _Roles(self._loader, Path(arguments["roles_folder"]))
        names = arguments["roles"] or roles.names
        hosts: dict[str, Json] = {}
        before: dict[str, list[Finding]] = {}
        secrets: list[str] = []
        for host, given in _given(variables).items():
            values = _Values(given, roles, self._loader)
            hosts[host] = values.effective
            unknown = names_and_types.unknown_variables(_of_people(given), roles.options, names)
            before[host] = [*unknown, *values.unresolved]
            secrets += values.secrets
        laptop = ThisLaptop(OWN_SETTINGS, makes_authority=MAKES_AUTHORITY in arguments["stages"])
        found = check.check(
            hosts,
            roles.options,
            laptop,
            defaults=roles.plain_defaults,
            before=before,
            secrets=secrets,
        )
        kept, _ = check.typed_hosts(hosts, roles.options, roles.plain_defaults)
        of_bundle = bundle.Given()
        if not found:
            of_bundle = bundle.given(kept, arguments["stages"], who.commit(), secrets)
            found = together((host.name, finding) for host in kept for finding in of_bundle.findings)
        result.update(changed=False, problems=[problem.sentence for problem in found])
        if found:
            return {**result, "failed": True, "msg": message(found)}
        if warnings := dumps.warnings(kept, laptop):
            result["warnings"] = warnings
        return {
            **result,
            "requirements": {
                host.name: first_look.requirements(
                    host,
                    arguments["stages"],
                    first_start_mb=dumps.room_mb(host, laptop),
                    basemap_rooms=basemaps.rooms(host, laptop),
                    bundle=of_bundle.offered_to(host),
                )
                for host in kept
            },
            "first_start_files": dumps.summaries(kept, laptop),
            "bundle": of_bundle.told,
            "basemaps": basemaps.names_of_all(kept, laptop),
            "repositories": projects.repositories_of_all(kept),
            "web_client": kept[0].values["lizmap_web_client"],
            "run": _run(variables, arguments["stages"]),
            "certificate_names": fleet_authority.names_of_all(kept),
            "profile": kept[0].values["arm_images_profile"],
            "batches": kept[0].values["fleet_batch"],
            "max_failed": kept[0].values["fleet_max_failed"],
            "all_must_answer": kept[0].values["fleet_unreachable"] == "fail",
        }


def _run(variables: Json, stages: list[str]) -> Json:
    """Give who makes this run, for a Pi's lock; nothing for one that only looks."""
    if not first_look.writes(stages):
        return {}
    playbooks = cliargs_deferred_get("args")() or ()
    return who.describe(variables, playbooks, take_over=boolean(variables.get(lock.TAKE_OVER, False)))


class _Roles:
    """What the roles of a folder document."""

    def __init__(self, loader: Any, folder: Path) -> None:
        self.names = sorted(path.parent.parent.name for path in folder.glob(f"*/{SPECIFICATION}"))
        self.options: Json = {}
        self.defaults: Json = {}
        for name in self.names:
            self.options.update(_read(loader, folder / name / SPECIFICATION)["argument_specs"]["main"]["options"])
            self.defaults.update(_read(loader, folder / name / DEFAULTS) or {})
        missing = sorted(OUR_ROLES - set(self.names))
        if missing:
            raise AnsibleError(
                f"roles_folder: {folder} has no roles {', '.join(missing)}. Name Poppyfield's folder roles."
            )
        templar = Templar(loader=loader)
        self.plain_defaults = {
            name: _plain(value) for name, value in self.defaults.items() if not templar.is_template(value)
        }


class _Values:
    """What applies to a host, templated, and what of it is secret."""

    def __init__(self, given: Mapping[str, Any], roles: _Roles, loader: Any) -> None:
        self.effective: Json = {}
        self.unresolved: list[Finding] = []
        self.secrets: list[str] = []
        self._templar = Templar(loader=loader, variables={**roles.defaults, **given})
        chosen = {name: given[name] for name in roles.options if name in given}
        for name, value in chosen.items():
            self._resolve(name, value)
        whole = not self.unresolved
        for name in set(roles.defaults) - set(chosen) - set(LATER):
            if name in roles.plain_defaults:
                self.effective[name] = roles.plain_defaults[name]
            else:
                self._resolve(name, roles.defaults[name], tell=whole)

    def _resolve(self, name: str, value: Any, *, tell: bool = True) -> None:
        try:
            self.effective[name] = _plain(self._templar.template(value), self.secrets)
        except Exception as error:
            # A template can fail in any way.
            # A default that fails is mostly one that names a variable which is told already.
            if tell:
                self.unresolved.append(
                    Finding(name, f"it can't be resolved: {' '.join(str(error).split())}", UNRESOLVED)
                )


def _read(loader: Any, path: Path) -> Any:
    try:
        return loader.load_from_file(str(path), trusted_as_template=path.match(f"*/{DEFAULTS}"))
    except (AnsibleError, OSError) as error:
        raise AnsibleError(f"can't read {path}: {error}") from error


def _given(variables: Mapping[str, Any]) -> dict[str, Json]:
    """Give the variables of each host of the run as they stand, templates and all.

    What the task at hand has beyond its own host's variables is the play's, and so every host's.
    """
    hostvars = variables["hostvars"]
    own = hostvars.raw_get(variables["inventory_hostname"])
    of_play = {name: value for name, value in variables.items() if not _same(own.get(name, ABSENT), value)}
    found = {}
    for host in variables.get("ansible_play_hosts_all") or [variables["inventory_hostname"]]:
        raw = hostvars.raw_get(host)
        kept = {name: value for name, value in of_play.items() if not name.startswith(ANSIBLE_NAMES)}
        magic = {name: value for name, value in of_play.items() if name not in raw and name != "vars"}
        found[host] = {**magic, **raw, **kept, "hostvars": hostvars}
    return found


def _same(one: Any, other: Any) -> bool:
    try:
        return one is other or bool(one == other)
    except Exception:
        # An encrypted value that can't be decrypted can't be compared.
        return True


def _of_people(given: Mapping[str, Any]) -> list[str]:
    return [name for name in given if not name.startswith(ANSIBLE_NAMES) and name not in MADE_BY_ROLES]


def _plain(value: Any, secrets: list[str] | None = None) -> Any:
    """Give a value as what it is in Python; what was encrypted is a text, and is kept apart as a secret."""
    if isinstance(value, Mapping):
        return {_plain(name, secrets): _plain(item, secrets) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, secrets) for item in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    text = str(value)
    if secrets is not None and VaultHelper.get_ciphertext(value, with_tags=False) is not None:
        secrets.append(text)
    return text
