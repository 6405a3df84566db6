"""What every stock Raspberry Pi has, and what the product made of it: FAT, a kernel without its memory cgroup, sudo."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from emulated_pi import STATE, log_in
from workshop.emulator.login import StateFiles

LINE = "/boot/firmware/cmdline.txt"
ASKED_FOR = "cgroup_enable=memory cgroup_memory=1"


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (f"cp {LINE} {LINE}.5213.2026-11-29@19:02:11~", "Invalid argument"),
        (f"ln {LINE} /boot/firmware/kept", "Operation not permitted"),
        ("ln -s cmdline.txt /boot/firmware/kept", "Operation not permitted"),
        (f"chown 1000 {LINE}", "Operation not permitted"),
    ],
)
def test_the_boot_partition_refuses_what_fat_refuses(pi: Host, command: str, refusal: str) -> None:
    done = pi.run(command)
    assert done.failed and refusal in done.stderr


def test_the_boot_partition_knows_neither_modes_nor_case(pi: Host) -> None:
    pi.check_output("chmod 0600 %s", LINE)
    assert pi.file(LINE.upper().replace("/BOOT/FIRMWARE", "/boot/firmware")).mode == 0o755


def test_the_kernel_was_given_its_options_on_the_only_line_and_by_a_reboot(pi: Host) -> None:
    assert pi.file(LINE).content_string.splitlines()[0].endswith(f" quiet {ASKED_FOR}")
    assert sorted(pi.file("/boot/firmware").listdir()) == ["cmdline.txt", "config.txt"]
    started_with = pi.file("/proc/cmdline").content_string
    assert "cgroup_disable=memory" in started_with and started_with.endswith(f"{ASKED_FOR}\n")
    assert "RUNNING HANDLER [raspberry_pi : Restart the Pi]" in (STATE / "ansible.log").read_text("utf-8")


@pytest.mark.parametrize("name", ["websig-postgis", "websig-lizmap"])
def test_memory_limits_are_kept(pi: Host, name: str) -> None:
    limit = int(pi.check_output("docker inspect --format '{{.HostConfig.Memory}}' %s", name))
    inside = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2> /dev/null || true"
    # In pages of memory.
    assert limit > 0 and pi.check_output("docker exec %s sh -c %s", name, inside).split() == [str(limit // 4096 * 4096)]


def test_sudo_asked_for_a_password_that_nothing_has_shown() -> None:
    refused = log_in(sudo=False).run("sudo -n true")
    assert refused.failed and "password is required" in refused.stderr
    assert StateFiles(STATE).password.read_text("utf-8") not in (STATE / "ansible.log").read_text("utf-8")
