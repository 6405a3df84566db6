"""What the tests of this scenario are given."""

from __future__ import annotations

from typing import Any

import pytest

from emulated_pi import count_of_a_run, pi  # noqa: F401 - a fixture

pytest_plugins = ["tests.field_report"]


@pytest.fixture(scope="session")
def run_again(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what a run that has nothing to change did and said, as verbose as it gets."""
    return count_of_a_run(tmp_path_factory.mktemp("run"), "-vvv", "--diff")
