"""Every host that is refused is refused with a sentence that names the remedy, and all reasons come at once."""

from __future__ import annotations

import dataclasses
import grp
import hashlib
import json
import os
import pwd
import time
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host import requirements
from ansible.module_utils.poppyfield.host.requirements import Disk, Facts, Listener, Requirements

PI = Facts(
    os_id="debian",
    os_version_id="13",
    os_id_like=(),
    os_name="Debian GNU/Linux 13 (trixie)",
    architecture="arm64",
    machine="aarch64",
    memory_mb=3800,
    clock_year=2026,
    disks=(Disk("/srv", 20000),),
    listeners=(Listener(80, busy=False),),
)
NEEDS = Requirements(
    profile="trixie",
    architecture="arm64",
    memory_mb=900,
    earliest_year=2025,
    disks=({"path": "/srv", "free_mb": 4000, "variable": "data_folder"},),
    ports=({"port": 80, "container": "websig-lizmap", "variable": "lizmap_port"},),
)


def problems(needs: dict[str, Any] | None = None, **facts: Any) -> list[str]:
    found: list[str] = requirements.problems(
        dataclasses.replace(PI, **facts), dataclasses.replace(NEEDS, **(needs or {}))
    )
    return found


@pytest.mark.parametrize(
    ("facts", "needs"),
    [
        ({}, {}),
        ({"os_version_id": "12"}, {"profile": "bookworm"}),
        ({"os_version_id": "12"}, {"profile": "trixie"}),
        (
            {"os_id": "raspbian", "os_version_id": "12", "architecture": "armhf", "machine": "armv7l"},
            {"profile": "bookworm", "architecture": "armhf"},
        ),
        # A 32-bit system on a 64-bit kernel, as Raspberry Pi OS boots on a Pi 4.
        ({"os_version_id": "12", "architecture": "armhf"}, {"profile": "bookworm", "architecture": "armhf"}),
        ({"architecture": "amd64", "machine": "x86_64"}, {"architecture": "amd64", "allow_amd64": True}),
        ({"listeners": (Listener(80, busy=True, owner="websig-lizmap"),)}, {}),
        ({"listeners": (Listener(80, busy=True, owner="websig-lizmap-previous"),)}, {}),
    ],
)
def test_supported(facts: dict[str, Any], needs: dict[str, Any]) -> None:
    assert problems(needs, **facts) == []


@pytest.mark.parametrize(
    ("facts", "needs", "words"),
    [
        ({"os_id": "ubuntu", "os_version_id": "24.04", "os_name": "Ubuntu 24.04"}, {}, ["Ubuntu", "Supported are"]),
        ({"os_id": "", "os_name": ""}, {}, ["unknown system", "Supported are"]),
        ({"os_version_id": "11", "os_name": "Debian 11"}, {}, ["Debian 11", "Supported are"]),
        ({"machine": "armv6l", "architecture": "armhf"}, {"architecture": "armhf"}, ["ARMv6", "Supported are"]),
        (
            {"architecture": "armhf"},
            {"architecture": "armhf", "profile": "bookworm"},
            ["32-bit system of trixie", "no PostGIS", "64-bit Raspberry Pi OS"],
        ),
        (
            {"architecture": "armhf", "os_version_id": "12"},
            {"architecture": "armhf"},
            ["profile trixie has no images for armhf", "bookworm"],
        ),
        ({"architecture": "amd64"}, {"architecture": "amd64"}, ["amd64", "for tests only"]),
        ({"architecture": "riscv64"}, {"architecture": ""}, ["riscv64", "Supported are"]),
        ({"architecture": "arm64"}, {"architecture": "armhf"}, ["inventory says that this host is armhf", "arm64"]),
        ({"memory_mb": 430}, {}, ["430 MB of memory", "900 MB"]),
        ({"clock_year": 1970}, {}, ["year 1970", "Set it"]),
        ({"disks": (Disk("/srv", 12),)}, {}, ["/srv (data_folder) has 12 MB free", "4000 MB"]),
        ({"disks": ()}, {}, ["/srv (data_folder) could not be read"]),
        ({"listeners": (Listener(80, busy=True),)}, {}, ["port 80 (lizmap_port)", "another program", "ss -ltnp"]),
        ({"listeners": (Listener(80, busy=True, owner="web"),)}, {}, ["the container web"]),
        ({"foreign_containers": ("websig-postgis",)}, {}, ["container named websig-postgis", "did not make"]),
        ({"foreign_networks": ("poppyfield",)}, {}, ["network named poppyfield", "did not make"]),
        ({}, {"profile": "sid"}, ["profile 'sid' does not exist", "trixie, bookworm"]),
    ],
)
def test_each_problem_alone(facts: dict[str, Any], needs: dict[str, Any], words: list[str]) -> None:
    (sentence,) = problems(needs, **facts)
    for word in words:
        assert word in sentence
    assert sentence.endswith(".")


