"""What validate-modules does not ask of a module's documentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py") if path.stem != "__init__")
Library = Callable[[str], ModuleType]


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
