"""Render what the roles template, by Ansible's own templating, without a host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[2]
lookup_loader.add_directory(str(ROOT / "plugins" / "lookup"))


def trusted(value: Any) -> Any:
    """Mark every string as a template of our own, as Ansible does with what it loads from role files."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, list):
        return [trusted(item) for item in value]
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    return value


@pytest.fixture
def render() -> Callable[..., Any]:
    """Return a function that renders a template with the variables of a role, and of those given."""

    def rendered(role: str, template: str, **given: Any) -> Any:
        variables: dict[str, Any] = {}
        for part in ("defaults", "vars"):
            path = ROOT / "roles" / role / part / "main.yml"
            if path.exists():
                variables.update(yaml.safe_load(path.read_text(encoding="utf-8")))
        return Templar(loader=DataLoader(), variables=trusted({**variables, **given})).template(trusted(template))

    return rendered