def test_all_problems_come_together_in_a_fixed_order() -> None:
    found = problems(
        os_id="arch",
        architecture="armhf",
        memory_mb=1,
        clock_year=1970,
        disks=(),
        foreign_networks=("poppyfield",),
    )
    beginnings = ["The operat", "This is a 32-bit", "The inventory", "The host", "The clock", "The free", "A Docker"]
    assert [s[: len(b)] for s, b in zip(found, beginnings, strict=True)] == beginnings


def test_a_port_without_a_container_of_ours_is_never_held_by_one() -> None:
    needs = {"ports": ({"port": 80},)}
    assert len(problems(needs, listeners=(Listener(80, busy=True),))) == 1


def test_a_memory_cgroup_that_is_off_is_a_warning() -> None:
    assert requirements.warnings(PI, NEEDS) == []
    assert len(requirements.warnings(dataclasses.replace(PI, memory_cgroup=False), NEEDS)) == 1


NOON = 1795953600
"""On 2026-11-29, 12:00 UTC."""
MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.field("B16", "a clock that is years off")
@pytest.mark.parametrize(
    ("off", "refused", "words"),
    [
        (0, False, ""),
        # The question takes its time until it is on the Pi, and the clocks of two machines are never quite the same.
        (4 * MINUTE, False, ""),
        (-4 * MINUTE, False, ""),
        (6 * MINUTE, False, "The clock is 6 minutes ahead of this laptop's: it says 2026-11-29 12:06 UTC"),
        (-3 * HOUR, False, "The clock is 3 hours behind this laptop's: it says 2026-11-29 09:00 UTC"),
        (-25 * HOUR, True, "The clock is 25 hours behind"),
        (-400 * DAY, True, "The clock is 400 days behind this laptop's: it says 2025-10-25 12:00 UTC, the laptop"),
        (3300 * DAY, True, "The clock is 3300 days ahead of this laptop's: it says 2035-12-12 12:00 UTC"),
        (-NOON + HOUR, True, "The clock is 20786 days behind this laptop's: it says 1970-01-01 01:00 UTC"),
    ],
)
def test_a_clock_is_compared_with_the_laptops(off: int, refused: bool, words: str) -> None:
    year = 1970 if off < -1000 * DAY else 2026
    facts = dataclasses.replace(PI, clock=NOON + off, clock_year=year)
    wanted = dataclasses.replace(NEEDS, laptop_clock=NOON, clock_difference=DAY)
    told, warned = requirements.problems(facts, wanted), requirements.warnings(facts, wanted)
    assert [bool(told), bool(warned)] == [refused, bool(words) and not refused]
    for sentence in (*told, *warned):
        assert sentence.startswith(words)
        assert "ssh -t NAME sudo date --set=@$(date +%s)" in sentence
        assert ("certificates" in sentence) is refused
    # Where nothing is written, it is only told.
    only_told = dataclasses.replace(wanted, clock_difference=0)
    assert requirements.problems(facts, only_told) == []
    assert bool(requirements.warnings(facts, only_told)) is bool(words)
    # Without the laptop's time there is only the year to go by.
    alone = dataclasses.replace(wanted, laptop_clock=0)
    assert bool(requirements.problems(facts, alone)) is (year < NEEDS.earliest_year)
    assert requirements.warnings(facts, alone) == []


