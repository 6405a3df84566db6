"""What all tests of Ansible's own parts need."""

from __future__ import annotations

import pytest
from ansible.plugins.loader import init_plugin_loader

import plugins.project_imports  # noqa: F401

pytest_plugins = ["tests.attack_report", "tests.field_report", "tests.no_skips"]


@pytest.fixture(scope="session", autouse=True)
def _plugins() -> None:
    """Let lookups and tests be found, as ansible-playbook does when it starts."""
    init_plugin_loader()
