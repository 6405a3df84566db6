"""The emulated Pi: what is decided before anything is done to this machine."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workshop.emulator import binfmt, login, options, rootfs
from workshop.emulator.options import EmulatorError, Existing, Pi

PI = Pi(name="pi-1", ssh_port=2222, map_port=8081, state_dir="/state", memory="4g")
ALL_CAPABILITIES = (1 << 41) - 1
SYS_RESOURCE = 1 << 24
ENTRY = (
    "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: {flags}\noffset 0\n"
    "magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
)


def test_only_ssh_and_the_map_are_published_and_only_on_this_machine() -> None:
    ports = options.container_options(PI, "image", ALL_CAPABILITIES)["ports"]
    assert ports == {"22/tcp": ("127.0.0.1", 2222), "80/tcp": ("127.0.0.1", 8081)}
    with_https = options.container_options(replace(PI, https_port=8443), "image", ALL_CAPABILITIES)["ports"]
    assert with_https == {**ports, "443/tcp": ("127.0.0.1", 8443)}


def test_a_capability_that_the_machine_lacks_is_not_asked_for() -> None:
    assert "SYS_RESOURCE" in options.capabilities(ALL_CAPABILITIES)
    some = options.capabilities(ALL_CAPABILITIES & ~SYS_RESOURCE)
    assert "SYS_RESOURCE" not in some
    assert "SYS_ADMIN" in some


def test_the_container_cannot_reach_the_machines_kernel_or_cgroups() -> None:
    made = options.container_options(PI, "image", ALL_CAPABILITIES)
    assert made["cgroupns"] == "private"
    assert not made.get("privileged")
    assert {"SYS_MODULE", "SYS_BOOT", "SYS_RAWIO", "SYS_TIME"}.isdisjoint(made["cap_add"])
    assert all(name.startswith("pi-1-") for name in made["volumes"])


def test_a_reboot_starts_it_again_but_not_for_ever() -> None:
    policy = options.container_options(PI, "image", ALL_CAPABILITIES)["restart_policy"]
    assert policy["Name"] == "on-failure"
    assert policy["MaximumRetryCount"] > 0


def test_sudo_asks_for_a_password_of_which_the_pi_knows_the_hash(tmp_path: Path) -> None:
    files = login.StateFiles(tmp_path / "state")
    login.make_password(files.password)
    password = files.password.read_text()
    assert len(password) >= 32 and files.password.stat().st_mode & 0o777 == 0o600
    login.make_password(files.password)
    assert files.password.read_text() == password
    before = "root:*:1:0:99999:7:::\norchard:!:2:0:99999:7:::\n"
    shadow = login.with_password(before, login.password_hash(files.password))
    assert re.fullmatch(r"root:\*:1:0:99999:7:::\norchard:\$6\$[^:]+:2:0:99999:7:::\n", shadow)
    assert password not in shadow
    assert not any(password in word for word in login.command(files, 2222, *login.SUDO, "true"))


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"ssh_port": 2223}, "--ssh-port"),
        ({"map_port": 8082}, "--map-port"),
        ({"https_port": 8443}, "--https-port"),
        ({"state_dir": "/else"}, "--state-dir"),
    ],
)
def test_an_existing_pi_is_not_started_with_other_options(change: dict[str, Any], option: str) -> None:
    existing = Existing(running=False, ports={"22/tcp": 2222, "80/tcp": 8081}, state_dir="/state")
    options.check_reuse(PI, existing)
    with pytest.raises(EmulatorError, match=option):
        options.check_reuse(replace(PI, **change), existing)


def test_a_pi_with_https_is_not_started_without() -> None:
    with_https = Existing(running=False, ports={**PI.ports, "443/tcp": 8443}, state_dir="/state")
    options.check_reuse(replace(PI, https_port=8443), with_https)
    with pytest.raises(EmulatorError, match="--https-port 8443, not absent"):
        options.check_reuse(PI, with_https)


@pytest.mark.parametrize("labels", [{}, {options.LABEL: "another"}])
def test_what_the_emulator_did_not_make_is_refused(labels: dict[str, str]) -> None:
    options.check_ownership("pi-1", options.labels(PI))
    with pytest.raises(EmulatorError, match="left alone"):
        options.check_ownership("pi-1", labels)


def test_known_hosts_names_the_port() -> None:
    line = options.known_hosts_line(2222, "ssh-ed25519 AAAA root@pi\n")
    assert line == "[127.0.0.1]:2222 ssh-ed25519 AAAA\n"


@pytest.mark.parametrize(("flags", "serves"), [("POCF", True), ("OCF", True), ("POF", False), ("", False)])
def test_a_registration_serves_only_with_credentials_and_a_fixed_interpreter(flags: str, serves: bool) -> None:
    entry = binfmt.parse_entry("qemu-aarch64", ENTRY.format(flags=flags))
    assert entry.interpreter == "/usr/bin/qemu-aarch64-static"
    assert entry.serves("aarch64") is serves
    assert not entry.serves("arm")


def test_a_disabled_registration_does_not_serve() -> None:
    text = ENTRY.format(flags="POCF").replace("enabled", "disabled")
    assert not binfmt.parse_entry("qemu-aarch64", text).serves("aarch64")


def test_the_registration_is_the_line_that_the_kernel_wants() -> None:
    line = binfmt.registration("arm", "/usr/bin/qemu-arm-static").decode()
    _, name, kind, offset, magic, mask, interpreter, flags = line.split(":")
    assert (name, kind, offset) == ("poppyfield-arm", "M", "0")
    assert magic.startswith(r"\x7f\x45\x4c\x46\x01")
    assert len(magic) == len(mask)
    assert (interpreter, flags) == ("/usr/bin/qemu-arm-static", "POCF")


def test_what_is_registered_for_good_is_registered_at_each_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A kernel that has our entry already; systemd reads the same line that the kernel was given."""
    own, start = tmp_path / "poppyfield-aarch64", tmp_path / "binfmt.d" / "poppyfield.conf"
    own.write_text(ENTRY.format(flags="POCF"))
    monkeypatch.setattr(binfmt, "FOLDER", tmp_path)
    monkeypatch.setattr(binfmt, "AT_START", start)
    monkeypatch.setattr(binfmt, "machines_to_serve", lambda host: ())
    monkeypatch.setattr("os.geteuid", lambda: 0)
    binfmt.keep()
    assert start.read_bytes() == binfmt.registration("aarch64", "/usr/bin/qemu-aarch64-static") + b"\n"
    binfmt.unregister()
    assert not start.exists() and own.read_text() == "-1"


