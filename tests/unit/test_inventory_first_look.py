"""What the first look at a Pi is to ask follows from its variables."""

from __future__ import annotations

import pytest
from ansible.module_utils.poppyfield.inventory.first_look import provisions, requirements, writes

from tests.unit.inventory_of import host


def test_what_is_asked_of_a_pi_with_the_defaults() -> None:
    enough = {"free_mb": 2000, "variable": "raspberry_pi_min_free_disk_mb"}
    remembered = {"remembered": True, "may_change": False}
    assert requirements(host()) == {
        "profile": "trixie",
        "memory_mb": 900,
        "disk": [{"path": "/var/lib/docker", **enough}, {"path": "/srv/poppyfield/postgis/data", **enough}],
        "clock_difference": 86400,
        "set_clock": True,
        "bundle": None,
        "receiver": None,
        "hotspot": None,
        "docker_source": "distribution",
        "docker_settings": {
            "live-restore": True,
            "log-driver": "local",
            "log-opts": {"max-size": "10m", "max-file": "3"},
        },
        "folders": [
            {"path": "/srv/poppyfield/postgis/data", "variable": "postgis_data_folder", **remembered},
            {"path": "/srv/poppyfield/postgis/data/cluster", "variable": "postgis_data_folder"},
            {"path": "/srv/poppyfield/lizmap", "variable": "lizmap_folder", **remembered},
            {"path": "/srv/poppyfield/lizmap/projects", "variable": "lizmap_folder"},
            {"path": "/srv/poppyfield/lizmap/config", "variable": "lizmap_folder"},
        ],
        "ports": [{"port": 80, "container": "websig-lizmap", "variable": "lizmap_port"}],
        "cluster": {
            "folder": "/srv/poppyfield/postgis/data",
            "marker": "/srv/poppyfield/postgis/data/cluster/PG_VERSION",
            "upgraded": False,
        },
        "files": [
            "/etc/systemd/journald.conf.d/poppyfield.conf",
            "/etc/systemd/system/poppyfield-position.service",
            "/etc/systemd/system/poppyfield-hotspot.service",
            "/srv/poppyfield/postgis/data/cluster/PG_VERSION",
        ],
        "card": {
            "data": "/srv/poppyfield/postgis/data/cluster/PG_VERSION",
            "new": "/var/lib/poppyfield/backup/card.new",
        },
    }
    stick = {"name": "stick", "label": "POPPYFIELD"}
    assert "/var/lib/poppyfield/backup/card.new" in requirements(host(backup_targets=[stick]))["files"]


def test_ports_and_files_follow_the_variables() -> None:
    databases = [{"name": "a", "owner": "gis", "initial_sql": "/a.sql"}, {"name": "b", "owner": "gis"}]
    asked = requirements(
        host(lizmap_tls="self_signed", lizmap_port="8080", postgis_data_folder="/d/pg", postgis_databases=databases)
    )
    assert [port["port"] for port in asked["ports"]] == [8080, 443]
    moved = requirements(host(lizmap_folder_may_change=True))["folders"]
    assert [folder["variable"] for folder in moved if folder.get("may_change")] == ["lizmap_folder"]
    assert asked["files"][3:] == ["/d/pg/cluster/PG_VERSION", "/d/initial/a.sql"]
    hardened = requirements(host(hardening_audit=True, hardening_ssh_keys_only=True, hardening_engine=True))
    assert "/etc/ssh/sshd_config.d/00-poppyfield.conf" in hardened["files"]
    assert "/etc/audit/rules.d/poppyfield.rules" in hardened["files"]
    assert hardened["docker_settings"]["no-new-privileges"] is True


@pytest.mark.parametrize(
    ("stages", "expected", "provisioning", "deploying"),
    [
        ([], True, True, True),
        (["all"], True, True, True),
        (["preflight"], True, True, True),
        (["provision"], True, True, False),
        (["verify"], False, False, False),
        (["build"], False, False, False),
        (["build", "verify"], False, False, False),
        (["deploy", "verify"], True, False, True),
        (["deliver"], True, False, False),
        (["a tag of somebody's own"], True, True, True),
    ],
)
def test_a_pi_is_asked_only_for_what_the_stages_of_a_run_need(
    stages: list[str], expected: bool, provisioning: bool, deploying: bool
) -> None:
    assert provisions(stages) is provisioning
    assert writes(stages) is expected
    asked, of_all = requirements(host(), stages), requirements(host())
    assert (asked["disk"] == of_all["disk"], asked["folders"] == of_all["folders"]) == (expected, expected)
    assert (bool(asked["disk"]), bool(asked["folders"])) == (expected, expected)
    assert bool(asked["clock_difference"]) is expected
    assert (bool(asked["docker_source"]), bool(asked["docker_settings"])) == (provisioning, provisioning)
    assert bool(asked["cluster"]) is deploying
    assert asked["set_clock"] is provisioning
    nothing: dict[str, object] = {
        "cluster": None,
        "disk": [],
        "folders": [],
        "clock_difference": 0,
        "set_clock": False,
        "docker_source": None,
        "docker_settings": None,
    }
    assert {**asked, **nothing} == {**of_all, **nothing}


def test_files_of_the_first_start_need_room_of_their_own_until_there_is_a_database() -> None:
    asked = requirements(host(), first_start_mb=700)
    assert asked["disk"][:-1] == requirements(host())["disk"]
    marker = "/srv/poppyfield/postgis/data/cluster/PG_VERSION"
    assert asked["disk"][-1] == {
        "path": "/srv/poppyfield/postgis/data",
        "free_mb": 700,
        "variable": "postgis_first_start_files",
        "unless_file": marker,
    }
    assert marker in asked["files"]
    assert requirements(host(), ["verify"], first_start_mb=700)["disk"] == []


def test_a_wifi_of_its_own_is_looked_at_where_a_run_sets_one_up() -> None:
    of_a_pi = host(hotspot_enabled=True, hotspot_country="FR", hotspot_interface="wlan1")
    asked = {"interface": "wlan1", "network": "10.77.77.0/24", "leave_wifi": False}
    assert requirements(of_a_pi)["hotspot"] == asked
    assert requirements(of_a_pi, ["deploy"])["hotspot"] is None


def test_a_receiver_is_looked_for_where_a_run_sets_one_up() -> None:
    of_a_pi = host(position_enabled=True, position_device="/dev/ttyACM0")
    marker = "/etc/systemd/system/poppyfield-position.service"
    assert requirements(of_a_pi)["receiver"] == {"device": "/dev/ttyACM0", "marker": marker}
    assert marker in requirements(of_a_pi)["files"]
    assert requirements(of_a_pi, ["deploy"])["receiver"] is None
