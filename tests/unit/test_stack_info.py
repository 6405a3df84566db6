"""stack_info: figures from what engines really answered, in every state of a container, with Docker and without."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.backup import state as backup_state
from ansible.module_utils.poppyfield.containers import spec
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineMissingError
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Mount
from ansible.module_utils.poppyfield.host import stack_status
from ansible.module_utils.poppyfield.host.stack_host import HostOfStack
from ansible.module_utils.poppyfield.host.stack_status import DockerAnswers, FolderOnDisk, HostAnswers
from ansible.module_utils.poppyfield.hotspot import health
from ansible.module_utils.poppyfield.postgis.postgres import VERSION_LABEL
from ansible.module_utils.testing import patch_module_args
from docker import errors
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles.docker_engine import Behaviour, FakeDocker

Json = dict[str, Any]
Library = Callable[[str], ModuleType]
Run = Callable[..., Json]

IMAGE = "poppyfield/postgis:trixie-arm64-000000000001"
MB = 1024 * 1024
NOW = datetime(2026, 1, 4, tzinfo=UTC)

# Recorded from Docker 20.10 on cgroup v1 (shortened): a container that may use 0.3 of a core and wants more.
CGROUP_V1: Json = {
    "read": "2026-11-24T05:58:31.117601834Z",
    "preread": "2026-11-24T05:58:30.114365894Z",
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 254, "minor": 0, "op": "Read", "value": 4096},
            {"major": 254, "minor": 0, "op": "Write", "value": 8192},
            {"major": 254, "minor": 0, "op": "Sync", "value": 12288},
            {"major": 254, "minor": 0, "op": "Total", "value": 12288},
            {"major": 254, "minor": 16, "op": "Read", "value": 1},
        ]
    },
    "cpu_stats": {
        "cpu_usage": {"total_usage": 38690870149},
        "system_cpu_usage": 1330450000000,
        "online_cpus": 2,
    },
    "precpu_stats": {
        "cpu_usage": {"total_usage": 38373400122},
        "system_cpu_usage": 1328440000000,
        "online_cpus": 2,
    },
    "memory_stats": {
        "usage": 512000,
        "stats": {"cache": 90000, "inactive_file": 40000, "total_inactive_file": 57344, "total_cache": 90000},
        "limit": 25276502016,
    },
    "networks": {"eth0": {"rx_bytes": 586, "tx_bytes": 20}, "eth1": {"rx_bytes": 14, "tx_bytes": 0}},
}

# The shape on cgroup v2: small letters, no total_ fields, no use per core.
CGROUP_V2: Json = {
    "read": "2026-01-01T00:00:02Z",
    "preread": "2026-01-01T00:00:01Z",
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 179, "minor": 0, "op": "read", "value": 100 * MB},
            {"major": 179, "minor": 0, "op": "write", "value": 3 * MB},
        ]
    },
    "cpu_stats": {"cpu_usage": {"total_usage": 4_000_000_000}, "system_cpu_usage": 8_000_000_000, "online_cpus": 4},
    "precpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}, "system_cpu_usage": 4_000_000_000, "online_cpus": 4},
    "memory_stats": {"usage": 300 * MB, "stats": {"inactive_file": 90 * MB, "file": 120 * MB}, "limit": 2048 * MB},
    "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 2000}},
}

# Recorded: a container that ended after it was listed.
ENDED: Json = {
    "read": "0001-01-01T00:00:00Z",
    "preread": "0001-01-01T00:00:00Z",
    "blkio_stats": {"io_service_bytes_recursive": None},
    "cpu_stats": {"cpu_usage": {"total_usage": 0}},
    "precpu_stats": {"cpu_usage": {"total_usage": 0}},
    "memory_stats": {},
}


# Stats --------------------------------------------------------------------------------------------------------------


def test_stats_of_cgroup_v1() -> None:
    assert stack_status.describe_stats(CGROUP_V1) == {
        "cpu_percent": 31.6,
        "memory_bytes": 512000 - 57344,
        "memory_limit_bytes": 25276502016,
        "block_read_bytes": 4097,
        "block_written_bytes": 8192,
        "network_received_bytes": 600,
        "network_sent_bytes": 20,
    }


def test_stats_of_cgroup_v2() -> None:
    assert stack_status.describe_stats(CGROUP_V2) == {
        "cpu_percent": 250.0,
        "memory_bytes": 210 * MB,
        "memory_limit_bytes": 2048 * MB,
        "block_read_bytes": 100 * MB,
        "block_written_bytes": 3 * MB,
        "network_received_bytes": 1000,
        "network_sent_bytes": 2000,
    }


@pytest.mark.parametrize("sample", [CGROUP_V1, CGROUP_V2])
def test_the_processor_share_is_what_docker_stats_shows(sample: Json) -> None:
    now, before = sample["cpu_stats"], sample["precpu_stats"]
    spent = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    documented = 100 * now["online_cpus"] * spent / (now["system_cpu_usage"] - before["system_cpu_usage"])
    # The host counts its own time in hundredths of a second.
    assert stats(sample)["cpu_percent"] == pytest.approx(documented, rel=0.02)


def stats(sample: Json, **changes: Any) -> Json:
    found: Json | None = stack_status.describe_stats({**sample, **changes})
    assert found is not None
    return found


def test_a_container_that_ended_uses_nothing() -> None:
    assert stack_status.describe_stats(ENDED) is None


@pytest.mark.parametrize("memory", [{}, {"stats": {"inactive_file": 0}, "limit": 1}, {"usage": 0, "limit": 1}, None])
def test_memory_that_the_kernel_does_not_account_is_null(memory: Json | None) -> None:
    found = stats(CGROUP_V2, memory_stats=memory)
    assert found["memory_bytes"] is None
    assert found["memory_limit_bytes"] is None
    assert found["cpu_percent"] == 250.0


@pytest.mark.parametrize(("details", "used"), [({}, 100), ({"inactive_file": 100}, 100), ({"inactive_file": 99}, 1)])
def test_memory_is_never_made_nothing_of(details: Json, used: int) -> None:
    found = stats(CGROUP_V2, memory_stats={"usage": 100, "stats": details, "limit": 200})
    assert found["memory_bytes"] == used


@pytest.mark.parametrize(
    "change",
    [
        {"preread": "0001-01-01T00:00:00Z"},
        {"preread": CGROUP_V2["read"]},
        {"precpu_stats": {"cpu_usage": {"total_usage": 5_000_000_000}}},
    ],
)
def test_one_look_gives_no_share(change: Json) -> None:
    assert stats(CGROUP_V2, **change)["cpu_percent"] is None


def test_the_disks_and_networks_of_a_container_without_any() -> None:
    sample = {key: value for key, value in CGROUP_V2.items() if key != "networks"}
    found = stats(sample, blkio_stats={"io_service_bytes_recursive": []})
    assert [found["block_read_bytes"], found["network_sent_bytes"]] == [None, None]


# Containers ---------------------------------------------------------------------------------------------------------


def container(restarts: int = 0, **state: Any) -> Json:
    return {
        "Id": "c0",
        "Name": "/websig-postgis",
        "RestartCount": restarts,
        "Config": {
            "Image": IMAGE,
            "Labels": {spec.MANAGED: "true", spec.RESOURCE: "postgis", spec.IMAGE_DIGEST: "v1:abc"},
        },
        "Mounts": [
            {"Type": "bind", "Source": "/srv/data", "Destination": "/data"},
            {"Type": "volume", "Source": "/var/lib/docker/volumes/v/_data", "Destination": "/v"},
        ],
        "State": {
            "Status": "running",
            "Running": True,
            "Restarting": False,
            "OOMKilled": False,
            "ExitCode": 0,
            "Error": "",
            "StartedAt": "2026-01-01T00:00:00.123456789Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
            "Health": {"Status": "healthy", "Log": [{"Output": "all well"}]},
            **state,
        },
    }


def told(seen: Json) -> str:
    """The container in words."""
    found: Json = stack_status.describe_container(seen, None, NOW)
    return str(stack_status.summary(whole(containers=[found]))[1])


def test_a_pi_without_containers() -> None:
    assert stack_status.summary(whole())[1:] == ["Neither the database nor the map server is installed."]
    assert stack_status.summary(whole(docker={"running": False, "why": "No."}))[1:] == ["No."]


def whole(**changes: Any) -> Json:
    return {
        "host": {"model": "Raspberry Pi 4", "os": "Debian 13", "temperature_celsius": None, "throttling": None},
        "docker": {"running": True, "version": "26.1.5", "why": None},
        "containers": [],
        "disks": [],
        **changes,
    }


STATES: list[tuple[Json, Json, str]] = [
    (
        container(),
        {"health": "healthy", "health_output": None, "uptime_seconds": 259199, "exit_code": None, "restarts": 0},
        "websig-postgis: healthy, up for 2 days.",
    ),
    (
        container(restarts=1, Health={"Status": "unhealthy", "Log": [{"Output": "a"}, {"Output": "no\nmap\n"}]}),
        {"health": "unhealthy", "health_output": "no\nmap", "restarts": 1, "out_of_memory": None},
        'websig-postgis: not healthy, up for 2 days, its health check says "no map", restarted by Docker 1 time.',
    ),
    (
        container(Health={"Status": "starting", "Log": []}, StartedAt="2026-01-03T23:59:30Z"),
        {"health": "starting", "health_output": None, "uptime_seconds": 30},
        "websig-postgis: starting, up for 30 seconds.",
    ),
    (
        container(Health=None, Status="paused", StartedAt="2026-01-03T22:00:00Z"),
        {"health": "none", "state": "paused", "uptime_seconds": 7200},
        "websig-postgis: paused, up for 2 hours.",
    ),
    (
        container(Status="exited", Running=False, ExitCode=137, OOMKilled=True, Health={"Status": "unhealthy"}),
        {
            "uptime_seconds": None,
            "exit_code": 137,
            "out_of_memory": True,
            "started_at": "2026-01-01T00:00:00.123456789Z",
        },
        "websig-postgis: does not run (it ran out of memory).",
    ),
    (
        container(Status="created", Running=False, StartedAt="0001-01-01T00:00:00Z", Error="no such mount"),
        {"started_at": None, "exit_code": None, "out_of_memory": None, "error": "no such mount"},
        "websig-postgis: was never started (no such mount).",
    ),
    (
        container(restarts=7, Status="restarting", Restarting=True, ExitCode=3),
        {"uptime_seconds": None, "exit_code": 3, "restarts": 7},
        "websig-postgis: ends again and again (exit code 3), restarted by Docker 7 times.",
    ),
]


@pytest.mark.parametrize(("seen", "found", "words"), STATES, ids=[words for _, _, words in STATES])
def test_each_state_of_a_container(seen: Json, found: Json, words: str) -> None:
    described = stack_status.describe_container(seen, None, NOW)
    assert {name: described[name] for name in found} == found
    assert told(seen) == words


def test_a_clock_that_was_set_back_gives_no_time_below_zero() -> None:
    assert (
        stack_status.describe_container(container(StartedAt="2030-01-01T00:00:00Z"), None, NOW)["uptime_seconds"] == 0
    )


def test_an_image_that_poppyfield_did_not_build_has_no_digest() -> None:
    seen = container()
    seen["Config"]["Labels"][spec.IMAGE_DIGEST] = "sha256:00"
    assert stack_status.describe_container(seen, None, NOW)["digest"] is None
    assert stack_status.describe_container(container(), None, NOW)["digest"] == "abc"


# Images, disks ------------------------------------------------------------------------------------------------------


def test_an_image_has_a_row_for_each_name() -> None:
    image = {
        "Id": "sha256:1",
        "RepoTags": ["a:1", "b:1"],
        "Architecture": "arm",
        "Os": "linux",
        "Size": 5,
        "Created": "2026-01-01T00:00:00Z",
        "Config": {
            "Labels": {spec.MANAGED: "true", spec.RESOURCE: "image", spec.DIGEST: "v1:abc", VERSION_LABEL: "17"}
        },
    }
    rows = stack_status.describe_image(image, {"sha256:1"})
    assert [row["reference"] for row in rows] == ["a:1", "b:1"]
    assert rows[0] == {
        "reference": "a:1",
        "platform": "linux/arm/v7",
        "bytes": 5,
        "digest": "abc",
        "created": "2026-01-01T00:00:00Z",
        "postgresql": "17",
        "in_use": True,
    }
    nameless = stack_status.describe_image({**image, "RepoTags": None, "Architecture": "riscv64"}, {"sha256:2"})
    assert [(r["reference"], r["platform"], r["in_use"]) for r in nameless] == [(None, "linux/riscv64", False)]


def test_folders_on_the_same_disk_are_told_together() -> None:
    card = {"device": 1, "total_bytes": 32 * 1024 * MB, "free_bytes": 8 * 1024 * MB, "inodes": 100, "free_inodes": 60}
    stick = {"device": 2, "total_bytes": 2 * MB + 1, "free_bytes": MB - 1, "inodes": 0, "free_inodes": 0}
    disks = stack_status.describe_disks(
        [FolderOnDisk("/a", **card), FolderOnDisk("/b", **stick), FolderOnDisk("/c", **card)]
    )
    assert disks == [
        {
            "folders": ["/a", "/c"],
            "total_mb": 32768,
            "free_mb": 8192,
            "inodes": 100,
            "free_inodes": 60,
            "nearly_full": False,
        },
        {"folders": ["/b"], "total_mb": 2, "free_mb": 0, "inodes": None, "free_inodes": None, "nearly_full": False},
    ]
    assert stack_status.summary(whole(disks=disks))[2:] == [
        "Disk with /a and 1 more of the folders in use: 8.0 of 32.0 GB free.",
        "Disk with /b: 0.0 of 0.0 GB free.",
    ]


@pytest.mark.parametrize(
    ("total_gb", "free_mb", "inodes", "free_inodes", "nearly_full"),
    [
        (29, 3000, 0, 0, False),
        (29, 1025, 0, 0, False),
        (29, 1023, 0, 0, True),
        (4, 420, 0, 0, False),
        (4, 400, 0, 0, True),
        (29, 9000, 1000, 101, False),
        (29, 9000, 1000, 99, True),
    ],
)
def test_a_disk_that_is_nearly_full_is_told_while_there_is_time(
    total_gb: int, free_mb: int, inodes: int, free_inodes: int, nearly_full: bool
) -> None:
    folder = FolderOnDisk("/srv", 1, total_gb * 1024 * MB, free_mb * MB, inodes, free_inodes)
    disks = stack_status.describe_disks([folder])
    assert disks[0]["nearly_full"] is nearly_full
    assert ("It is nearly full: remove" in stack_status.summary(whole(disks=disks))[2]) is nearly_full


def test_what_the_health_check_found_earlier_is_told_when_all_is_well_again() -> None:
    said = "Found earlier: 2026-11-29 07:00 UTC: nginx did not answer.\n"
    health = {"Status": "healthy", "Log": [{"Output": said, "ExitCode": 0}]}
    assert told(container(Health=health)) == (
        "websig-postgis: healthy, up for 2 days, its health check found earlier "
        '"2026-11-29 07:00 UTC: nginx did not answer.".'
    )


def test_layers_that_are_left_out_are_told_beside_what_was_found_earlier() -> None:
    said = "Found earlier: 2026-11-29 07:00 UTC: nginx did not answer.\nLeft out: fields/map.qgs (rivers_1)\n"
    health = {"Status": "healthy", "Log": [{"Output": said, "ExitCode": 0}]}
    described = stack_status.describe_container(container(Health=health), None, NOW)
    assert described["found_earlier"] == "2026-11-29 07:00 UTC: nginx did not answer."
    assert described["left_out"] == "fields/map.qgs (rivers_1)"
    assert 'its maps go on without layers that cannot be opened: "fields/map.qgs (rivers_1)"' in told(
        container(Health=health)
    )


def test_which_folders_are_looked_at() -> None:
    assert stack_status.folders_in_use(DockerAnswers()) == ["/"]
    answers = DockerAnswers(info={"DockerRootDir": "/docker"}, own_containers=[container(), container()])
    assert stack_status.folders_in_use(answers) == ["/docker", "/srv/data"]


# The host -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "now", "occurred"),
    [
        ("throttled=0x0\n", set(), set()),
        ("throttled=0x50005\n", {"under_voltage", "throttled"}, {"under_voltage", "throttled"}),
        ("throttled=0x50000\n", set(), {"under_voltage", "throttled"}),
        (
            "throttled=0xE0008\n",
            {"soft_temperature_limit"},
            {"frequency_capped", "throttled", "soft_temperature_limit"},
        ),
        ("throttled=0x20002\n", {"frequency_capped"}, {"frequency_capped"}),
    ],
)
def test_what_the_firmware_says(answer: str, now: set[str], occurred: set[str]) -> None:
    found = stack_status.decode_throttled(answer)
    assert found is not None
    assert {name for name, value in found.items() if value} == now | {f"{name}_occurred" for name in occurred}
    assert len(found) == 8


@given(st.integers(0, 0xFFFFF), st.sampled_from([0, 1, 2, 3, 16, 17, 18, 19]))
def test_each_bit_of_the_firmware_is_one_fact(bits: int, place: int) -> None:
    one, other = (stack_status.decode_throttled(f"throttled={value:#x}") for value in (bits, bits ^ 1 << place))
    assert one is not None and other is not None
    assert sum(one[name] != other[name] for name in one) == 1


@pytest.mark.parametrize("answer", ["", "VCHI initialization failed", "throttled=", "error=1", "throttled=0x"])
def test_what_is_no_answer_of_the_firmware(answer: str) -> None:
    assert stack_status.decode_throttled(answer) is None


def host(laptop_clock: Any = 0, **changes: Any) -> Json:
    answers = {
        "model": "Raspberry Pi 4 Model B Rev 1.4",
        "os_release": 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
        "kernel": "6.12.47+rpt-rpi-v8",
        "architecture": "arm64",
        "millidegrees": "48686\n",
        "throttled": "throttled=0x0",
        "voltage_alarm": "",
        **changes,
    }
    found: Json = stack_status.describe_host(HostAnswers(**answers), laptop_clock)
    return found


def test_the_host() -> None:
    found = host()
    assert found.pop("throttling")["under_voltage_occurred"] is False
    assert {name: value for name, value in found.items() if value is not None} == {
        "model": "Raspberry Pi 4 Model B Rev 1.4",
        "os": "Debian GNU/Linux 13 (trixie)",
        "kernel": "6.12.47+rpt-rpi-v8",
        "architecture": "arm64",
        "platform": "linux/arm64",
        "temperature_celsius": 48.7,
    }


def test_how_busy_the_host_is() -> None:
    found = host(
        uptime="3600.55 7000.1\n",
        load="0.52 1.04 2.00 1/234 5678\n",
        memory="MemTotal:        1024000 kB\nMemFree:          100 kB\nMemAvailable:     512000 kB\n",
        busy=("cpu  100 0 100 700 100 0 0 0 5 5", "cpu  150 0 150 950 150 0 0 0 9 9"),
        cores=4,
    )
    assert (found["uptime_seconds"], found["load"], found["cores"]) == (3600, [0.52, 1.04, 2.0], 4)
    assert (found["memory_total_mb"], found["memory_available_mb"]) == (1000, 500)
    assert found["cpu_percent"] == 25.0


@pytest.mark.parametrize("after", ["cpu  100 0 100 719 100 0 0 0", "cpu  100 0 100 700 100 0 0 0", "", "cpu  1 2 3"])
def test_two_looks_that_are_close_together_do_not_tell_how_busy_it_is(after: str) -> None:
    assert host(busy=("cpu  100 0 100 700 100 0 0 0", after))["cpu_percent"] is None


@pytest.mark.parametrize(("laptop", "ahead"), [(1000, 60), (2000, -940), (0, None)])
def test_the_clock_is_compared_with_the_laptops(laptop: int, ahead: int | None) -> None:
    assert host(laptop, clock=1060.2)["clock_ahead_seconds"] == ahead


SIMULATED = """NOTE: This is only a simulation!
Inst libssl3t64 [3.5.1-1] (3.5.1-1+deb13u1 Debian-Security:13/stable-security [arm64])
Inst openssl [3.5.1-1] (3.5.1-1+deb13u1 Debian-Security:13/stable-security [arm64]) []
Inst linux-image-6.12 (6.12.48-1 Debian-Security:13/stable-security [arm64])
Inst vim-security [2:9.1] (2:9.2 Debian:13.1/stable [arm64])
Conf openssl (3.5.1-1+deb13u1 Debian-Security:13/stable-security [arm64])
"""


@pytest.mark.parametrize(("said", "count"), [(SIMULATED, 3), ("NOTE: This is only a simulation!\n", 0), (None, None)])
def test_security_updates_that_wait_are_counted(said: str | None, count: int | None) -> None:
    found = host(upgrades=said, upgrades_as_of=0.0)
    assert found["security_updates"] == count
    assert found["security_updates_as_of"] == "1970-01-01T00:00:00+00:00"


def test_a_host_that_tells_nothing() -> None:
    found = host(model="", os_release="", architecture="", millidegrees="", throttled="")
    assert {name for name, value in found.items() if value is not None} == {"kernel"}
    assert stack_status.summary(whole(host=found))[0] == "This host with an unknown system and Docker 26.1.5."
    assert len(stack_status.summary(whole(host=found))) == 2


@pytest.mark.parametrize(("alarm", "low"), [("1\n", True), ("0\n", False)])
def test_without_vcgencmd_the_kernel_tells_of_the_voltage_only(alarm: str, low: bool) -> None:
    found = host(throttled="", voltage_alarm=alarm)["throttling"]
    assert found.pop("under_voltage") is low
    assert set(found.values()) == {None}
    assert set(found) | {"under_voltage"} == set(host()["throttling"])


GOOD = "Power: the voltage is good"
REMEDY = "Use the power supply made for this Pi, with a short cable."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, [f"{GOOD} since the Pi started."]),
        (
            {"throttled": "throttled=0x50000"},
            [f"Power: the voltage was too low at some time since the Pi started. {REMEDY}"],
        ),
        (
            {"throttled": "throttled=0x50005"},
            [
                f"Power: the voltage is too low now. {REMEDY}",
                "The processor is slowed down now, by heat or by low voltage.",
            ],
        ),
        (
            {"throttled": "throttled=0x8"},
            [f"{GOOD} since the Pi started.", "The processor is slowed down now, by heat or by low voltage."],
        ),
        ({"throttled": "", "voltage_alarm": "0"}, [f"{GOOD}."]),
        ({"throttled": "", "voltage_alarm": "1"}, [f"Power: the voltage is too low now. {REMEDY}"]),
        ({"throttled": ""}, []),
    ],
)
def test_heat_and_power_in_words(changes: dict[str, str], words: list[str]) -> None:
    assert stack_status.summary(whole(host=host(**changes)))[2:] == ["Temperature: 48.7 °C.", *words]


# The module ---------------------------------------------------------------------------------------------------------


def start(docker: FakeDocker, name: str, resource: str, image: str = IMAGE, **labels: str) -> None:
    engine = Engine(docker, errors)
    if "poppyfield" not in docker.networks_by_name:
        engine.create_network(spec.network_body("poppyfield"))
    wanted = ContainerSpec(
        name, resource, image, "poppyfield", mounts=(Mount(f"/srv/{name}", "/data", read_only=False),)
    )
    found = engine.image(image)
    assert found is not None
    body = spec.container_body(wanted, found)
    body["Labels"] = {**body["Labels"], **labels}
    container = engine.create_container(name, body)
    engine.set_restart_policy(container, spec.ALWAYS)
    engine.start(container)


@pytest.fixture
def pi(docker: FakeDocker, library: Library, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A Pi with our two containers, and others that are not ours."""
    docker.add_image(IMAGE, "1")
    docker.add_image("poppyfield/lizmap:trixie-arm64-000000000002", "2")
    docker.add_image("debian:trixie")
    start(docker, "websig-postgis", "postgis")
    start(docker, "websig-lizmap", "lizmap")
    start(docker, "by-hand", "image")  # docker run of our image: it inherits the image's labels
    start(docker, "other", "postgis", "debian:trixie", **{spec.MANAGED: "false"})
    docker.stats_by_name = {"websig-postgis": CGROUP_V2, "websig-lizmap": CGROUP_V1}
    docker.calls.clear()
    monkeypatch.setattr(library("stack_info").Engine, "connect", lambda: Engine(docker, errors))
    return docker


