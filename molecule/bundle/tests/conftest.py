"""What the tests of this scenario are given."""

from __future__ import annotations

from emulated_pi import pi  # noqa: F401 - a fixture

pytest_plugins = ["tests.field_report"]