@pytest.mark.parametrize(
    ("off", "changes", "is_set"),
    [
        (-NOON + HOUR, {}, True),
        (-90, {}, True),
        (90, {}, True),
        (-50, {}, False),
        # Then it is the laptop that is wrong, or the time server.
        (-400 * DAY, {"clock_kept": True}, False),
        # A run that provisions nothing.
        (-400 * DAY, {"set_clock": False}, False),
        (-400 * DAY, {"laptop_clock": 0}, False),
        # The laptop's own is wrong: it is in 1970, which is no time to give to a Pi.
        (-400 * DAY, {"laptop_clock": HOUR}, False),
    ],
)
@pytest.mark.field("B16", "a clock that no time server sets")
def test_a_clock_that_nobody_else_sets_is_set(off: int, changes: dict[str, Any], is_set: bool) -> None:
    facts = dataclasses.replace(PI, clock=NOON + off, clock_year=1970, clock_kept=changes.pop("clock_kept", False))
    asked = {"laptop_clock": NOON, "clock_difference": DAY, "set_clock": True, **changes}
    wanted = dataclasses.replace(NEEDS, **asked)
    assert requirements.clock_to_set(facts, wanted) is is_set
    if is_set:
        assert requirements.problems(facts, wanted) == []
    told = [text for text in requirements.warnings(facts, wanted) if "the provision stage does" in text]
    assert bool(told) is (is_set and abs(off) >= 5 * MINUTE)


@pytest.mark.parametrize(
    ("clock", "laptop", "made", "is_set", "words"),
    [
        # A Pi that installs itself has no other clock than its own.
        (NOON - 400 * DAY, NOON - 400 * DAY, NOON, True, "behind the bundle: it says 2025-10-25 12:00 UTC, which was"),
        (HOUR, HOUR, NOON, True, "behind the bundle: it says 1970-01-01 01:00 UTC"),
        (NOON + DAY, NOON + DAY, NOON, False, ""),
        # One that is ahead may be right: who knows.
        (NOON + 3300 * DAY, NOON + 3300 * DAY, NOON, False, ""),
        # A laptop that is behind the bundle is no clock to go by.
        (NOON, NOON - 400 * DAY, NOON, False, ""),
        (NOON - 3 * HOUR, NOON, NOON - DAY, True, "behind this laptop's"),
    ],
)
def test_a_clock_that_is_behind_the_bundle_is_set(clock: int, laptop: int, made: int, is_set: bool, words: str) -> None:
    facts = dataclasses.replace(PI, clock=clock, clock_year=2026)
    asked: dict[str, Any] = {"laptop_clock": laptop, "bundle_date": made, "clock_difference": DAY, "set_clock": True}
    wanted = dataclasses.replace(NEEDS, **asked)
    assert requirements.clock_to_set(facts, wanted) is is_set
    assert requirements.problems(facts, wanted) == []
    told = requirements.warnings(facts, wanted)
    assert bool(told) is bool(words) and all(words in text for text in told)


