"""What the first look at a Pi is to ask follows from its variables."""

from __future__ import annotations

import pytest
from ansible.module_utils.poppyfield.inventory.first_look import requirements, writes

from tests.unit.inventory_of import host


def test_what_is_asked_of_a_pi_with_the_defaults() -> None:
    enough = {"free_mb": 2000, "variable": "raspberry_pi_min_free_disk_mb"}
    assert requirements(host()) == {
        "profile": "trixie",
        "memory_mb": 900,
        "disk": [{"path": "/var/lib/docker", **enough}, {"path": "/srv/poppyfield/postgis/data", **enough}],
        "clock_difference": 86400,
        "docker_source": "distribution",
        "docker_settings": {
            "live-restore": True,
            "log-driver": "local",
            "log-opts": {"max-size": "10m", "max-file": "3"},
        },
        "folders": [
            {"path": "/srv/poppyfield/postgis/data", "variable": "postgis_data_folder"},
            {"path": "/srv/poppyfield/postgis/data/cluster", "variable": "postgis_data_folder"},
            {"path": "/srv/poppyfield/lizmap", "variable": "lizmap_folder"},
            {"path": "/srv/poppyfield/lizmap/projects", "variable": "lizmap_folder"},
            {"path": "/srv/poppyfield/lizmap/config", "variable": "lizmap_folder"},
        ],
        "ports": [{"port": 80, "container": "websig-lizmap", "variable": "lizmap_port"}],
        "files": [
            "/etc/systemd/journald.conf.d/poppyfield.conf",
            "/srv/poppyfield/postgis/data/cluster/PG_VERSION",
        ],
    }


def test_ports_and_files_follow_the_variables() -> None:
    databases = [{"name": "a", "owner": "gis", "initial_sql": "/a.sql"}, {"name": "b", "owner": "gis"}]
    asked = requirements(
        host(lizmap_tls="self_signed", lizmap_port="8080", postgis_data_folder="/d/pg", postgis_databases=databases)
    )
    assert [port["port"] for port in asked["ports"]] == [8080, 443]
    assert asked["files"][1:] == ["/d/pg/cluster/PG_VERSION", "/d/initial/a.sql"]


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([], True),
        (["all"], True),
        (["preflight"], True),
        (["verify"], False),
        (["build"], False),
        (["build", "verify"], False),
        (["deploy", "verify"], True),
        (["a tag of somebody's own"], True),
    ],
)
def test_room_and_file_systems_matter_only_where_something_is_written(stages: list[str], expected: bool) -> None:
    assert writes(stages) is expected
    asked, of_all = requirements(host(), stages), requirements(host())
    assert (asked["disk"] == of_all["disk"], asked["folders"] == of_all["folders"]) == (expected, expected)
    assert (bool(asked["disk"]), bool(asked["folders"])) == (expected, expected)
    assert (bool(asked["clock_difference"]), bool(asked["docker_source"])) == (expected, expected)
    nothing: dict[str, object] = {
        "disk": [],
        "folders": [],
        "clock_difference": 0,
        "docker_source": None,
        "docker_settings": None,
    }
    assert {**asked, **nothing} == {**of_all, **nothing}
