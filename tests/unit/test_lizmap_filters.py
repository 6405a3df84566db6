"""The filters of the role lizmap, without Ansible."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> Callable[..., Any]:
    """Give a filter of plugins/filter by its name."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "plugins" / "filter" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    given: Callable[..., Any] = plugin.FilterModule().filters()[name]
    return given


settings_texts = load("lizmap_settings_texts")


# Settings ------------------------------------------------------------------------------------------------------------


def test_true_and_false_are_written_as_each_file_of_lizmap_wants_them() -> None:
    settings = {
        "lizmapConfig": {"services": {"onlyMaps": True, "debugMode": False, "cacheExpiration": 60}},
        "localconfig": {"jcommunity": {"registrationEnabled": True, "resetPasswordEnabled": False}},
        "profiles": {"smtp:mailer": {"auth_enabled": True, "host": "a", "ratio": 0.5}},
    }
    assert settings_texts(settings) == {
        "lizmapConfig": {"services": {"onlyMaps": "1", "debugMode": "0", "cacheExpiration": "60"}},
        "localconfig": {"jcommunity": {"registrationEnabled": "on", "resetPasswordEnabled": "off"}},
        "profiles": {"smtp:mailer": {"auth_enabled": "on", "host": "a", "ratio": "0.5"}},
    }
