"""What a module documents is what it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py") if path.stem != "__init__")
Library = Callable[[str], ModuleType]


def shape(options: dict[str, Any], nested: str) -> dict[str, Any]:
    """What matters of options, from the documentation or from an argument specification."""
    found = {}
    for name, option in options.items():
        default = option.get("default")
        found[name] = {
            "type": option.get("type", "str"),
            "required": option.get("required", False),
            "default": default,
            "choices": sorted(option.get("choices") or []),
            "elements": option.get("elements"),
            "options": shape(option.get(nested) or {}, nested),
        }
    return found


class Stop(Exception):  # noqa: N818 - not an error
    """Ends a module as soon as its argument specification is known."""


def argument_specification(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    given: dict[str, Any] = {}

    def capture(argument_spec: dict[str, Any], **_: Any) -> None:
        given.update(argument_spec)
        raise Stop

    monkeypatch.setattr(module, "AnsibleModule", capture)
    with pytest.raises(Stop):
        module.main()
    # One that begins with an underscore is between a module and its own action plugin.
    return {name: option for name, option in given.items() if not name.startswith("_")}


@pytest.mark.parametrize("name", MODULES)
def test_documented_options_equal_the_argument_specification(
    library: Library, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = library(name)
    if not hasattr(module, "main"):
        pytest.skip("an action plugin does all of its work")
    documentation = yaml.safe_load(module.DOCUMENTATION)
    taken = argument_specification(module, monkeypatch)
    assert shape(documentation["options"], "suboptions") == shape(taken, "options")


@pytest.mark.parametrize("name", MODULES)
def test_the_documentation_is_complete(library: Library, name: str) -> None:
    module = library(name)
    documentation = yaml.safe_load(module.DOCUMENTATION)
    assert documentation["module"] == name
    assert {"check_mode", "diff_mode", "idempotent"} <= set(documentation["attributes"])
    assert yaml.safe_load(module.RETURN)
    options = set(documentation["options"])
    for task in yaml.safe_load(module.EXAMPLES):
        assert task["name"][0].isupper()
        assert set(task[name]) <= options


def test_both_containers_share_what_they_have_in_common(library: Library) -> None:
    names = ("postgis_container", "lizmap_container")
    first, second = (yaml.safe_load(library(name).DOCUMENTATION)["options"] for name in names)
    for option in ("network", "health", "recreate", "restart", "memory_limit_share", "healthy_timeout", "image"):
        assert first[option] == second[option]
