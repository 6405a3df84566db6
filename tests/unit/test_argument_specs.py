"""Every role's documented defaults are its real ones, and every variable of the example inventory exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documentation import documentation

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())


OWN_MODULES = {path.stem for path in (ROOT / "library").glob("*.py")}
TASK_FILES = sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")])


def tasks_of(path: Path) -> list[dict[str, Any]]:
    """Every task of a task file, or of the plays of a playbook."""
    entries: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [task for entry in entries for task in entry.get("tasks", [entry])]


def documented_options(module: str) -> set[str]:
    return set(documentation(module)["options"])


def options_of(role: str) -> dict[str, Any]:
    text = (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    options: dict[str, Any] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return options


@pytest.mark.parametrize("role", ROLES)
def test_documented_defaults_equal_the_defaults(role: str) -> None:
    documented = {name: option["default"] for name, option in options_of(role).items() if "default" in option}
    defaults = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    assert documented == defaults


@pytest.mark.parametrize("role", ROLES)
def test_options_carry_the_roles_name_and_a_description(role: str) -> None:
    for name, option in options_of(role).items():
        assert name.startswith(f"{role}_")
        assert option["description"]


def test_the_example_inventory_shows_every_variable_a_person_would_set() -> None:
    shown = set()
    for path in (ROOT / "inventory" / "example").rglob("*.yml"):
        shown.update(re.findall(r"^(?:# )?([a-z0-9_]+):", path.read_text(encoding="utf-8"), re.MULTILINE))
    internal = {"arm_images_applications", "arm_images_architectures", "arm_images_cache_folder", "lizmap_cache_folder"}
    internal |= {
        "arm_images_prebuilt",
        "bundle_archives",
        "bundle_card_image",
        "bundle_check",
        "lizmap_authority_names",
        "raspberry_pi_bundle_date",
    }
    internal |= {
        f"{role}_{what}"
        for role in ("postgis", "lizmap")
        for what in ("image", "container_name", "network", "secrets_folder")
    }
    missing = {name for role in ROLES for name in options_of(role)} - shown - internal
    assert missing == set()


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_tasks_give_our_modules_options_that_they_have(path: Path) -> None:
    for task in tasks_of(path):
        for module in OWN_MODULES & set(task):
            assert set(task[module]) <= documented_options(module), task["name"]
