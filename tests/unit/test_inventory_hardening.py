"""What protects the Pi itself goes with the other variables."""

from __future__ import annotations

from tests.unit.inventory_of import told


def test_all_of_it_goes_with_the_defaults() -> None:
    parts = ("ssh_keys_only", "security_updates", "engine", "audit")
    assert told(**{f"hardening_{part}": True for part in parts}) == []


def test_a_hardened_engine_keeps_containers_while_it_is_restarted() -> None:
    assert told(docker_engine_live_restore=False) == []
    assert told(docker_engine_live_restore=False, hardening_engine=True) == [
        "docker_engine_live_restore: hardening_engine needs containers that go on while Docker is restarted"
    ]
