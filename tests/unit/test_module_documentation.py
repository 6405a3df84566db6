"""What validate-modules does not ask of a module's documentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from ansible.module_utils.poppyfield.containers.services import SERVICES, Service

from tests.documentation import documentation as documented

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py") if path.stem != "__init__")
Library = Callable[[str], ModuleType]


@pytest.mark.parametrize("name", MODULES)
def test_the_documentation_is_complete(library: Library, name: str) -> None:
    module = library(name)
    documentation = documented(name)
    assert documentation["module"] == name
    assert {"check_mode", "diff_mode", "idempotent"} <= set(documentation["attributes"])
    assert yaml.safe_load(module.RETURN)
    options = set(documentation["options"])
    for task in yaml.safe_load(module.EXAMPLES):
        assert task["name"][0].isupper()
        assert set(task[name]) <= options


SHARED = {"network", "health", "recreate", "restart", "memory_limit_share", "healthy_timeout", "image", "state"}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_container_documents_only_what_is_its_own(library: Library, service: Service) -> None:
    name = f"{service.name}_container"
    own = yaml.safe_load(library(name).DOCUMENTATION)["options"]
    options = documented(name)["options"]
    assert set(options) >= SHARED
    assert not any("description" in own.get(option, {}) for option in SHARED)
    assert options["name"]["default"] == service.container
    assert options["name"]["description"]
