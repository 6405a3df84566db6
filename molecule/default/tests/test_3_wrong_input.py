"""Wrong input: one clear message that names what to mend, and nothing changed on any host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from testinfra.host import Host

from emulated_pi import ansible_playbook
from tests.unit import bundles


def refuse(pi: Host, *arguments: str) -> str:
    """Run site.yml, see that it was refused in preflight and that nothing changed; return what it said."""
    before = state_of(pi)
    run = ansible_playbook(*arguments)
    assert run.returncode != 0, run.stdout
    recap = [line for line in run.stdout.splitlines() if "changed=" in line]
    assert recap
    assert all("changed=0 " in line for line in recap), run.stdout
    assert state_of(pi) == before
    return run.stdout + run.stderr


def state_of(pi: Host) -> str:
    """Return what would tell that something was changed."""
    containers: str = pi.check_output("docker ps --all --no-trunc --format '{{.ID}} {{.Names}}'")
    files: str = pi.check_output("find /etc/poppyfield /etc/docker /srv/poppyfield/lizmap/projects -printf '%p %T@ '")
    return containers + files


@contextmanager
def undone(pi: Host, do: str, undo: str) -> Iterator[None]:
    """Do something to the Pi for a while."""
    pi.check_output(do)
    try:
        yield
    finally:
        pi.check_output(undo)


def extra(**variables: object) -> str:
    """Return variables as the argument of --extra-vars."""
    return json.dumps(variables)


def test_users_that_cannot_be_and_whose_password_is_not_shown(pi: Host) -> None:
    archives = {"lizmap_web_client": "archive", "lizmap_archive": "a.zip", "lizmap_server_plugin": "b.zip"}
    users = [{"login": "anna", "groups": ["mapers"]}, {"login": "berta", "password": "poppyseed"}]
    said = refuse(pi, "-e", extra(**archives, lizmap_users=users))
    assert "lizmap_users: The user anna: there is no group mapers in lizmap_groups and lizmap_users." in said
    assert "the password of berta must be one line of 12 to 72 printable ASCII characters" in said
    assert "poppyseed" not in said


def test_an_archive_with_the_wrong_checksum(pi: Host, tmp_path: Path) -> None:
    archive = tmp_path / "lizmap-web-client-3.9.11.zip"
    archive.write_bytes(b"not what was seen first")
    (tmp_path / "archives.sha256").write_text(f"{'0' * 64}  {archive.name}\n")
    said = refuse(
        pi,
        "-e",
        extra(
            lizmap_web_client="archive",
            lizmap_archive=str(archive),
            lizmap_server_plugin=str(archive),
            lizmap_archive_record=str(tmp_path / "archives.sha256"),
        ),
    )
    assert "archives.sha256" in said
    assert "0" * 64 in said


def test_lizmap_without_its_archive(pi: Host) -> None:
    said = refuse(pi, "-e", extra(lizmap_web_client="archive", lizmap_archive="", lizmap_server_plugin=""))
    assert "lizmap_archive" in said


def test_what_is_wrong_anywhere_is_told_at_once(pi: Host) -> None:
    wrong = {
        "lizmap_prot": 8080,
        "postgis_healthy_timeout": "soon",
        "postgis_passwords": {"gis": "poppyseed"},
        "lizmap_users": [{"login": "anna"}],
        "docker_engine_source": "docker",
    }
    said = refuse(pi, "-e", extra(**wrong))
    assert "Nothing was changed. In the inventory 6 things are to be mended:" in said
    assert "Did you mean 'lizmap_port'" in said
    assert "16 characters" in said and "poppyseed" not in said
    assert "lizmap_users: it needs Lizmap, but lizmap_web_client is none" in said
    assert all(
        f"demo-pi: {name}" in said for name in (*wrong.keys() - {"docker_engine_source"}, "docker_engine_repository")
    )


def test_a_pi_that_is_off_is_told_at_once_and_at_the_end_and_the_other_is_served(tmp_path: Path) -> None:
    more = tmp_path / "more.yml"
    more.write_text("pis: {hosts: {a-pi-that-is-off: {ansible_host: 127.0.0.1, ansible_port: 1}}}\n")
    run = ansible_playbook("-i", str(more), playbook="playbooks/verify.yml")
    assert run.returncode != 0
    at_once, _, later = run.stdout.partition("Request the published map as a browser would")
    assert "fatal: [a-pi-that-is-off]: UNREACHABLE!" in at_once
    assert "ok: [demo-pi -> localhost] => (item=sample/france)" in later
    assert "Not served in this run: a-pi-that-is-off." in later
    assert "Traceback" not in run.stdout + run.stderr
    assert "has no attribute" not in run.stdout + run.stderr


@pytest.mark.parametrize("limit", ["demo-pi", "demo*"])
def test_a_limit_needs_nothing_but_the_pis(limit: str) -> None:
    run = ansible_playbook("--limit", limit, playbook="playbooks/deliver.yml")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "changed=0 " in run.stdout


def test_a_run_that_starts_in_the_middle_says_what_to_add() -> None:
    for task, remedy in {
        "Deliver the images": "Which images this Pi needs is found out by the build stage",
        "Deploy each service, the database first": "Run a whole stage: ansible-playbook playbooks/deploy.yml",
    }.items():
        run = ansible_playbook("--start-at-task", task)
        assert run.returncode != 0
        assert remedy in run.stdout


def test_a_full_disk(pi: Host) -> None:
    folder = "/srv/poppyfield/postgis/data"
    with undone(pi, f"mount -t tmpfs -o size=8m tmpfs {folder}", f"umount {folder}"):
        said = refuse(pi)
    assert folder in said
    assert "raspberry_pi_min_free_disk_mb" in said
    assert f"{folder} (postgis_data_folder) is on tmpfs" in said


def test_an_operating_system_that_is_not_supported(pi: Host) -> None:
    pi.check_output("printf 'ID=arch\\nNAME=Arch\\nVERSION_ID=2026\\n' > /run/os-release")
    with undone(pi, "mount --bind /run/os-release /usr/lib/os-release", "umount /usr/lib/os-release"):
        said = refuse(pi)
    assert "trixie" in said
    assert "bookworm" in said


def test_a_port_that_another_program_has(pi: Host) -> None:
    server = "systemd-run --unit=poppyfield-test-port python3 -m http.server 8099"
    listens = "timeout 60 sh -c 'until ss -Hltn | grep -q :8099; do sleep 1; done'"
    with undone(pi, f"{server} && {listens}", "systemctl stop poppyfield-test-port"):
        said = refuse(pi, "-e", extra(lizmap_port=8099))
        said_of_https = refuse(pi, "-e", extra(lizmap_tls="self_signed", lizmap_https_port=8099))
    assert "TCP port 8099 (lizmap_port) is taken" in said
    assert "TCP port 8099 (lizmap_https_port) is taken" in said_of_https


def test_a_folder_of_projects_that_is_not_there(pi: Host) -> None:
    said = refuse(pi, "-e", extra(lizmap_projects=[{"repository": "sample", "folder": "/no/such/folder"}]))
    assert "/no/such/folder" in said


@pytest.mark.autonomy("emulated Pi")
def test_a_bundle_of_which_a_byte_was_flipped(pi: Host, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    bundles.write(bundle, tmp_path / "keys")
    image = bundle / bundles.IMAGE
    image.write_bytes(bytes([image.read_bytes()[0] ^ 1]) + image.read_bytes()[1:])
    said = refuse(pi, "-e", extra(bundle=str(bundle), bundle_key_folder=str(tmp_path / "keys")))
    assert f"it is refused: {bundles.IMAGE} is not what MANIFEST says of it" in " ".join(said.split())


@pytest.mark.autonomy("emulated Pi")
def test_a_wifi_of_its_own_on_a_pi_without_a_radio(pi: Host, tmp_path: Path) -> None:
    asked = {"hotspot_enabled": True, "hotspot_country": "FR", "hotspot_password_folder": str(tmp_path)}
    said = " ".join(refuse(pi, "-e", extra(**asked)).split())
    assert "wlan0 (hotspot_interface) is no adapter for Wi-Fi. There is none at all." in said
    assert list(tmp_path.iterdir()) == []
