"""`make shell` and `make logs`: SSH as the inventory says, our container only, and no orders to the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import services

from pi_terminal import scripts

ROOT = Path(__file__).resolve().parents[2]
SSH = """#!/bin/sh
printf '%s\\n' "$@"
printf 'title \\033]0;owned\\007\\033[2Jend\\n'
exit 3
"""
DOCKER = """#!/bin/sh
echo "$*" >> "$ASKED"
[ "$1" != ps ] || { [ -z "$THERE" ] || echo 0123; exit 0; }
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """An inventory whose ssh shows what it was called with, and ends with 3."""
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    hosts = {
        "pi-marsh": {
            "ansible_host": "{{ network }}.23",
            "network": "{{ lookup('ansible.builtin.env', 'POPPYFIELD_NETWORK', default='192.168.1') }}",
            "ansible_port": 2222,
            "ansible_user": "pi",
            "ansible_ssh_private_key_file": "/keys/fleet",
            "ansible_ssh_common_args": "-o ProxyJump=gate",
            "lizmap_container_name": "maps",
        },
        "pi-root": {"ansible_user": "root"},
    }
    fleet = {"pis": {"hosts": hosts, "vars": {"ansible_ssh_executable": str(ssh)}}}
    (tmp_path / "hosts.json").write_text(json.dumps(fleet))
    return tmp_path / "hosts.json"


def run(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pi_terminal", *arguments]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_INVENTORY": str(inventory)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_it_goes_where_the_inventory_says_into_the_container_as_its_user(inventory: Path) -> None:
    done = run(inventory, "shell", "pi-marsh", "", "")
    words = done.stdout.splitlines()
    assert done.returncode == 3, done.stderr
    for flag, value in (("-p", "2222"), ("-l", "pi"), ("-i", "/keys/fleet")):
        assert words[words.index(flag) + 1] == value
    assert "ProxyJump=gate" in words and "ControlPersist=10m" in words and "StrictHostKeyChecking=no" not in words
    assert words.index("-t") < words.index("192.168.1.23")
    script = done.stdout.partition("192.168.1.23\n")[2]
    assert "sudo docker exec --interactive --tty --user www-data" in script and "maps" in script
    assert "--user root" in run(inventory, "shell", "pi-marsh", "postgis", "true").stdout


def test_root_needs_no_sudo(inventory: Path) -> None:
    shown = run(inventory, "shell", "pi-root", "postgis").stdout
    assert "docker exec" in shown and "sudo" not in shown


@pytest.mark.attack(kind="orders to the terminal", on="laptop", proof=None)
def test_a_log_that_is_followed_gives_the_terminal_no_orders(inventory: Path) -> None:
    raw = run(inventory, "shell", "pi-marsh")
    assert "\x1b]0;owned\x07" in raw.stdout
    done = run(inventory, "logs", "pi-marsh", "postgis")
    assert done.returncode == 3 and "docker logs --follow" in done.stdout
    assert "\x1b" not in done.stdout and done.stdout.endswith("title end\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shell", ""], "Add HOST=, the name of a Pi in the inventory: pi-marsh, pi-root."),
        (["logs", "pi-mars"], "Add HOST=, the name of a Pi in the inventory: pi-marsh, pi-root."),
        (["shell", "pi-marsh", "lizmpa"], "SERVICE can be postgis or lizmap, not lizmpa."),
    ],
)
def test_what_is_missing_is_told_in_a_sentence(inventory: Path, arguments: list[str], said: str) -> None:
    done = run(inventory, *arguments)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (1, "", said)


def test_an_inventory_that_is_encrypted_is_read_with_the_passphrase_that_the_settings_name(
    inventory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inventory.parent / "group_vars").mkdir()
    vaulted, passphrase = inventory.parent / "group_vars" / "pis.yml", inventory.parent / "passphrase"
    vaulted.write_text("ansible_port: 2299\n")
    passphrase.write_text("secret\n")
    encrypting = [sys.executable, "-m", "ansible", "vault", "encrypt", "--vault-password-file", str(passphrase)]
    subprocess.run([*encrypting, str(vaulted)], check=True, capture_output=True)
    refused = run(inventory, "shell", "pi-root")
    assert refused.returncode == 1 and refused.stderr.startswith("The inventory cannot be read: ")
    assert "Traceback" not in refused.stderr
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(passphrase))
    assert "2299" in run(inventory, "shell", "pi-root").stdout.splitlines()


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("pi@192.168.1.23's password: ", True),
        pytest.param("(pi@192.168.1.23) Password: ", True, marks=pytest.mark.long),
        ("ann@gate's password: ", False),
        ("Are you sure you want to continue connecting (yes/no/[fingerprint])? ", False),
    ],
)
def test_the_password_of_the_inventory_is_given_to_that_pi_alone(inventory: Path, asked: str, answered: bool) -> None:
    fleet = json.loads(inventory.read_text())
    asking = f'#!/bin/sh\nenv | grep -q pass-of-the-pi && echo LEAKED\necho "[$("$SSH_ASKPASS" "{asked}")]"\n'
    (inventory.parent / "ssh").write_text(asking)
    fleet["pis"]["hosts"]["pi-marsh"]["ansible_password"] = "pass-{{ 'of-the-pi' }}"
    inventory.write_text(json.dumps(fleet))
    for chore in ("shell", "logs"):
        assert run(inventory, chore, "pi-marsh").stdout == ("[pass-of-the-pi]\n" if answered else "[]\n")


def test_without_a_password_ssh_asks_in_the_terminal(inventory: Path) -> None:
    (inventory.parent / "ssh").write_text('#!/bin/sh\necho "[$SSH_ASKPASS]"\n')
    assert run(inventory, "logs", "pi-marsh").stdout == "[]\n"


def test_each_look_at_a_pi_shows_our_containers_alone_until_nobody_reads(tmp_path: Path) -> None:
    fake = '#!/bin/sh\necho "docker $*"\n'
    (tmp_path / "docker").write_text(fake)
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    for program in ("docker", "sleep"):
        (tmp_path / program).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(
        ["sh", "-c", scripts.watch("docker")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        text = ""
        while text.count(scripts.END_OF_LOOK) < 2:
            text += watching.stdout.read(1)
        watching.stdout.close()
        watching.wait(timeout=60)
    first, second, _ = text.split(scripts.END_OF_LOOK)
    for look in (first, second):
        assert "docker ps --all --filter label=fr.poppyfield.managed=true" in look
        assert "docker stats --no-stream" in look and "Mem:" in look and "load average" in look


@pytest.mark.attack(kind="orders to the terminal", on="laptop", proof=None)
def test_a_look_gives_the_terminal_no_orders_either(inventory: Path) -> None:
    done = run(inventory, "watch", "pi-marsh")
    assert done.returncode == 3 and "while date" in done.stdout and "\x1b" not in done.stdout


@pytest.mark.parametrize("there", ["", "yes"])
def test_only_a_container_of_ours_is_entered(tmp_path: Path, there: str) -> None:
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ASKED": str(tmp_path / "asked"), "THERE": there}
    service: dict[str, Any] = services.of_host({})[0]
    done = subprocess.run(
        ["sh", "-c", scripts.shell(service, "docker", as_root=False)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "label=fr.poppyfield.managed=true" in asked[0] and "label=fr.poppyfield.resource=postgis" in asked[0]
    assert (done.returncode == 0) == bool(there)
    assert len(asked) == (2 if there else 1)
    assert there or "no running container websig-postgis of Poppyfield" in done.stderr