def test_ours_are_described_and_others_counted(pi: FakeDocker, run_module: Run) -> None:
    found = run_module("stack_info")
    assert found["changed"] is False
    assert [(c["name"], c["resource"], c["health"]) for c in found["containers"]] == [
        ("websig-lizmap", "lizmap", "starting"),
        ("websig-postgis", "postgis", "starting"),
    ]
    assert [c["stats"]["cpu_percent"] for c in found["containers"]] == [31.6, 250.0]
    assert [(i["reference"], i["digest"], i["in_use"]) for i in found["images"]] == [
        (IMAGE, "1", True),
        ("poppyfield/lizmap:trixie-arm64-000000000002", "2", False),
    ]
    assert found["others"] == {"containers": 2, "images": 1}
    assert (found["docker"]["version"], found["docker"]["api_version"]) == ("26.1.5+dfsg1", "1.45")
    assert found["docker"]["why"] is None
    assert pi.calls == []


def test_a_wifi_that_is_asked_for_and_not_there_is_told(pi: FakeDocker, run_module: Run) -> None:
    assert run_module("stack_info")["hotspot"] is None
    assert run_module("stack_info", hotspot=True)["hotspot"]["codes"] == ["hotspot_absent"]


def test_check_mode_is_the_same(pi: FakeDocker, run_module: Run) -> None:
    found = run_module("stack_info", check_mode=True)
    assert [c["name"] for c in found["containers"]] == ["websig-lizmap", "websig-postgis"]
    assert pi.calls == []


