"""The image of a card: what cloud-init is given, written with mtools into real FAT, and never to a device."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.poppyfield.bundle import card
from ansible.module_utils.poppyfield.bundle.card import CardImage, NewCard
from ansible.module_utils.poppyfield.bundle.manifest import BundleError

from tests.documented import ROOT

FIRST_BOOT = ROOT / "roles" / "bundle" / "files" / "first-boot"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXn anna@laptop"
SIGNERS = 'poppyfield-bundle namespaces="poppyfield-bundle" ssh-ed25519 AAAA\n'
CARD = NewCard("pi-orchard", "pi", (KEY,), "BUNDLE", SIGNERS)
START, SECTORS = 8192, 131072
TABLE = f"label: dos\n{START},{SECTORS},c\n{START + SECTORS},2048,83\n"


def image_file(path: Path, *, cloud_init: bool = True, table: str = TABLE) -> Path:
    """Make an image as Raspberry Pi OS has it: a FAT partition first, with what cloud-init reads."""
    with path.open("wb") as file:
        file.truncate((START + SECTORS + 2048) * 512)
    subprocess.run(["/sbin/sfdisk", "--quiet", str(path)], input=table, text=True, check=True)
    make = ["/sbin/mkfs.vfat", "-F", "32", "-n", "bootfs", "--offset", str(START), str(path), str(SECTORS // 2)]
    subprocess.run(make, check=True, capture_output=True)
    if cloud_init:
        for name, text in (("meta-data", "dsmode: local\n"), ("user-data", "#cloud-config\n# stock\n")):
            place = ["mcopy", "-i", f"{path}@@{START * 512}", "-", f"::{name}"]
            subprocess.run(place, input=text, text=True, check=True)
    return path


def read(image: Path, name: str) -> str:
    command = ["mtype", "-i", f"{image}@@{START * 512}", f"::{name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return image_file(tmp_path / "raspios.img")


# What it says ------------------------------------------------------------------------------------------


def test_the_card_has_its_name_one_user_with_a_key_and_no_password() -> None:
    files = card.files(CARD, "#!/bin/sh\n")
    assert files["user-data"].startswith(b"#cloud-config\n")
    told = yaml.safe_load(files["user-data"])
    assert told["hostname"] == "pi-orchard" and told["ssh_pwauth"] is False
    (user,) = told["users"]
    assert (user["name"], user["ssh_authorized_keys"], user["lock_passwd"]) == ("pi", [KEY], True)
    assert not {"passwd", "plain_text_passwd"} & set(user)
    assert files["bundle.signers"].decode() == SIGNERS
    assert yaml.safe_load(files["network-config"])["network"]["ethernets"]["eth0"]["dhcp4"] is True


def test_a_unit_waits_for_the_stick_and_cloud_init_does_not() -> None:
    told = card.user_data(CARD, FIRST_BOOT.read_text())
    program, unit = told["write_files"]
    assert program["content"] == FIRST_BOOT.read_text() and program["permissions"] == "0755"
    assert f"ExecStart=/bin/sh {program['path']} BUNDLE pi-orchard\n" in unit["content"]
    assert "Restart=on-failure" in unit["content"]
    assert ["systemctl", "start", "--no-block", card.UNIT] in told["runcmd"]


def test_a_network_of_ones_own_is_netplans() -> None:
    wifi = {"version": 2, "wifis": {"wlan0": {"access-points": {"field": {"password": "x"}}}}}
    files = card.files(replace(CARD, network=wifi), "")
    assert yaml.safe_load(files["network-config"]) == {"network": wifi}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host": "pi_orchard"}, "'pi_orchard' can be no host name"),
        ({"host": "a; reboot"}, "can be no host name"),
        ({"user": "root"}, "bundle_card_user can be no user: 'root'"),
        ({"user": "Anna"}, "bundle_card_user"),
        ({"label": "my stick"}, "bundle_stick_label is 'my stick'"),
        ({"keys": ()}, "bundle_card_keys is empty"),
        ({"keys": ("-----BEGIN OPENSSH PRIVATE KEY-----",)}, "no public key of SSH: name that with .pub"),
    ],
)
def test_what_no_system_would_take_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleError) as caught:
        card.files(replace(CARD, **changes), "")
    assert said in str(caught.value)


# Into the image ------------------------------------------------------------------------------------------


def test_the_files_are_in_the_fat_partition_and_the_rest_is_as_it_was(image: Path) -> None:
    size, beginning = image.stat().st_size, image.read_bytes()[: START * 512]
    files = card.files(CARD, "#!/bin/sh\n")
    one = CardImage(image)
    assert card.differing(one, files) == ["user-data", "network-config", "bundle.signers"]
    for name, content in files.items():
        one.write(name, content)
    for name, content in files.items():
        assert read(image, name) == content.decode()
    assert read(image, "meta-data") == "dsmode: local\n"
    assert card.differing(CardImage(image), files) == []
    assert image.stat().st_size == size and image.read_bytes()[: START * 512] == beginning
    checked = subprocess.run(["/sbin/fsck.vfat", "-n", str(part(image))], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def part(image: Path) -> Path:
    """Give the partition as a file of its own."""
    alone = image.with_suffix(".part")
    alone.write_bytes(image.read_bytes()[START * 512 : (START + SECTORS) * 512])
    return alone


def test_a_device_is_never_written_to(tmp_path: Path) -> None:
    for path in (Path("/dev/null"), tmp_path):
        with pytest.raises(BundleError, match="a device is never written to"):
            CardImage(path)
    (tmp_path / "link.img").symlink_to("/dev/null")
    with pytest.raises(BundleError, match="a device is never written to"):
        CardImage(tmp_path / "link.img")
    with pytest.raises(BundleError, match="name the image's file"):
        CardImage(tmp_path / "absent.img")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mknod")
def test_a_block_device_is_never_written_to(tmp_path: Path) -> None:
    os.mknod(tmp_path / "card", 0o060600, os.makedev(7, 250))
    with pytest.raises(BundleError, match="a device is never written to"):
        CardImage(tmp_path / "card")


def test_what_is_no_image_of_a_card_with_cloud_init_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raspios.img.xz").write_bytes(b"\xfd7zXZ\x00" + bytes(4096))
    with pytest.raises(BundleError, match="sfdisk fails"):
        CardImage(tmp_path / "raspios.img.xz")
    other = image_file(tmp_path / "other.img", table=TABLE.replace(",c", ",83"))
    with pytest.raises(BundleError, match="is not FAT"):
        CardImage(other)
    with pytest.raises(BundleError, match=r"has no meta-data .* cloud-init"):
        CardImage(image_file(tmp_path / "older.img", cloud_init=False))
    with pytest.raises(BundleError, match="has no partitions"):
        card.partition_offset("{}", "x.img")


@pytest.mark.parametrize(("program", "package"), [("sfdisk", "fdisk"), ("mtype", "mtools")])
def test_without_its_programs_it_says_what_to_install(
    image: Path, monkeypatch: pytest.MonkeyPatch, program: str, package: str
) -> None:
    run = subprocess.run

    def without(command: list[str], **given: Any) -> Any:
        if command[0].endswith(program):
            raise FileNotFoundError(program)
        return run(command, **given)

    monkeypatch.setattr(subprocess, "run", without)
    with pytest.raises(BundleError, match=f"{program} is missing: install {package}"):
        CardImage(image)


# The module and its playbook ------------------------------------------------------------------------------------------


@pytest.fixture
def options(tmp_path: Path, image: Path) -> dict[str, Any]:
    (tmp_path / "id.pub").write_text(f"{KEY}\n\n")
    (tmp_path / "bundle.signers").write_text(SIGNERS)
    return {
        "image": str(image), "host": "pi-orchard", "user": "pi", "keys": [str(tmp_path / "id.pub")],
        "label": "BUNDLE", "signers": str(tmp_path / "bundle.signers"), "program": str(FIRST_BOOT),
    }  # fmt: skip


Run = Callable[..., dict[str, Any]]


def test_the_module_writes_once_and_tells_in_check_mode(run_module: Run, options: dict[str, Any], image: Path) -> None:
    before = image.read_bytes()
    checked = run_module("card_image", check_mode=True, **options)
    assert checked["changed"] and image.read_bytes() == before
    done = run_module("card_image", **options)
    assert done["changed"] and done["written"] == ["user-data", "network-config", "bundle.signers"]
    assert not run_module("card_image", **options)["changed"]
    other = run_module("card_image", **{**options, "host": "pi-marsh"})
    assert other["written"] == ["user-data"]


def test_the_module_says_what_is_missing(run_module: Run, options: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "bundle.signers").unlink()
    done = run_module("card_image", **options)
    assert done["msg"].startswith("The image is as it was: ") and "playbooks/bundle.yml makes it" in done["msg"]
    (tmp_path / "bundle.signers").write_text(SIGNERS)
    assert "id_other.pub" in run_module("card_image", **{**options, "keys": [str(tmp_path / "id_other.pub")]})["msg"]
    assert "a device is never" in run_module("card_image", **{**options, "image": "/dev/null"})["msg"]


HOSTS = "pis: {hosts: {pi-orchard: {}, pi-marsh: {}}, vars: {lizmap_web_client: none, bundle_card_keys: [KEYS]}}\n"


def test_the_playbook_prepares_the_image_of_one_pi(options: dict[str, Any], tmp_path: Path, image: Path) -> None:
    (tmp_path / "hosts.yml").write_text(HOSTS.replace("KEYS", options["keys"][0]))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "hosts.yml"), "playbooks/card.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}

    def played(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )

    both = played("-e", f"image={image}")
    assert both.returncode and "Name the unpacked image of Raspberry Pi OS and one Pi" in both.stdout
    assert played("--limit", "pi-marsh").returncode
    done = played("-e", f"image={image}", "--limit", "pi-marsh")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Flash it onto its card" in done.stdout
    assert yaml.safe_load(read(image, "user-data"))["hostname"] == "pi-marsh"
    assert read(image, "bundle.signers") == SIGNERS


# The program on the card ------------------------------------------------------------------------------------------


@pytest.fixture
def first_boot(tmp_path: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """The program, with a folder in place of the Pi's and programs that only tell what they were asked."""
    fakes, place = tmp_path / "fakes", tmp_path / "pi"
    fakes.mkdir()
    for folder in (
        "dev/disk/by-label",
        "run/poppyfield-stick",
        "var/lib/poppyfield",
        "proc/device-tree",
        "sys/fs/cgroup",
    ):
        (place / folder).mkdir(parents=True)
    (place / "dev/disk/by-label/BUNDLE").touch()
    for name in ("mount", "umount", "systemctl"):
        (fakes / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/said"\n')
        (fakes / name).chmod(0o755)
    text = FIRST_BOOT.read_text()
    for top in ("dev/disk", "run/poppyfield", "var/lib", "proc/device", "sys/fs"):
        text = text.replace(f"/{top}", f"{place}/{top}")
    (tmp_path / "first-boot").write_text(text)

    def run() -> subprocess.CompletedProcess[str]:
        (tmp_path / "said").write_text("")
        environment = {**os.environ, "PATH": f"{fakes}:{os.environ['PATH']}"}
        command = ["sh", str(tmp_path / "first-boot"), "BUNDLE", "pi-orchard"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    return run


def stick(tmp_path: Path, name: str, number: int, status: int = 0) -> None:
    folder = tmp_path / "pi/run/poppyfield-stick" / name
    folder.mkdir(exist_ok=True)
    (folder / "MANIFEST").write_text(f'{{\n "commit": "x",\n "number": {number},\n "profile": "trixie"\n}}\n')
    (folder / "install").write_text(f'echo "install {number} $*" >>"{tmp_path}/said"\nexit {status}\n')


def said(tmp_path: Path) -> list[str]:
    return (tmp_path / "said").read_text().splitlines()


def test_the_newest_bundle_of_the_stick_is_installed_and_the_unit_ends(
    first_boot: Callable[[], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    none = first_boot()
    assert none.returncode == 1 and "no bundle" in none.stderr
    stick(tmp_path, "a", 9)
    stick(tmp_path, "b", 10)
    assert first_boot().returncode == 0
    assert [line.split(" /")[0] for line in said(tmp_path)] == [
        "mount -o ro", "install 10 pi-orchard", "systemctl disable poppyfield-first-boot.service", "umount",
    ]  # fmt: skip


def test_where_it_fails_its_unit_starts_it_again(
    first_boot: Callable[[], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    stick(tmp_path, "a", 1, status=3)
    assert first_boot().returncode == 3
    assert not [line for line in said(tmp_path) if "disable" in line] and said(tmp_path)[-1].startswith("umount")


def test_it_restarts_once_where_limits_of_memory_do_not_count_yet(
    first_boot: Callable[[], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    stick(tmp_path, "a", 1)
    (tmp_path / "pi/proc/device-tree/model").write_text("Raspberry Pi 5")
    (tmp_path / "pi/sys/fs/cgroup/cgroup.controllers").write_text("cpu io\n")
    assert first_boot().returncode == 0
    assert "systemctl --no-block reboot" in said(tmp_path) and "disable" not in " ".join(said(tmp_path))
    (tmp_path / "pi/sys/fs/cgroup/cgroup.controllers").write_text("cpu io memory\n")
    assert first_boot().returncode == 0
    assert "systemctl disable poppyfield-first-boot.service" in said(tmp_path)


@pytest.mark.long
def test_cloud_init_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    """By Debian's own package, of which nothing is installed."""
    subprocess.run(["apt-get", "download", "-q", "cloud-init"], cwd=tmp_path, check=True, capture_output=True)
    (package,) = tmp_path.glob("cloud-init_*.deb")
    subprocess.run(["dpkg-deb", "--extract", str(package), str(tmp_path / "root")], check=True)
    schema = tmp_path / "root/usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft4Validator(yaml.safe_load(schema.read_text()))
    told = card.user_data(CARD, FIRST_BOOT.read_text())
    assert list(validator.iter_errors(yaml.safe_load(card.files(CARD, FIRST_BOOT.read_text())["user-data"]))) == []
    assert list(validator.iter_errors({**told, "runcmd": 3}))
