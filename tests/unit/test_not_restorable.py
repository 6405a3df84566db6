"""A run that prepares a Pi puts a backup in place on a new card alone, and says so before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.filter import not_restorable

DATA, NEW = "/srv/data/cluster/PG_VERSION", "/var/lib/poppyfield/backup/card.new"
THERE = {"sha256": "0" * 64}


def refused(restore_from: str, **files: Any) -> dict[str, str]:
    """Give what the filter says of a Pi on which these files are."""
    host = {
        "inventory_hostname": "pi-orchard",
        "backup_targets": [{"name": "stick", "label": "POPPYFIELD"}],
        "inventory_check": {"requirements": {"pi-orchard": {"card": {"data": DATA, "new": NEW}}}},
        "ansible_facts": {"poppyfield_pi": {"files": {DATA: files.get("data"), NEW: files.get("new")}}},
    }
    found: dict[str, str] = not_restorable.FilterModule().filters()["not_restorable"]([host], restore_from)
    return found


@pytest.mark.parametrize("files", [{}, {"data": THERE, "new": THERE}])
def test_a_new_card_takes_the_backup(files: dict[str, Any]) -> None:
    assert refused("stick", **files) == {}


def test_a_pi_with_data_of_its_own_does_not() -> None:
    command = "ansible-playbook playbooks/restore.yml --limit pi-orchard -e restore_from=stick"
    assert refused("stick", data=THERE)["pi-orchard"].endswith(command)
    assert refused("none", data=THERE) == {}


def test_a_target_that_is_none_is_told_with_those_that_are() -> None:
    assert refused("stik") == {
        "pi-orchard": "restore_from: there is no target stik in backup_targets. Give one of stick, none."
    }