def test_the_module_judges_the_clock_by_the_bundle_that_it_is_given(
    run_module: Any, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = library("host_requirements")
    monkeypatch.setattr(module, "said_by", lambda _argv: "")
    monkeypatch.setattr(module, "bundle_facts", lambda *_: {})
    now = int(time.time())
    for made, is_set in ((now + DAY, True), (now - DAY, False)):
        offer = {"number": 1, "signers": "x", "packages": {}, "indexes": {}, "made": made}
        done = run_module("host_requirements", laptop_clock=now, set_clock=True, bundle=offer)
        assert done["ansible_facts"]["poppyfield_pi"]["clock_to_set"] is is_set


@pytest.mark.parametrize(("answer", "to_set"), [("yes", False), ("no", True), ("", True)])
def test_the_module_asks_who_sets_a_clock_that_is_off(
    run_module: Any, library: Any, monkeypatch: pytest.MonkeyPatch, answer: str, to_set: bool
) -> None:
    module = library("host_requirements")
    asked: list[list[str]] = []

    def said_by(argv: list[str]) -> str:
        asked.append(argv)
        return answer if "timedatectl" in argv else ""

    monkeypatch.setattr(module, "said_by", said_by)
    off, right = int(time.time()) + 10 * MINUTE, int(time.time())
    facts = run_module("host_requirements", laptop_clock=off, set_clock=True)["ansible_facts"]["poppyfield_pi"]
    assert facts["clock_to_set"] is to_set
    asked.clear()
    facts = run_module("host_requirements", laptop_clock=right, set_clock=True)["ansible_facts"]["poppyfield_pi"]
    assert facts["clock_to_set"] is False and not any("timedatectl" in argv for argv in asked)
    # Nobody sets it later.
    checked = run_module("host_requirements", laptop_clock=off, set_clock=True, check_mode=True)
    assert checked["ansible_facts"]["poppyfield_pi"]["clock_to_set"] is False


def test_the_clock_is_read_before_the_rest_of_the_look_takes_its_time(
    run_module: Any, library: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = library("host_requirements")
    times = iter([float(NOON), *[float(NOON + 20 * MINUTE)] * 1000])
    monkeypatch.setattr(module.time, "time", lambda: next(times))
    monkeypatch.setattr(module, "said_by", lambda argv: module.time.time() and "")
    result = run_module("host_requirements", laptop_clock=NOON, clock_difference=DAY)
    assert not [text for text in (*result["problems"], capsys.readouterr().err) if "clock" in text]
    times = iter([float(NOON + 10 * MINUTE)] * 1000)
    result = run_module("host_requirements", laptop_clock=NOON, clock_difference=DAY)
    assert "The clock is 10 minutes ahead" in capsys.readouterr().err + str(result.get("warnings"))


def test_reading_os_release() -> None:
    text = 'PRETTY_NAME="Raspbian GNU/Linux 12"\nID=raspbian\nID_LIKE=\'debian\'\n# comment\n\nVERSION_ID="12"\n'
    assert requirements.parse_os_release(text) == {
        "PRETTY_NAME": "Raspbian GNU/Linux 12",
        "ID": "raspbian",
        "ID_LIKE": "debian",
        "VERSION_ID": "12",
    }


def test_reading_listeners() -> None:
    head = "  sl  local_address rem_address   st\n"
    four = head + "   0: 00000000:0050 00000000:0000 0A\n   1: 0100007F:1F90 0100007F:0016 01\n"
    six = head + "   0: 00000000000000000000000000000000:01BB 0:0 0A\n"
    assert requirements.listening_ports(four, six) == {80, 443}
    assert requirements.listening_ports("", "") == set()


def test_reading_published_ports() -> None:
    containers = {
        "websig-lizmap": "0.0.0.0:80->8080/tcp, [::]:80->8080/tcp, 5432/tcp",
        "other": "127.0.0.1:9000-9001->9000-9001/tcp, 0.0.0.0:53->53/udp",
        "stopped": "",
    }
    assert requirements.published_ports(containers) == {80: "websig-lizmap", 9000: "other", 9001: "other"}


@pytest.mark.parametrize(
    ("cgroups", "controllers", "enabled"),
    [
        ("#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t1\t0\n", "cpuset cpu io pids", False),
        ("#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t5\t100\t1\n", "", True),
        ("", "cpuset cpu io memory pids", True),
        ("", "", False),
    ],
)
def test_reading_the_memory_cgroup(cgroups: str, controllers: str, enabled: bool) -> None:
    assert requirements.memory_cgroup_enabled(cgroups, controllers) is enabled


def test_the_module_reports_facts_and_every_problem(run_module: Any) -> None:
    result = run_module(
        "host_requirements", memory_mb=10**9, disk=[{"path": "/no/such/folder", "free_mb": 10**9}], allow_amd64=True
    )
    assert result["failed"]
    assert not result["changed"]
    assert any("of memory" in s for s in result["problems"])
    assert any("/no/such/folder has" in s for s in result["problems"])
    assert all(sentence in result["msg"] for sentence in result["problems"])
    assert result["ansible_facts"]["poppyfield_pi"]["clock_year"] >= 2025


def test_what_cannot_be_read_is_told_as_unknown(library: Any, tmp_path: Any) -> None:
    module = library("host_requirements")
    assert module.text_of(str(tmp_path / "none")) == ""
    assert module.said_by([str(tmp_path / "none")]) == ""
    assert module.said_by(["false"]) == ""
    assert module.memory_mb("MemFree: 1024 kB\n") == 0
    assert module.memory_mb("MemFree: 1 kB\nMemTotal: 2048 kB\n") == 2
    assert module.free_mb(str(tmp_path / "not" / "yet")) == module.free_mb(str(tmp_path))


def test_a_host_that_passes_is_described(run_module: Any, library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = library("host_requirements")
    files = {
        "/etc/os-release": "ID=debian\nVERSION_ID=12\nPRETTY_NAME=Debian\n",
        "/proc/meminfo": "MemTotal: 948000 kB\n",
        "/sys/firmware/devicetree/base/model": "Raspberry Pi 4",
        "/proc/net/tcp": "head\n0: 0100007F:1F90 0:0 0A\n",
    }
    said = {
        "dpkg --print-architecture": "armhf\n",
        "docker info": "26.1.5\t/var/lib/docker\tinactive\n",
        "docker ps --all": "websig-lizmap\ttrue\t0.0.0.0:80->8080/tcp\nwebsig-postgis\t\t\n",
        "docker network ls": "poppyfield\ttrue\nbridge\t\n",
    }
    monkeypatch.setattr(module, "text_of", lambda path: files.get(path, ""))
    monkeypatch.setattr(
        module,
        "said_by",
        lambda argv: next((text for words, text in said.items() if " ".join(argv).startswith(words)), ""),
    )
    ports = [{"port": 80, "container": "websig-lizmap"}, {"port": 8080}, {"port": 443}]
    wanted = {"profile": "bookworm", "architecture": "armhf", "ports": ports}
    result = run_module("host_requirements", **wanted)
    assert result["problems"] == [
        "TCP port 8080 is taken by another program. Stop that one (sudo ss -ltnp shows it), or choose another port.",
        "A Docker container named websig-postgis exists that Poppyfield did not make, so it is left alone. Rename or "
        "remove it, or choose another name.",
    ]
    said["docker ps --all"] = "websig-lizmap\ttrue\t0.0.0.0:80->8080/tcp\n"
    result = run_module("host_requirements", **{**wanted, "ports": ports[:1]})
    assert not result.get("failed")
    facts = result["ansible_facts"]["poppyfield_pi"]
    assert (facts["os_codename"], facts["platform"]) == ("bookworm", "linux/arm/v7")
    assert (facts["model"], facts["memory_mb"], facts["docker"]) == ("Raspberry Pi 4", 925, True)


def test_what_roles_manage_is_told_so_that_they_run_only_what_differs(
    run_module: Any, library: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "daemon.json").write_text("{}\n")
    (tmp_path / "daemon.json").chmod(0o640)
    (tmp_path / "link").symlink_to(tmp_path / "daemon.json")
    image = {
        "RepoTags": ["poppyfield/postgis:trixie-arm64-1", "other:1"],
        "Config": {
            "Labels": {
                "fr.poppyfield.managed": "true",
                "fr.poppyfield.resource": "image",
                "fr.poppyfield.digest": "v1:1",
            }
        },
    }
    said = {
        "docker info": "26.1.5\t/var/lib/docker\tinactive\n",
        "docker image ls": "sha256:1\nsha256:1\n",
        "docker image inspect --format {{json .}} sha256:1": json.dumps(image) + "\n",
        # Of a unit that is not there systemctl shows no more than that it is inactive.
        "systemctl show": "ActiveState=inactive\nUnitFileState=\n\nActiveState=active\nUnitFileState=disabled\n",
    }
    module = library("host_requirements")
    answer = lambda argv: next((text for words, text in said.items() if " ".join(argv).startswith(words)), "")  # noqa: E731
    monkeypatch.setattr(module, "said_by", answer)
    # As dpkg-query answers when it knows one of the names, never heard of another, and removed a third.
    monkeypatch.setattr(module, "printed_by", lambda argv: "docker.io\tinstalled\nold\tconfig-files\n")
    facts = run_module(
        "host_requirements",
        files=[str(tmp_path / name) for name in ("daemon.json", "link", "none")],
        packages=["docker.io", "old", "never-heard-of"],
        services=["none", "docker"],
    )["ansible_facts"]["poppyfield_pi"]
    assert facts["files"] == {
        str(tmp_path / "daemon.json"): {
            "sha256": hashlib.sha256(b"{}\n").hexdigest(),
            "owner": pwd.getpwuid(os.getuid()).pw_name,
            "group": grp.getgrgid(os.getgid()).gr_name,
            "mode": "0640",
        },
        str(tmp_path / "link"): {},
        str(tmp_path / "none"): {},
    }
    assert facts["packages"] == ["docker.io"]
    none = {"active": False, "enabled": False}
    assert facts["services"] == {"none": none, "docker": {"active": True, "enabled": False}}
    assert facts["images"] == {"poppyfield/postgis:trixie-arm64-1": "1", "other:1": "1"}


def test_room_is_needed_for_what_is_not_there_yet(library: Any, tmp_path: Any) -> None:
    (tmp_path / "half").write_bytes(b"x" * 3 * 1024**2)
    need = {"path": "/srv", "free_mb": 10, "less_files": [str(tmp_path / "half"), str(tmp_path / "none")]}
    assert library("host_requirements").still_needed(need)["free_mb"] == 7
    assert library("host_requirements").still_needed({**need, "free_mb": 2})["free_mb"] == 0


@pytest.mark.parametrize("marker", [{}, {"sha256": "1"}])
def test_room_for_files_of_the_first_start_is_needed_until_there_is_a_database(marker: dict[str, str]) -> None:
    need = {"path": "/srv", "free_mb": 30000, "variable": "postgis_first_start_files", "unless_file": "/srv/PG_VERSION"}
    found = problems({"disks": (need,)}, files={"/srv/PG_VERSION": marker})
    assert len(found) == (not marker)
    assert all("/srv (postgis_first_start_files) has 20000 MB free, but 30000 MB are needed" in one for one in found)


RECEIVER: dict[str, Any] = {"receiver": {"device": "/dev/ttyACM7", "marker": "/unit"}}


def test_a_receiver_that_is_not_there_is_told_with_those_that_are() -> None:
    assert problems(RECEIVER) == []
    assert problems(receiver_missing=True) == []
    missing: dict[str, Any] = {
        "receiver_missing": True,
        "serial_devices": ("/dev/serial/by-id/usb-GPS", "/dev/ttyACM0"),
    }
    (told,) = problems(RECEIVER, **missing)
    assert told == (
        "There is no /dev/ttyACM7 (position_device). Plug the GPS receiver in, or correct the name. There are: "
        "/dev/serial/by-id/usb-GPS, /dev/ttyACM0."
    )
    assert problems(RECEIVER, receiver_missing=True)[0].endswith("correct the name.")


def test_a_receiver_that_was_unplugged_keeps_nobody_from_a_map() -> None:
    facts: dict[str, Any] = {"receiver_missing": True, "files": {"/unit": {"sha256": "1"}}}
    assert problems(RECEIVER, **facts) == []
    wanted = dataclasses.replace(NEEDS, **RECEIVER)
    assert "/dev/ttyACM7" in requirements.warnings(dataclasses.replace(PI, **facts), wanted)[0]


def test_a_time_server_of_somebodys_is_not_removed_without_a_word() -> None:
    assert problems(packages=("ntpsec",)) == [] == problems(RECEIVER, packages=("chrony", "gpsd"))
    (told,) = problems(RECEIVER, packages=("openntpd",))
    assert told.startswith("openntpd sets the clock") and "apt-get remove openntpd" in told


def test_the_module_looks_for_a_receiver_where_one_is_asked_for(
    library: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    module = library("host_requirements")
    (tmp_path / "gps").symlink_to("/dev/null")
    (tmp_path / "file").touch()
    monkeypatch.setattr(module, "RECEIVERS", ((str(tmp_path), "gp*"), (str(tmp_path / "none"), "*")))
    assert module.receiver_facts(None) == module.receiver_facts({"device": str(tmp_path / "gps")}) == {}
    missing = {"receiver_missing": True, "serial_devices": (str(tmp_path / "gps"),)}
    for name in ("file", "none", "file/none"):
        assert module.receiver_facts({"device": str(tmp_path / name)}) == missing
