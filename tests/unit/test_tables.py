"""The tables of services, profiles and architectures, and the lookup plugin that gives them to playbooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.poppyfield.containers import services
from ansible.module_utils.poppyfield.host import architectures
from ansible.module_utils.poppyfield.images import profiles
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[2]
TERMS = (
    "services",
    "profiles",
    "architectures",
    "engine_packages",
    "network",
    "secrets_folder",
    "compose_folder",
    "hardened_engine",
    "default_profile",
    "what_fits",
    "ports",
    "hotspot",
    "services_of_host",
)


def look_up(term: str, **variables: Any) -> Any:
    lookup_loader.add_directory(str(ROOT / "plugins" / "lookup"))
    templar = Templar(loader=DataLoader(), variables=variables)
    plugin = lookup_loader.get("poppyfield_table", loader=DataLoader(), templar=templar)
    (found,) = plugin.run([term], variables=variables)
    return found


def role_defaults(role: str) -> dict[str, Any]:
    defaults: dict[str, Any] = yaml.safe_load((ROOT / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8"))
    return defaults


@pytest.mark.parametrize("service", services.SERVICES, ids=lambda service: service.name)
def test_a_service_has_what_its_entry_names(service: services.Service) -> None:
    assert (ROOT / service.context / "Dockerfile").is_file()
    assert (ROOT / "roles" / service.role / "tasks/main.yml").is_file()
    assert (ROOT / "library" / f"{service.name}_container.py").is_file()
    dockerfile = (ROOT / service.context / "Dockerfile").read_text(encoding="utf-8")
    for argument, version in service.build_arguments.items():
        assert f"ARG {argument}={getattr(profiles.PROFILES[0], version)}\n" in dockerfile


@pytest.mark.parametrize("service", services.SERVICES, ids=lambda service: service.name)
def test_a_role_has_the_defaults_of_its_entry(service: services.Service) -> None:
    defaults = role_defaults(service.role)
    for port in service.ports:
        assert defaults[port.variable] == port.default
        if port.unless:
            assert defaults[port.unless[0]] == port.unless[1]
    for variable, folder in service.data_folders.items():
        assert defaults[variable] == folder
    assert defaults[f"{service.name}_memory_limit_share"] == service.memory_limit_share
    assert defaults.get(f"{service.name}_memory_share", 0) == service.memory_share
    assert service.container_variable in defaults


def test_no_two_services_share_a_name_a_port_or_a_folder() -> None:
    ports = [port.variable for service in services.SERVICES for port in service.ports]
    folders = [folder for service in services.SERVICES for folder in service.data_folders.values()]
    for values in (services.containers(), ports, folders):
        assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ("variables", "published"),
    [
        ({}, {"lizmap_port": 80}),
        ({"lizmap_port": "8080", "lizmap_tls": "none", "lizmap_https_port": 8443}, {"lizmap_port": 8080}),
        ({"lizmap_tls": "files", "lizmap_https_port": 8443}, {"lizmap_port": 80, "lizmap_https_port": 8443}),
    ],
)
def test_the_ports_that_a_host_publishes_follow_its_variables(
    variables: dict[str, Any], published: dict[str, int]
) -> None:
    found = services.published_ports(variables)
    of_lizmap = [port for port in found if port["container"] == services.LIZMAP.container]
    assert {port["variable"]: port["port"] for port in of_lizmap} == published


def test_the_lookup_gives_each_table_in_plain_words() -> None:
    found = {term: look_up(term) for term in TERMS}
    assert found["services"] == services.table()
    assert list(found["services"]) == [service.name for service in services.SERVICES]
    assert found["services"]["lizmap"]["context"] == "images/lizmap"
    assert found["profiles"]["bookworm"]["php"] == "8.2"
    assert found["architectures"]["armhf"]["platform"] == "linux/arm/v7"
    assert found["network"] == "poppyfield"
    assert found["secrets_folder"] == "/etc/poppyfield/secrets"
    assert found["compose_folder"] == "/srv/poppyfield"
    assert found["default_profile"] == "trixie"
    assert "PHP 8.2 and Lizmap Web Client 3.7 with lizmap_server 2.12." in found["what_fits"]


def test_the_lookup_reads_the_ports_of_the_host_at_hand() -> None:
    port = trust_as_template("{{ base + 80 }}")
    assert 8080 in [entry["port"] for entry in look_up("ports", base=8000, lizmap_port=port)]


def test_the_lookup_tells_the_wifi_of_the_host_at_hand() -> None:
    network = role_defaults("hotspot")["hotspot_network"]
    assert look_up("hotspot") == look_up("hotspot", hotspot_enabled="no", hotspot_network=network)
    assert look_up("hotspot", hotspot_enabled=trust_as_template("{{ true }}")) == {
        "network": network,
        "names": ["map.internal", "10.77.77.1"],
    }
    assert look_up("hotspot", hotspot_enabled=True, hotspot_network="10.78.78.0/24")["names"][1] == "10.78.78.1"


def test_the_lookup_names_the_containers_of_the_host_at_hand() -> None:
    name = trust_as_template("{{ site }}-db")
    found = look_up("services_of_host", site="marsh", postgis_container_name=name)
    names = {entry["name"]: entry["container"] for entry in found}
    assert (names["postgis"], names["lizmap"]) == ("marsh-db", services.LIZMAP.container)
    assert {key: value for key, value in found[0].items() if key != "container"} == {
        key: value for key, value in services.table()["postgis"].items() if key != "container"
    }


def test_the_lookup_names_the_tables_when_it_has_none_of_that_name() -> None:
    with pytest.raises(AnsibleError, match=r"no table 'service'\. There are: services, profiles"):
        look_up("service")


def test_the_documentation_of_the_lookup_names_every_table() -> None:
    text = (ROOT / "plugins/lookup/poppyfield_table.py").read_text(encoding="utf-8")
    documented = yaml.safe_load(text.partition('DOCUMENTATION = r"""')[2].partition('"""')[0])
    assert tuple(documented["options"]["_terms"]["choices"]) == TERMS


def test_the_roles_know_the_profiles_and_architectures_of_the_tables() -> None:
    text = (ROOT / "roles/arm_images/meta/argument_specs.yml").read_text(encoding="utf-8")
    options = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    assert tuple(options["arm_images_profile"]["choices"]) == profiles.NAMES
    assert options["arm_images_profile"]["default"] == profiles.DEFAULT
    assert tuple(options["arm_images_architectures"]["choices"]) == tuple(architectures.PLATFORMS)


def test_every_profile_is_for_architectures_that_there_are() -> None:
    assert {name for profile in profiles.PROFILES for name in profile.architectures} <= set(architectures.PLATFORMS)
    assert profiles.PI_ARCHITECTURES == {"trixie": ("arm64",), "bookworm": ("arm64", "armhf")}
