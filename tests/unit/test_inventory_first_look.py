"""What the first look at a Pi is to ask follows from its variables."""

from __future__ import annotations

from ansible.module_utils.poppyfield.inventory.first_look import requirements

from tests.unit.inventory_of import host


def test_what_is_asked_of_a_pi_with_the_defaults() -> None:
    enough = {"free_mb": 2000, "variable": "raspberry_pi_min_free_disk_mb"}
    assert requirements(host()) == {
        "profile": "trixie",
        "memory_mb": 900,
        "disk": [{"path": "/var/lib/docker", **enough}, {"path": "/srv/poppyfield/postgis/data", **enough}],
        "folders": [
            {"path": "/srv/poppyfield/postgis/data", "variable": "postgis_data_folder"},
            {"path": "/srv/poppyfield/postgis/data/cluster", "variable": "postgis_data_folder"},
            {"path": "/srv/poppyfield/lizmap", "variable": "lizmap_folder"},
            {"path": "/srv/poppyfield/lizmap/projects", "variable": "lizmap_folder"},
            {"path": "/srv/poppyfield/lizmap/config", "variable": "lizmap_folder"},
        ],
        "ports": [{"port": 80, "container": "websig-lizmap", "variable": "lizmap_port"}],
        "files": [
            "/etc/docker/daemon.json",
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
    assert asked["files"][2:] == ["/d/pg/cluster/PG_VERSION", "/d/initial/a.sql"]
