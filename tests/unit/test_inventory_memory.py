"""A share of the memory is one."""

from __future__ import annotations

import pytest

from tests.unit.inventory_of import told


@pytest.mark.parametrize("variable", ["postgis_memory_limit_share", "lizmap_memory_limit_share"])
@pytest.mark.parametrize(("share", "good"), [(0, True), (1, True), (0.5, True), (-0.1, False), (1.1, False)])
def test_a_container_may_have_up_to_all_of_the_memory(variable: str, share: float, good: bool) -> None:
    assert told(**{variable: share}) == ([] if good else [f"{variable}: it is no share of the memory"])
