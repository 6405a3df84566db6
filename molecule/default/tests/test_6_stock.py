"""What every stock Raspberry Pi has: a boot partition on FAT, and sudo that asks for a password."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testinfra.host import Host

from emulated_pi import INVENTORY, ROOT, ansible_playbook

Tell = Callable[[str, object], None]
FOLDER = "/boot/firmware"
FILE = f"{FOLDER}/cmdline.txt"
OPTIONS = ["cgroup_enable=memory", "cgroup_memory=1"]


def kernel_options(*options: str) -> str:
    """Add options to the Pi's cmdline.txt; give what the module says."""
    arguments = json.dumps({"options": options})
    command = [str(Path(sys.executable).with_name("ansible")), "pis", "--inventory", str(INVENTORY), "--become"]
    done = subprocess.run(
        [*command, "--module-name", "kernel_options", "--args", arguments],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture
def stock(pi: Host) -> Iterator[str]:
    """Give the line of a stock Pi, which the Pi has for a while; nothing is left beside it."""
    before = str(pi.check_output("cat %s", FILE))
    line = " ".join(word for word in before.split() if word not in OPTIONS)
    pi.check_output("printf '%%s\\n' %s > %s", line, FILE)
    yield line
    pi.check_output("printf '%%s\\n' %s > %s", before, FILE)
    assert pi.check_output("ls -A %s", FOLDER).split() == ["cmdline.txt", "config.txt"]


def test_the_boot_partition_keeps_the_rules_of_fat(pi: Host) -> None:
    if not pi.file("/dev/fuse").exists:
        pytest.fail("This machine has no /dev/fuse, without which the boot partition is a plain folder: modprobe fuse")
    refused = f"cd {FOLDER} && ! touch cmdline.txt.1:2 && ! ln -s cmdline.txt link && ! chown orchard cmdline.txt"
    pi.check_output(f"({refused}) 2> /dev/null && chmod 600 {FILE} && cmp {FOLDER}/CMDLINE.TXT {FILE}")
    assert pi.file(FILE).mode == 0o755


@pytest.mark.field("B1", "/boot/firmware on FAT")
def test_the_run_turned_the_memory_cgroup_on(pi: Host) -> None:
    """The Pi's firmware, which is played, had it off until the run had written the options and restarted the Pi."""
    if os.uname().machine == "aarch64":
        pytest.skip("where nothing is emulated, no firmware is played")
    assert pi.check_output("cat %s", FILE).split()[-len(OPTIONS) :] == OPTIONS
    assert pi.check_output("tr -d '\\0' < /proc/device-tree/model").startswith("Raspberry Pi")
    assert not pi.file("/etc/qemu-binfmt/aarch64/proc/cgroups").exists


@pytest.mark.field("B1", "/boot/firmware on FAT")
@pytest.mark.field("B2", "cmdline.txt with a second line")
def test_options_are_added_to_the_first_line_on_fat(pi: Host, stock: str, record_property: Tell) -> None:
    pi.check_output("echo '# a note' >> %s", FILE)
    said = kernel_options(*OPTIONS)
    record_property("message", said.partition(" =>")[0])
    assert "demo-pi | CHANGED" in said
    assert pi.check_output("cat %s", FILE) == f"{stock} {' '.join(OPTIONS)}\n# a note"
    assert "demo-pi | SUCCESS" in kernel_options(*OPTIONS)


@pytest.mark.field("B1", "/boot/firmware on FAT")
@pytest.mark.parametrize(
    ("do", "undo", "words"),
    [
        (f"! cat /dev/zero 2> /dev/null > {FOLDER}/full", f"rm {FOLDER}/full", "Make room on the boot partition"),
        (
            f"mount --bind {FOLDER} {FOLDER} && mount -o remount,bind,ro {FOLDER}",
            f"umount {FOLDER}",
            f"sudo mount -o remount,rw {FOLDER}",
        ),
    ],
    ids=["full", "read-only"],
)
def test_a_boot_partition_that_takes_nothing_is_one_sentence(
    pi: Host, stock: str, record_property: Tell, do: str, undo: str, words: str
) -> None:
    pi.check_output(do)
    try:
        said = kernel_options(*OPTIONS)
    finally:
        pi.check_output(undo)
    record_property("message", said.partition('"msg": "')[2].partition('"')[0])
    assert "demo-pi | FAILED" in said and words in said
    assert "Traceback" not in said
    assert pi.check_output("cat %s", FILE) == stock


@pytest.mark.field("A5", "a user whose sudo asks for a password, without -K")
def test_a_run_without_sudos_password_says_how_to_give_it(record_property: Tell) -> None:
    run = ansible_playbook("--extra-vars", "ansible_become_password=", playbook="playbooks/verify.yml")
    last = run.stdout.strip().splitlines()[-1]
    record_property("message", last)
    assert run.returncode != 0
    assert last.startswith("demo-pi: sudo asks for a password there, and nobody gave it. Add --ask-become-pass (-K)")
