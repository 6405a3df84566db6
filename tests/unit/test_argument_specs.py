"""Every role's documented defaults are its real ones, and every variable of the example inventory exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())


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
    internal = {"arm_images_architectures", "arm_images_cache_folder"}
    missing = {name for role in ROLES for name in options_of(role)} - shown - internal
    assert missing == set()
