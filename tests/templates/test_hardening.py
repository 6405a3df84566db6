"""What the role hardening puts on a Pi, and that nothing of it is played unless it is asked for and differs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.poppyfield.inventory import first_look
from ansible.module_utils.poppyfield.inventory.first_look import FILES_ASKED_FOR

Render = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "hardening"
PARTS = {
    "hardening_ssh_keys_only": "ssh",
    "hardening_security_updates": "updates",
}
"""By variable what the private names of its file begin with."""
# As Debian's package has it, which also takes what is no security update.
OF_THE_PACKAGE = """
Unattended-Upgrade::Origins-Pattern {
  "origin=Debian,codename=${distro_codename},label=Debian";
  "origin=Debian,codename=${distro_codename},label=Debian-Security";
};
Unattended-Upgrade::Package-Blacklist { "vim"; };
APT::Periodic::Unattended-Upgrade "0";
"""
SECURITY = {"origin": "Debian", "codename": "trixie-security", "label": "Debian-Security"}
RELEASE = {"origin": "Debian", "codename": "trixie", "label": "Debian"}
RASPBERRY = {"origin": "Raspberry Pi Foundation", "codename": "trixie", "label": "Raspberry Pi Foundation"}
RASPBIAN = {"origin": "Raspbian", "codename": "trixie", "label": "Raspbian"}
DOCKER = {"origin": "Docker", "codename": "trixie", "label": "Docker CE"}


def roles_asked_for() -> str:
    """Give the template of the roles that are played where the inventory asks for them."""
    (stage,) = yaml.safe_load((ROOT / "playbooks/tasks/provision.yml").read_text("utf-8"))
    (task,) = [task for task in stage["block"] if "hardening" in str(task)]
    return str(task["loop"])


def test_a_position_is_played_while_it_is_wanted_and_once_more_to_take_it_away(render: Render) -> None:
    asked = roles_asked_for()
    there = {"files": {first_look.POSITION: {"sha256": "1"}}}
    for position, found, played in ((True, {}, True), (False, there, True), (False, {}, False)):
        values = {"position_enabled": position, "ansible_facts": {"poppyfield_pi": found}}
        assert render("hardening", asked, pi_page_enabled=False, **values) == (["position"] if played else [])


def test_a_wifi_of_its_own_is_played_last_and_once_more_to_take_it_away(render: Render) -> None:
    asked = roles_asked_for()
    there = {"files": {first_look.HOTSPOT: {"sha256": "1"}}}
    for wanted, found, played in ((True, {}, True), (False, there, True), (False, {}, False)):
        values = {"hotspot_enabled": wanted, "ansible_facts": {"poppyfield_pi": found}}
        assert render("hardening", asked, **values) == ["pi_page", *(["hotspot"] if played else [])]


def test_the_role_is_played_for_any_part_and_for_none_it_is_not(render: Render) -> None:
    asked = roles_asked_for()
    parts = set(yaml.safe_load((ROLE / "defaults/main.yml").read_text("utf-8")))
    # The role docker_engine writes daemon.json.
    no_page = {"pi_page_enabled": False}
    played = {part for part in parts if render("hardening", asked, **no_page, **{part: True}) == ["hardening"]}
    assert played == {part for part in parts if part in set(re.findall(r"hardening_\w+", asked))}
    assert set(FILES_ASKED_FOR) <= played and "hardening_engine" not in played
    assert render("hardening", asked, **no_page) == []
    assert render("hardening", asked, **no_page, hardening_audit="true") == ["hardening"]


def test_the_role_of_the_backup_is_played_where_there_is_a_target(render: Render) -> None:
    no_page = {"pi_page_enabled": False}
    assert render("backup", roles_asked_for(), **no_page) == []
    target = {"name": "stick", "label": "POPPYFIELD"}
    assert render("backup", roles_asked_for(), **no_page, backup_targets=[target]) == ["backup"]


def test_the_pi_has_its_page_unless_the_inventory_says_otherwise(render: Render) -> None:
    assert render("pi_page", roles_asked_for()) == ["pi_page"]
    assert render("pi_page", roles_asked_for(), pi_page_enabled="false") == []
    # With Lizmap alone there is a front page.
    for client, front in (("archive", True), ("none", False)):
        (task,) = yaml.safe_load((ROOT / "roles/pi_page/tasks/main.yml").read_text("utf-8"))
        assert render("pi_page", task["pi_page"]["front"], lizmap_web_client=client) is front


@pytest.mark.parametrize("variable", PARTS)
def test_a_part_whose_file_is_as_wanted_has_nothing_to_do(render: Render, variable: str) -> None:
    part = PARTS[variable]
    # The first look asks for the same file.
    (path,) = FILES_ASKED_FOR[variable]
    assert render("hardening", f"{{{{ __hardening_{part}_file }}}}") == path
    text = render("hardening", f"{{{{ __hardening_{part}_settings }}}}")
    for facts, expected in looks(path, text, "0644"):
        assert render("hardening", f"{{{{ __hardening_{part}_differs }}}}", ansible_facts=facts) is expected


def test_the_audit_whose_files_are_as_wanted_has_nothing_to_do(render: Render) -> None:
    files = render("hardening", "{{ __hardening_audit_files }}")
    assert tuple(file["path"] for file in files) == FILES_ASKED_FOR["hardening_audit"]
    (task,) = [task for task in yaml.safe_load((ROLE / "tasks/main.yml").read_text("utf-8")) if "loop" in task]
    assert render("hardening", task["loop"]) == []
    assert render("hardening", task["loop"], hardening_audit=True) == files
    for file in files:
        for facts, expected in looks(file["path"], file["content"], file["mode"]):
            assert render("hardening", f"{{{{ {task['when']} }}}}", ansible_facts=facts, item=file) is expected


def looks(path: str, text: str, mode: str) -> list[tuple[dict[str, Any], bool]]:
    """Give what a look at a Pi may find of a file, and whether it is then to be written."""
    as_wanted = {"owner": "root", "group": "root", "mode": mode, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    found: list[tuple[dict[str, Any], bool]] = [
        ({path: as_wanted}, False),
        ({path: {**as_wanted, "mode": "0666"}}, True),
        ({path: {**as_wanted, "sha256": "0"}}, True),
        ({path: {}}, True),
        ({}, True),
    ]
    return [({"poppyfield_pi": {"files": files}}, differs) for files, differs in found]


def test_only_packages_that_are_asked_for_and_missing_are_installed(render: Render) -> None:
    def missing(*there: str, **asked: bool) -> list[str]:
        facts = {"poppyfield_pi": {"files": {}, "packages": list(there)}}
        found: list[str] = render("hardening", "{{ __hardening_missing_packages }}", ansible_facts=facts, **asked)
        return found

    everything = {"hardening_security_updates": True, "hardening_audit": True}
    assert missing() == []
    assert sorted(missing(**everything)) == ["auditd", "unattended-upgrades"]
    assert missing("auditd", **everything) == ["unattended-upgrades"]


class Updates:
    """What unattended-upgrades makes of its settings, which apt itself reads."""

    def __init__(self, settings: str, folder: Path) -> None:
        parts = folder / "apt.conf.d"
        parts.mkdir()
        (parts / "50unattended-upgrades").write_text(OF_THE_PACKAGE)
        (parts / "52poppyfield-security-updates").write_text(settings)
        main = folder / "apt.conf"
        main.write_text(f'Dir::Etc::main "/dev/null";\nDir::Etc::parts "{parts}";\n')
        self._dump = subprocess.run(
            ["apt-config", "dump"],
            env={**os.environ, "APT_CONFIG": str(main)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def values(self, name: str) -> list[str]:
        """Give the values of a setting, or of a list."""
        return re.findall(rf'^{re.escape(name)}(?:::)? "(.+)";$', self._dump, re.MULTILINE)

    def come(self, package: str, of: dict[str, str]) -> bool:
        """Tell whether a package of this origin is updated by itself."""
        left_out = self.values("Unattended-Upgrade::Package-Blacklist")
        if any(re.match(pattern, package) for pattern in left_out):
            return False
        patterns = self.values("Unattended-Upgrade::Origins-Pattern")
        return any(self._matches(pattern, of) for pattern in patterns)

    @staticmethod
    def _matches(pattern: str, of: dict[str, str]) -> bool:
        words = [word.split("=") for word in pattern.replace("${distro_codename}", "trixie").split(",")]
        return all(fnmatchcase(of[key], value) for key, value in words)


@pytest.mark.skipif(not shutil.which("apt-config"), reason="needs apt, which the laptop has")
def test_security_updates_come_and_what_would_stop_a_container_does_not(render: Render, tmp_path: Path) -> None:
    updates = Updates(render("hardening", "{{ __hardening_updates_settings }}"), tmp_path)
    assert updates.come("openssl", SECURITY)
    assert updates.come("linux-image-rpi-2712", RASPBERRY)
    assert updates.come("openssl", RASPBIAN)
    assert not updates.come("openssl", RELEASE)
    assert not updates.come("openssl", {**SECURITY, "codename": "bookworm-security"})
    assert not updates.come("nginx", DOCKER)
    for package in ("docker.io", "containerd", "containerd.io", "runc", "docker-ce", "docker-ce-cli"):
        assert not updates.come(package, SECURITY), package
    # What only begins like these is none of them, and what the operator left out stays left out.
    assert updates.come("runcached", SECURITY)
    assert not updates.come("vim", SECURITY)
    assert updates.values("Unattended-Upgrade::Automatic-Reboot") == ["false"]
    assert updates.values("APT::Periodic::Unattended-Upgrade") == ["1"]
    assert updates.values("APT::Periodic::Update-Package-Lists") == ["1"]


def test_the_rules_of_auditd_are_watches_and_what_containers_read_is_not_noted(render: Render) -> None:
    first, ignore, *rules = render("hardening", "{{ __hardening_audit_rules }}").splitlines()
    assert first.startswith("# Managed by Poppyfield")
    # auditd goes on after a folder that this host does not have.
    assert ignore == "-i"
    parts = [re.fullmatch(r"-w (/\S+) -p (wax?) -k docker", rule) for rule in rules]
    watched = {part[1]: part[2] for part in parts if part}
    assert len(watched) == len(rules)
    assert watched["/var/lib/docker"] == "wa"


def test_the_firewall_lets_in_the_ports_of_the_map_and_those_of_the_inventory(render: Render) -> None:
    (task,) = yaml.safe_load((ROLE / "tasks/firewall.yml").read_text("utf-8"))
    asked = task["host_firewall"]["open"]
    assert render("hardening", asked) == [{"port": 80, "connections": 400}]
    given = {"lizmap_port": 81, "lizmap_tls": "self_signed", "hardening_firewall_open": [{"port": 8080}]}
    maps = [{"port": 81, "connections": 400}, {"port": 443, "connections": 400}]
    assert render("hardening", asked, **given) == [*maps, {"port": 8080}]
    # Who asks a Pi with a receiver for the time comes by NTP.
    assert render("hardening", asked, position_enabled=True)[1:] == [{"port": 123, "protocol": "udp"}]
    # Who joins the Pi's own Wi-Fi has no address yet, and asks for names then.
    network = "10.77.77.0/24"
    assert render("hardening", asked, hotspot_enabled=True, hotspot_network=network)[1:] == [
        {"port": 67, "protocol": "udp"},
        {"port": 53, "protocol": "udp", "source": network},
        {"port": 53, "source": network},
    ]


def test_a_proxy_may_have_as_many_connections_as_it_has_visitors(render: Render) -> None:
    (task,) = yaml.safe_load((ROLE / "tasks/firewall.yml").read_text("utf-8"))
    behind = {"lizmap_trusted_proxies": ["192.0.2.1"]}
    assert render("hardening", task["host_firewall"]["open"], **behind) == [{"port": 80, "connections": 0}]