def test_an_arm64_machine_emulates_nothing() -> None:
    assert binfmt.machines_to_serve("aarch64") == ()
    assert "aarch64" in binfmt.machines_to_serve("x86_64")
    assert binfmt.machines_needed_by_pi("x86_64") == ("aarch64",)


def elf(program_header: int) -> bytes:
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    header[32:40] = (64).to_bytes(8, "little")
    header[54:56] = (56).to_bytes(2, "little")
    header[56:58] = (1).to_bytes(2, "little")
    return bytes(header) + program_header.to_bytes(4, "little") + bytes(52)


@pytest.mark.parametrize(("program", "static"), [(elf(1), True), (elf(3), False), (b"#!/bin/sh\n", False)])
def test_a_program_with_a_loader_is_not_static(program: bytes, static: bool) -> None:
    assert binfmt.is_static(program) is static


def test_the_cache_key_depends_on_every_input() -> None:
    assert rootfs.key("ab", "c") != rootfs.key("a", "bc")
    assert rootfs.key(*rootfs.tools_command("amd64")) != rootfs.key(*rootfs.native_command("amd64"))


def test_native_programs_go_where_the_list_says() -> None:
    wanted = rootfs.parse_native_binaries("# why\n\n/usr/bin/tar\n/usr/sbin/runc /usr/lib/emulator/runc\n")
    folders = rootfs.LIBRARY_FOLDERS["amd64"]
    assert rootfs.place("./usr/bin/tar", wanted, folders) == "usr/bin/tar"
    assert rootfs.place("./usr/sbin/runc", wanted, folders) == "usr/lib/emulator/runc"
    assert rootfs.place("./usr/lib/x86_64-linux-gnu/libc.so.6", wanted, folders) == "usr/lib/x86_64-linux-gnu/libc.so.6"
    assert rootfs.place("./lib64", wanted, folders) == "lib64"
    assert rootfs.place("./usr/bin/uname", wanted, folders) is None
    assert rootfs.place("./usr/lib/", wanted, folders) is None
