"""What `make verify` takes from an inventory; its checks themselves are played on an emulated Pi."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import testinfra

from tests.fleet.conftest import Pi, described

ROOT = Path(__file__).resolve().parents[2]


def pi(folder: Path, variables: str) -> Pi:
    inventory = folder / "hosts.yml"
    inventory.write_text(f"pis:\n  hosts:\n    pi-orchard:\n{variables}  vars: {{mine: 8080}}\n")
    return described(testinfra.get_host("ansible://pi-orchard?force_ansible=True", ansible_inventory=str(inventory)))


@pytest.mark.parametrize(
    ("variables", "ports", "container"),
    [
        ("", {"postgis": set(), "lizmap": {"80"}}, "websig-postgis"),
        (
            "      lizmap_tls: self_signed\n      lizmap_port: '{{ mine }}'\n",
            {"postgis": set(), "lizmap": {"8080", "443"}},
            "websig-postgis",
        ),
        (
            "      postgis_desktop_networks: [10.0.0.0/24]\n      postgis_container_name: office-postgis\n",
            {"postgis": {"5432"}, "lizmap": {"80"}},
            "office-postgis",
        ),
    ],
)
def test_names_and_ports_are_the_inventory_s_or_else_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: str, ports: dict[str, set[str]], container: str
) -> None:
    monkeypatch.chdir(ROOT)
    # As make verify does it for Testinfra, which runs Ansible's commands.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    found = pi(tmp_path, variables)
    assert found.name == "pi-orchard"
    assert found.ports == ports
    assert found.containers["postgis"] == container