def test_stats_can_be_left_out(pi: FakeDocker, run_module: Run) -> None:
    assert [c["stats"] for c in run_module("stack_info", stats=False)["containers"]] == [None, None]


def test_a_container_that_does_not_run_is_not_measured(pi: FakeDocker, run_module: Run) -> None:
    pi.stop("websig-lizmap", 1)
    pi.behaviours[IMAGE] = Behaviour(ends_with=1)
    pi.stop("websig-postgis", 1)
    pi.start("websig-postgis")
    found = run_module("stack_info")["containers"]
    assert [(c["state"], c["stats"]) for c in found] == [("exited", None), ("restarting", None)]


def test_a_container_that_is_removed_meanwhile(
    pi: FakeDocker, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    del pi.stats_by_name["websig-postgis"]
    listed = pi.containers(all=True)
    pi.remove_container("websig-lizmap", v=False, force=True)
    monkeypatch.setattr(pi, "containers", lambda all: listed)
    found = run_module("stack_info")["containers"]
    assert [(c["name"], c["stats"]) for c in found] == [("websig-postgis", None)]


def test_an_image_that_is_removed_meanwhile(pi: FakeDocker, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = pi.images()
    del pi.images_by_reference["poppyfield/lizmap:trixie-arm64-000000000002"]
    monkeypatch.setattr(pi, "images", lambda: listed)
    assert [i["reference"] for i in run_module("stack_info")["images"]] == [IMAGE]


class Together(FakeDocker):
    """Answers only when everything that should be asked at the same time has been asked."""

    meeting = threading.Barrier(3, timeout=60)

    def stats(self, name: str, stream: bool) -> Json:
        self.meeting.wait()
        return super().stats(name, stream)

    def images(self, name: str = "") -> list[Json]:
        self.meeting.wait()
        return super().images(name)


def test_containers_are_measured_together_and_the_rest_is_asked_meanwhile(pi: FakeDocker, library: Library) -> None:
    slow = Together(**{name: getattr(pi, name) for name in pi.__dataclass_fields__})
    found = library("stack_info").look_at_docker(Engine(slow, errors), measure=True)
    assert len(found.samples) == 2 and len(found.own_images) == 2


def test_without_docker_the_host_is_described(
    library: Library, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Engine:
        raise EngineMissingError("Docker Engine does not answer on this host.")

    monkeypatch.setattr(library("stack_info").Engine, "connect", missing)
    found = run_module("stack_info")
    assert not found.get("failed")
    assert found["docker"]["running"] is False
    assert found["docker"]["why"] == "Docker Engine does not answer on this host."
    assert found["containers"] == found["images"] == []
    assert found["others"] == {"containers": None, "images": None}
    assert found["host"]["kernel"] and found["disks"][0]["folders"] == ["/"]
    assert found["summary"][1] == "Docker Engine does not answer on this host."


class Dying(FakeDocker):
    def info(self) -> Json:
        raise errors.APIError("server closed the connection")


def test_an_engine_that_goes_away_meanwhile(library: Library, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library("stack_info").Engine, "connect", lambda: Engine(Dying(), errors))
    found = run_module("stack_info")
    assert found["docker"]["running"] is False
    assert "server closed the connection" in found["docker"]["why"]


def keys(documented: Json) -> Json:
    """The documented names, with those that they contain."""
    return {name: keys(entry.get("contains", {})) for name, entry in documented.items()}


def shape(value: Any) -> Json:
    """The names in a result, those of the first entry standing for all of a list."""
    if isinstance(value, list):
        return shape(value[0]) if value else {}
    return {name: shape(entry) for name, entry in value.items()} if isinstance(value, dict) else {}


def test_what_is_documented_is_returned(pi: FakeDocker, library: Library) -> None:
    module = library("stack_info")
    answers = module.look_at_docker(Engine(pi, errors), measure=True)
    seen = HostAnswers("", "", "", "", "", "throttled=0x0", "")
    settings = {"prove": True, "max_age_days": 3, "max_unproven_days": 14}
    backups = [backup_state.judged("stick", {}, settings, NOW, NOW)]
    damaged = {"database": "gis", "table": "t", "index": None, "file": "base/5/1", "pages": 1}
    check = {"at": "2026-01-01T02:00:00+00:00", "result": "damaged", "said": "", "pages": 9, "damaged": [damaged]}
    disks, later = [FolderOnDisk("/", 1, 1, 1, 1, 1)], NOW + timedelta(days=1)
    found = stack_status.describe(
        *(seen, answers, disks, None, later),
        backups=backups,
        data_check=check,
        card=["worn"],
        hotspot=health.told(["hotspot_closed"]),
    )
    assert health.SENTENCES["en"]["hotspot_closed"] in found["summary"]
    assert "Backups on stick: there is none yet; none was proven yet." in found["summary"]
    assert "Card: it is nearly worn out. Make a backup, and replace it soon." in found["summary"]
    assert shape({**copy.deepcopy(found), "last_deployment": {}}) == keys(yaml.safe_load(module.RETURN))


# Reading the host ---------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A host in a folder of its own."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for folder in ("bin", "etc", "sys/firmware/devicetree/base", "sys/class/hwmon/hwmon0", "sys/class/hwmon/hwmon1"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "sys/firmware/devicetree/base/model").write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    (tmp_path / "etc/os-release").write_text("PRETTY_NAME=Debian\n")
    (tmp_path / "sys/class/hwmon/hwmon0/name").write_text("cpu_thermal\n")
    (tmp_path / "sys/class/hwmon/hwmon0/in0_lcrit_alarm").write_text("1\n")
    with patch_module_args({}):
        return HostOfStack(library("stack_info").speaker(AnsibleModule(argument_spec={})), tmp_path)


def command(folder: Path, name: str, script: str) -> None:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_hosts_files_and_commands_are_read(machine: Any, tmp_path: Path) -> None:
    command(tmp_path, "dpkg", 'echo "arm64 $1"')
    command(tmp_path, "vcgencmd", 'echo "throttled=0x50005 $1"')
    found = machine.look()
    assert found.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert found.architecture == "arm64 --print-architecture"
    assert found.throttled == "throttled=0x50005 get_throttled\n"
    assert (found.millidegrees, found.voltage_alarm) == ("", "")


def test_commands_that_are_missing_or_fail_say_nothing(machine: Any, tmp_path: Path) -> None:
    command(tmp_path, "vcgencmd", "echo VCHI initialization failed; exit 1")
    found = machine.look()
    assert found.throttled == ""
    assert found.kernel


def test_only_the_pis_own_voltage_sensor_counts(machine: Any, tmp_path: Path) -> None:
    (tmp_path / "sys/class/hwmon/hwmon1/name").write_text("rpi_volt\n")
    assert machine.look().voltage_alarm == ""
    (tmp_path / "sys/class/hwmon/hwmon1/in0_lcrit_alarm").write_text("0\n")
    assert machine.look().voltage_alarm == "0\n"


def test_only_folders_that_exist_have_a_disk(machine: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    found = machine.folders([str(tmp_path), str(tmp_path / "secret"), str(tmp_path / "missing")])
    assert [folder.path for folder in found] == [str(tmp_path)]
    assert 0 <= found[0].free_bytes < found[0].total_bytes


def test_apt_is_asked_only_where_it_knows_of_security_updates(machine: Any, tmp_path: Path) -> None:
    command(tmp_path, "apt-get", 'echo "asked $*"')
    lists = tmp_path / "var/lib/apt/lists"
    lists.mkdir(parents=True)
    (lists / "mirror.example_debian_dists_trixie_InRelease").write_text("")
    assert machine.look(updates=True).upgrades is None
    security = lists / "security.debian.org_debian-security_dists_trixie-security_InRelease"
    security.write_text("")
    os.utime(security, (1000, 1000))
    assert machine.look().upgrades is None
    found = machine.look(updates=True)
    assert (found.upgrades, found.upgrades_as_of) == ("asked --simulate --quiet dist-upgrade\n", 1000)
    command(tmp_path, "apt-get", "exit 100")
    assert machine.look(updates=True).upgrades is None


def test_the_version_of_the_sdk(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    module = library("stack_info")
    assert module.sdk_version()[0].isdigit()

    def missing(name: str) -> str:
        raise module.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.metadata, "version", missing)
    assert module.sdk_version() is None
