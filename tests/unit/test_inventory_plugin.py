"""The action plugin role_variables as Ansible runs it: all hosts of a play, one task, one list, nothing changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.poppyfield.host import fleet_authority
from ansible.parsing.vault import VaultLib, VaultSecret

ROOT = Path(__file__).resolve().parents[2]
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
PAGE = {"lizmap_web_client": "none"}
VAULT_PASSWORD = b"opens-the-vault"
Json = dict[str, Any]


class Vaulted:
    """A text that the inventory holds encrypted."""

    def __init__(self, text: str, vault_id: str = "default", password: bytes = VAULT_PASSWORD) -> None:
        ours = VaultLib([(vault_id, VaultSecret(password))])
        self.ciphertext = ours.encrypt(text, vault_id=None if vault_id == "default" else vault_id).decode()


class InventoryDumper(yaml.SafeDumper):
    """Writes encrypted texts as ansible-vault does."""


InventoryDumper.add_representer(
    Vaulted, lambda dumper, value: dumper.represent_scalar("!vault", value.ciphertext, style="|")
)


class Done:
    """What a run of the play came to."""

    def __init__(self, code: int, output: str, told: Path) -> None:
        self.code = code
        self.output = output
        # The play's only task after the check.
        self.changed = told.exists()
        self.result: Json = json.loads(told.read_text()) if told.exists() else {}

    @property
    def lines(self) -> list[str]:
        """Give the numbered lines, without their numbers."""
        told = self.output.partition("fatal:")[0]
        return re.findall(r"^\d+\. (.*)$", told, re.MULTILINE)


Play = Callable[..., Done]


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    path = tmp_path / "vault-password"
    path.write_bytes(VAULT_PASSWORD)
    return path


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return a function that checks hosts with these variables in a play, and then would change something."""

    def run(
        hosts: dict[Any, Json], *options: str, of_all: Json | None = None, play: Json | None = None, **arguments: Any
    ) -> Done:
        inventory = {"pis": {"hosts": hosts, "vars": {**LOCAL, **(of_all or {})}}}
        (tmp_path / "hosts.yml").write_text(
            yaml.dump(inventory, Dumper=InventoryDumper, allow_unicode=True, sort_keys=False)
        )
        told = tmp_path / "told"
        told.unlink(missing_ok=True)
        tasks = [
            {
                "role_variables": {"roles_folder": str(ROOT / "roles"), **arguments},
                "run_once": True,
                "register": "inventory_check",
            },
            {
                "ansible.builtin.copy": {"dest": str(told), "content": "{{ inventory_check | to_json }}"},
                "run_once": True,
            },
        ]
        plays = [{"hosts": "pis", "gather_facts": False, "tasks": tasks, **(play or {})}]
        (tmp_path / "play.yml").write_text(json.dumps(plays))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(tmp_path / "hosts.yml")]
        done = subprocess.run(
            [*command, *options, str(tmp_path / "play.yml")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )
        return Done(done.returncode, done.stdout + done.stderr, told)

    return run


TWELVE: Json = {
    "lizmap_prot": 8080,
    "lizmap_port": 70000,
    "lizmap_tls": "letsencrypt",
    "lizmap_server_name": "http://maps.example.org",
    "lizmap_bind_address": "eth0",
    "lizmap_trusted_proxies": ["10.0.0.256"],
    "lizmap_memory_limit_share": 2,
    "lizmap_folder": "srv/lizmap",
    "postgis_passwords": {"gis": 1234567890123456},
    "postgis_databases": [{"name": "gis", "owner": "nobody"}],
    "postgis_settings": {"fsync": "off"},
    "docker_engine_log_max_files": 0,
}


def test_twelve_wrong_variables_on_two_pis_are_one_list_of_twelve(play: Play) -> None:
    done = play({"pi-marsh": {}, "pi-orchard": {}}, of_all={**PAGE, **TWELVE})
    assert done.code != 0
    assert "Nothing was changed. In the inventory 12 things are to be mended:" in done.output
    assert len(done.lines) == len(TWELVE)
    for name in TWELVE:
        (line,) = [line for line in done.lines if line.startswith(f"pi-marsh, pi-orchard: {name}")]
        assert line.count(". ") >= 1 or line.endswith("?"), "no remedy"
    assert "1234567890123456" not in done.output
    assert not done.changed


def test_a_run_whose_inventory_is_right_tells_later_tasks_what_they_need(play: Play, tmp_path: Path) -> None:
    projects = [{"repository": "a", "folder": str(tmp_path)}]
    done = play(
        {"pi-é": {"lizmap_projects": projects}, "fd00::7": {"lizmap_port": 8080, "lizmap_projects": projects}},
        of_all={**PAGE, "lizmap_server_name": "maps.example.org", "somebody_elses": "{{ nothing }}"},
    )
    assert done.code == 0, done.output
    assert done.changed
    assert set(done.result["requirements"]) == {"pi-é", "fd00::7"}
    assert [port["port"] for port in done.result["requirements"]["fd00::7"]["ports"]] == [8080]
    assert done.result["repositories"] == [
        {"repository": "a", "folder": str(tmp_path), "accept_newer_qgis": False, "internet": False},
    ]
    assert (done.result["web_client"], done.result["profile"], done.result["problems"]) == ("none", "trixie", [])


def test_what_is_judged_is_what_applies_to_each_host(play: Play) -> None:
    given = {"one": {"ansible_host": "a b"}, "two": {"lizmap_port": "{{ base + 65000 }}"}, "three": {}}
    done = play(given, "--extra-vars", "lizmap_hsts_seconds=7", of_all={**PAGE, "base": 1000})
    starts = ["one: lizmap_url", "two: lizmap_port (66000)", "one, two, three: lizmap_hsts_seconds (7)"]
    assert len(done.lines) == len(starts)
    assert all(any(line.startswith(start) for line in done.lines) for start in starts)
    done = play({"one": {}, "two": {}}, of_all=PAGE, play={"vars": {"lizmap_port": 0}})
    assert [line.partition(" (")[0] for line in done.lines] == ["one, two: lizmap_port"]
    done = play(given, "--limit", "three", of_all=PAGE)
    assert done.code == 0, done.output


def test_a_template_that_cannot_be_resolved_names_host_and_variable(play: Play) -> None:
    done = play(
        {"one": {"lizmap_port": "{{ no_such }}"}, "two": {"postgis_roles": [{"name": "{{ 1 / 0 }}"}]}}, of_all=PAGE
    )
    assert done.code != 0
    assert [line.partition(":")[0] for line in done.lines] == ["one", "two"]
    assert done.lines[0].startswith("one: lizmap_port: it can't be resolved: 'no_such' is undefined. ")
    assert done.lines[1].startswith("two: postgis_roles: it can't be resolved: ")
    assert "Traceback" not in done.output


def test_encrypted_values_are_the_texts_that_they_are_and_stay_secret(play: Play, vault: Path) -> None:
    right = {
        "lizmap_archive": "https://example.org/x",
        "lizmap_server_plugin": "https://example.org/x",
        "lizmap_users": [{"login": "anna", "password": Vaulted("geheim-geheim")}],
        "lizmap_settings": {"profiles": {"smtp:mailer": {"password": Vaulted("geheim")}}},
        "postgis_passwords": {"gis": Vaulted("geheim-geheim-geheim")},
        "lizmap_server_name": Vaulted("maps.example.org"),
        "lizmap_port": Vaulted("8080"),
    }
    done = play({"pi": right}, "--vault-password-file", str(vault))
    assert done.code == 0, done.output
    assert "geheim" not in json.dumps(done.result)
    wrong = {
        **right,
        "lizmap_users": [{"login": "anna", "password": Vaulted("geheim")}],
        "lizmap_settings": {"profiles": {"smtp:mailer": {"password": Vaulted('geheim"')}}},
        "lizmap_bind_address": Vaulted("geheim"),
        "lizmap_tls": "files",
        "lizmap_tls_certificate": "/none",
        "lizmap_tls_key": Vaulted("/geheim"),
    }
    done = play({"pi": wrong}, "--vault-password-file", str(vault))
    assert [line.partition(": ")[2].split(":")[0].split(" ")[0] for line in done.lines] == [
        "lizmap_bind_address",
        "lizmap_tls_certificate",
        "lizmap_tls_key",
        "lizmap_users",
        "lizmap_settings",
    ]
    assert "geheim" not in done.output
    done = play({"pi": right})
    assert done.code != 0
    assert all("it can't be resolved" in line and "give the vault's password" in line for line in done.lines)


def test_who_runs_one_group_needs_its_vault_id_and_no_other(play: Play, tmp_path: Path) -> None:
    groups = {"north": b"of-the-north", "south": b"of-the-south"}
    for name, password in groups.items():
        (tmp_path / name).write_bytes(password)
    pis = {
        f"pi-{name}": {**PAGE, "postgis_passwords": {"gis": Vaulted("geheim-geheim-geheim", name, password)}}
        for name, password in groups.items()
    }
    north, south = (("--vault-id", f"{name}@{tmp_path / name}") for name in groups)
    assert play(pis, *north, "--limit", "pi-north").code == 0
    assert play(pis, *north, *south).code == 0
    done = play(pis, *north)
    assert done.code != 0 and not done.changed
    assert [line.partition(":")[0] for line in done.lines] == ["pi-south"], done.output
    assert "give the vault's password" in done.lines[0] and "geheim" not in done.output


def test_a_host_that_is_called_true_is_named(play: Play) -> None:
    done = play({"True": {}, "pi": {}}, of_all=PAGE)
    assert [line.partition(":")[0] for line in done.lines] == ["True"]


def test_pis_that_disagree_are_told(play: Play) -> None:
    done = play({"a": PAGE, "b": {**PAGE, "arm_images_profile": "bookworm"}})
    assert done.lines[0].startswith("a, b: arm_images_profile: ")
    assert '(a: "trixie", but b: "bookworm")' in done.lines[0]


def test_the_roles_whose_variables_there_may_be(play: Play) -> None:
    done = play({"a": {**PAGE, "raspberry_pi_zzz": 1}}, roles=["postgis", "lizmap"])
    assert done.code == 0, done.output
    done = play({"a": {**PAGE, "raspberry_pi_zzz": 1}})
    assert [line.partition(". ")[0] for line in done.lines] == [
        "a: raspberry_pi_zzz: the variable 'raspberry_pi_zzz' is not one that Poppyfield knows"
    ]
    done = play({"a": PAGE}, roles_folder="/none")
    assert done.code != 0 and "roles_folder: /none has no roles arm_images" in done.output


def handed_over(playbook: str) -> Any:
    """Give the variables that a playbook hands over to the preflight."""
    plays = yaml.safe_load((ROOT / "playbooks" / playbook).read_text("utf-8"))
    (preflight,) = [one for one in plays if one["ansible.builtin.import_playbook"] == "plays/preflight.yml"]
    return preflight.get("vars", {})


@pytest.mark.field("B14", "600 MB free, playbooks/verify.yml")
@pytest.mark.parametrize(
    ("playbook", "options", "needs_room", "needs_docker"),
    [
        ("site.yml", [], True, True),
        ("site.yml", ["--tags", "deploy,verify"], True, False),
        ("verify.yml", [], False, False),
        *(
            pytest.param(*others, marks=pytest.mark.long)
            for others in (
                ("site.yml", ["--tags", "verify"], False, False),
                ("build.yml", [], False, False),
                *((f"{stage}.yml", [], True, True) for stage in ("preflight", "provision")),
                *((f"{stage}.yml", [], True, False) for stage in ("deliver", "deploy")),
            )
        ),
    ],
)
def test_a_run_asks_a_pi_for_what_its_stages_need(
    play: Play, playbook: str, options: list[str], *, needs_room: bool, needs_docker: bool
) -> None:
    preflight = yaml.safe_load((ROOT / "playbooks" / "plays" / "preflight.yml").read_text("utf-8"))[0]
    (stages,) = [task["role_variables"]["stages"] for task in preflight["tasks"] if "role_variables" in task]
    tagged = {"vars": handed_over(playbook), "tags": ["always"]}
    done = play({"pi": PAGE}, *options, play=tagged, stages=stages)
    assert done.code == 0, done.output
    assert bool(done.result["requirements"]["pi"]["disk"]) is needs_room
    assert bool(done.result["requirements"]["pi"]["docker_source"]) is needs_docker


def test_an_inventory_with_a_host_that_yaml_reads_as_a_truth_value_ends_the_run(tmp_path: Path) -> None:
    """Ansible refuses the whole file, so that no play would have a host, and nothing would fail."""
    # As recorded_archive writes it.
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "archives.sha256").write_text(f"{'0' * 64}  ~/lizmap-web-client.zip\n")
    hosts = tmp_path / "fleet" / "hosts.yml"

    def run() -> tuple[int, str]:
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(tmp_path / "fleet")]
        done = subprocess.run(
            [*command, str(ROOT / "playbooks" / "plays" / "settings.yml")],
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    hosts.write_text("pis:\n  hosts:\n    on: {}\n")
    code, said = run()
    assert code != 0
    assert "True must be a string" in said
    assert "quotation marks" in said
    hosts.write_text('pis:\n  hosts:\n    "on": {}\n')
    code, said = run()
    assert (code, "WARNING" in said) == (0, False), said


OPENS_THE_AUTHORITY = "poppies-in-the-barley"


@pytest.mark.parametrize(
    ("hosts", "passphrase", "said"),
    [
        pytest.param(["pi-marsh"], OPENS_THE_AUTHORITY, "", marks=pytest.mark.long),
        (["pi-marsh"], "poppies-in-the-beans", "lizmap_authority_passphrase: the passphrase does not open "),
        pytest.param(["pi-marsh"], "", "lizmap_authority_passphrase: there is no passphrase", marks=pytest.mark.long),
        pytest.param(
            ["pi-marsh", "pi-orchard"],
            OPENS_THE_AUTHORITY,
            "lizmap_tls: the fleet's authority is not for pi-orchard, pi-",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_the_fleets_authority_cannot_do_is_told_before_anything_is_changed(
    play: Play, vault: Path, hosts: list[str], passphrase: str, said: str
) -> None:
    fleet = {**PAGE, "lizmap_tls": "fleet", "lizmap_authority_passphrase": Vaulted(passphrase)}
    options = ("--vault-password-file", str(vault))
    missing = play({"pi-marsh": {}}, *options, of_all=fleet)
    assert "there is no certificate authority in " in missing.lines[0] and not missing.changed
    making = play({"pi-marsh": {}}, *options, of_all=fleet, stages=["authority"])
    assert making.result["certificate_names"] == ["pi-marsh", "pi-marsh.local"]
    authority = fleet_authority.make(making.result["certificate_names"], datetime.now(UTC))
    # Beside hosts.yml.
    fleet_authority.write_key(vault.parent, authority.key, OPENS_THE_AUTHORITY)
    fleet_authority.publish(vault.parent, authority.certificate)
    done = play({host: {} for host in hosts}, *options, of_all=fleet)
    assert done.changed == (not said), done.output
    assert [said in line for line in done.lines] == [True] * bool(said)
    assert "poppies-in" not in done.output
