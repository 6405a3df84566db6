"""The services: one entry of this table each; what builds, delivers, deploys or describes them loops over it.

A new service is an entry here, its build context `images/NAME`, its module `library/NAME_container.py` and its role
`roles/NAME`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

NETWORK = "poppyfield"
"""The Docker network of all containers."""
SECRETS_FOLDER = "/etc/poppyfield/secrets"
"""The folder of a host that holds passwords and keys."""
COMPOSE_FOLDER = "/srv/poppyfield"
"""The folder of a host with the file for docker-compose, whose name is that of its project."""
CONTAINER_PREFIX = "websig-"
IMAGE_PREFIX = "poppyfield/"


@dataclass(frozen=True)
class PublishedPort:
    """A TCP port of the host, as an inventory names it."""

    variable: str
    default: int
    unless: tuple[str, Any] | None = None
    """A variable, and its default: while it has that value the port is not published."""


@dataclass(frozen=True)
class Service:
    """A container of ours, and all that others need to know of it."""

    name: str
    """Also the name of its role, of the folder of its build context, and the label of its container."""
    title: str
    """For people, within a sentence."""
    build_arguments: Mapping[str, str] = field(default_factory=dict)
    """By build argument the field of the profile that it gets."""
    ports: tuple[PublishedPort, ...] = ()
    data_folders: Mapping[str, str] = field(default_factory=dict)
    """By variable the folder of the host, unless the inventory names another one."""
    memory_limit_share: float = 0.75
    """The part of the host's memory that the container may use."""
    memory_share: float = 0.0
    """The part of the container's memory that its program is set up for, for one that is to be told."""
    has_application: bool = False
    """Whether its image holds an application that the inventory chooses, which its role hands over to the build."""
    keeps_previous: bool = False
    """Whether a container that was replaced may stay, stopped, until somebody outside has looked at the new one."""
    user: str = ""
    """The user in its container that its data belong to; empty for the one whom its image names."""

    @property
    def container(self) -> str:
        """Give the name of its container."""
        return CONTAINER_PREFIX + self.name

    @property
    def container_variable(self) -> str:
        """Give the variable by which an inventory gives its container another name."""
        return f"{self.name}_container_name"

    @property
    def image(self) -> str:
        """Give the name of its image, without a tag."""
        return IMAGE_PREFIX + self.name

    @property
    def context(self) -> str:
        """Give the folder of its build context in the project."""
        return f"images/{self.name}"

    @property
    def role(self) -> str:
        """Give the name of its role, which deploys it."""
        return self.name

    @property
    def network_alias(self) -> str:
        """Give the name of the host by which other containers reach it."""
        return self.name


POSTGIS = Service(
    "postgis",
    title="the database",
    build_arguments={"POSTGRESQL_VERSION": "postgresql"},
    ports=(PublishedPort("postgis_desktop_port", 5432, unless=("postgis_desktop_networks", [])),),
    data_folders={"postgis_data_folder": "/srv/poppyfield/postgis/data"},
    memory_share=0.25,
    user="postgres",
)
LIZMAP = Service(
    "lizmap",
    title="the map server",
    build_arguments={"PHP_VERSION": "php"},
    ports=(
        PublishedPort("lizmap_port", 80),
        PublishedPort("lizmap_https_port", 443, unless=("lizmap_tls", "none")),
    ),
    data_folders={"lizmap_folder": "/srv/poppyfield/lizmap"},
    has_application=True,
    keeps_previous=True,
    user="www-data",
)

# In the order in which they are built and deployed.
SERVICES = (
    POSTGIS,
    LIZMAP,
)


def table() -> dict[str, dict[str, Any]]:
    """Give all entries as plain dicts, by name, in order."""
    return {service.name: _plain(service) for service in SERVICES}


def _plain(service: Service) -> dict[str, Any]:
    names = ("container", "image", "context", "role", "network_alias")
    return {**asdict(service), **{name: getattr(service, name) for name in names}}


def variables_of_names() -> set[str]:
    """Give the names of the variables that of_host looks at."""
    return {service.container_variable for service in SERVICES}


def of_host(variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give all entries in order, as plain dicts, with the containers' names on a host with these variables."""
    names = {service.name: variables.get(service.container_variable, service.container) for service in SERVICES}
    return [{**entry, "container": str(names[name])} for name, entry in table().items()]


def containers() -> list[str]:
    """Give the names of all containers."""
    return [service.container for service in SERVICES]


def named(name: str) -> Service:
    """Give a service by its name."""
    return next(service for service in SERVICES if service.name == name)


def options_of(service: Service) -> dict[str, Any]:
    """Give the options of its module that follow from its entry, as an argument specification."""
    return {
        "name": {"type": "str", "default": service.container},
        "network_alias": {"type": "str", "default": service.network_alias},
        "memory_limit_share": {"type": "float", "default": service.memory_limit_share},
    }


def variables_of_ports() -> set[str]:
    """Give the names of the variables that published_ports looks at."""
    ports = [port for service in SERVICES for port in service.ports]
    return {port.variable for port in ports} | {port.unless[0] for port in ports if port.unless}


def published_ports(variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give each port that a host with these variables publishes, its container, and the variable that names it."""
    return [
        {
            "port": int(variables.get(port.variable, port.default)),
            "container": service.container,
            "variable": port.variable,
        }
        for service in SERVICES
        for port in service.ports
        if port.unless is None or variables.get(*port.unless) != port.unless[1]
    ]
