"""The verify stage of the role lizmap, run by Ansible itself with a double of Lizmap."""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.lizmap_server import LizmapServer, running_lizmap_server
from tests.doubles.map_server import png
from tests.images.projects import Layer, qgs

ROOT = Path(__file__).resolve().parents[2]
Verify = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def server() -> Iterator[LizmapServer]:
    with running_lizmap_server() as running:
        yield running


@pytest.fixture
def verify(server: LizmapServer, tmp_path: Path) -> Verify:
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "france.qgs").touch()
    (tmp_path / "password").write_text(server.password)
    (tmp_path / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.include_role: {name: lizmap, tasks_from: '{{ part }}.yml'}\n"
    )

    def run(*options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        given = {
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "part": "verify",
            "lizmap_url": server.url,
            "lizmap_projects": [{"repository": "sample", "folder": str(tmp_path / "sample")}],
            "lizmap_verify_password_file": str(tmp_path / "password"),
            "lizmap_picture_folder": str(tmp_path / "pictures"),
            "lizmap_verify_timeout": 1,
            **variables,
        }
        host = given.pop("host", "localhost")
        command = [sys.executable, "-m", "ansible", "playbook", "--inventory", f"{host},", "--connection", "local"]
        command += ["--extra-vars", json.dumps(given), *options, str(tmp_path / "play.yml")]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert "DEPRECATION" not in done.stdout + done.stderr
        return done

    return run


def test_a_private_map_is_checked_with_the_password_of_the_pi_which_nobody_sees(
    server: LizmapServer, verify: Verify, tmp_path: Path
) -> None:
    server.anonymous_may_view = server.anonymous_may_edit = False
    server.password = "unlikely-in-any-output"
    (tmp_path / "password").write_text(f"{server.password}\n")
    as_read = base64.b64encode(server.password.encode()).decode()[:20]
    done = verify("-vvvv", "--diff", lizmap_verify_editing="required")
    assert done.returncode == 0, done.stdout
    assert server.password not in done.stdout + done.stderr
    assert as_read not in done.stdout + done.stderr
    assert "observations: its form opens" in done.stdout
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["localhost-sample-france.png"]


@pytest.mark.parametrize(("user", "logged_in"), [("", False), pytest.param("admin", True, marks=pytest.mark.long)])
def test_who_logs_in_is_said_by_variables(server: LizmapServer, verify: Verify, user: str, logged_in: bool) -> None:
    done = verify(lizmap_verify_user=user, lizmap_verify_login="always", lizmap_verify_editing="never")
    assert done.returncode == 0, done.stdout
    assert bool([question for question in server.asked if "/auth/" in question]) == logged_in
    assert not [question for question in server.asked if "/edition/" in question]


def test_the_seconds_of_layers_are_told_in_lines_where_that_is_asked_for(server: LizmapServer, verify: Verify) -> None:
    done = verify(lizmap_verify_seconds=True, lizmap_verify_editing="never", lizmap_verify_user="")
    assert done.returncode == 0, done.stdout
    assert "sample/france: seconds to draw each layer alone, the slowest first." in done.stdout
    assert len(re.findall(r'" +\d+\.\d\d s  [\w ]+ at 1:[\d,]+"', done.stdout)) % 4 == 0 < done.stdout.count(" at 1:")


@pytest.mark.parametrize("required", [pytest.param(False, marks=pytest.mark.long), True])
def test_a_layer_that_cannot_be_edited_is_warned_of_unless_more_is_asked_for(
    server: LizmapServer, verify: Verify, tmp_path: Path, required: bool
) -> None:
    """No container runs here, so PostgreSQL cannot be asked; Lizmap's form fails."""
    server.form_fails = True
    layer = Layer('service=\'poppyfield\' table="public"."observations"', "postgres", "observations")
    (tmp_path / "sample" / "france.qgs").write_text(qgs([layer]))
    edited = {"observations": {"layerId": layer.id, "capabilities": {"createFeature": "True"}}}
    (tmp_path / "sample" / "france.qgs.cfg").write_text(json.dumps({"editionLayers": edited}))
    done = verify(
        lizmap_verify_editing="required" if required else "auto", lizmap_container_name="none", lizmap_verify_user=""
    )
    assert (done.returncode != 0) is required, done.stdout
    said = " ".join((done.stdout + done.stderr).split())
    assert "The form for a new feature of the layer observations does not open: " in said
    assert ("Report what is wrong and what was put back" in said) is required
    assert "Try without a trace whether people can add features" in said


@pytest.fixture
def errors_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file that Lizmap's container has as its log."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").symlink_to(ROOT / "tests" / "doubles" / "docker_exec")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_EXEC_PRINTS", str(tmp_path / "errors.log"))
    return tmp_path / "errors.log"


@pytest.mark.parametrize(
    "editing", ["auto", *(pytest.param(other, marks=pytest.mark.long) for other in ("required", "never"))]
)
def test_what_lizmap_wrote_of_its_failure_is_quoted(
    server: LizmapServer, verify: Verify, errors_log: Path, editing: str
) -> None:
    server.form_fails = True
    errors_log.write_text("2026-11-29 20:00:01\t[402]\tinvalid query (column x)\t/srv/db.php\t9\n\n")
    done = verify(lizmap_verify_editing=editing, lizmap_container_name="its name", lizmap_verify_user="")
    assert (done.returncode != 0) is (editing == "required"), done.stdout
    said = " ".join(done.stdout.split())
    quoted = "Lizmap wrote in its errors.log: 2026-11-29 20:00:01: invalid query (column x)" in said
    asked = errors_log.with_name("errors.log.asked")
    assert quoted is asked.exists() is (editing != "never")
    assert editing == "never" or asked.read_text().startswith("exec --user www-data its name find /tmp/log/errors.log ")


def test_what_failed_is_told_whatever_it_was(verify: Verify, tmp_path: Path) -> None:
    """A task that is in no loop has no item."""
    (tmp_path / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n  - block:\n"
        "    - ansible.builtin.command: {argv: ['false']}\n    rescue:\n"
        "    - ansible.builtin.include_role: {name: lizmap, tasks_from: rollback.yml}\n"
    )
    done = verify()
    assert done.returncode != 0
    assert "non-zero return code" in done.stdout.rpartition("Report what is wrong")[2]
    assert "The map server was not replaced by this run" in done.stdout


@pytest.mark.parametrize("was_so_before", [True, pytest.param(False, marks=pytest.mark.long)])
def test_what_the_container_before_could_not_show_either_is_no_fault_of_a_release(
    server: LizmapServer, verify: Verify, tmp_path: Path, was_so_before: bool
) -> None:
    server.canvas = png(1)
    server.invisible = {"observations", "towns"}
    parts = ["look", "verify"] if was_so_before else ["verify"]
    (tmp_path / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        + "".join(f"    - ansible.builtin.include_role: {{name: lizmap, tasks_from: {part}.yml}}\n" for part in parts)
    )
    done = verify(lizmap_verify_user="")
    said = " ".join(done.stdout.split())
    assert (done.returncode == 0) is was_so_before, said
    assert ("WARNING: sample/france does not work. " in said) is was_so_before
    assert ("The map server was not replaced by this run" in said) is not was_so_before


@pytest.mark.field("A1", "a Pi written by its name only")
def test_a_pi_that_is_written_by_its_name_only_is_asked_by_that_name(verify: Verify) -> None:
    url = "{{ 'http' }}://{{ lizmap_address }}:1"
    done = verify(host="pi-marsh", lizmap_url=url, lizmap_verify_user="")
    assert done.returncode != 0
    assert "http://pi-marsh:1/" in done.stdout
    assert "http://localhost" not in done.stdout


@pytest.mark.field("A2", "two Pis, one of them off")
def test_a_pi_that_is_off_is_told_at_once_and_at_the_end_and_the_other_is_served(
    verify: Verify, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    (tmp_path / "more").write_text("pi-off ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n")
    (tmp_path / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.raw: 'true'\n"
        + "".join(
            f"    - ansible.builtin.import_tasks: {ROOT}/playbooks/tasks/{part}.yml\n" for part in ("verify", "report")
        )
    )
    done = verify("--inventory", str(tmp_path / "more"), lizmap_verify_user="")
    at_once, _, later = done.stdout.partition("Request the published map as a browser would")
    record_property("message", later.partition('"msg": "')[2].partition('"')[0])
    assert done.returncode != 0
    assert "fatal: [pi-off]: UNREACHABLE!" in at_once
    assert "(item=sample/france)" in later and "Not served in this run: pi-off." in later
    assert "Traceback" not in done.stdout + done.stderr and "has no attribute" not in done.stdout + done.stderr


@pytest.mark.field("A8", "the laptop cannot reach the map's address")
@pytest.mark.parametrize("answers", [True, pytest.param(False, marks=pytest.mark.long)])
def test_what_the_laptop_does_not_reach_is_asked_on_the_pi(
    server: LizmapServer, verify: Verify, tmp_path: Path, answers: bool
) -> None:
    """The Pi is this machine, too: the address that the laptop asks is one where nobody listens."""
    port = server.server_address[1] if answers else 1
    done = verify(host="pi-marsh", lizmap_url="http://127.0.0.1:1", lizmap_port=port)
    assert (done.returncode == 0) is answers, done.stdout
    told = "this laptop does not reach http://127.0.0.1:1, so no map was drawn" in done.stdout
    assert told is answers
    assert ("nobody answers there" in done.stdout) is not answers
    assert bool(server.asked) is answers
    assert not (tmp_path / "pictures").exists()


def test_a_server_that_fails_on_the_pi_as_well_is_no_good(server: LizmapServer, verify: Verify) -> None:
    server.php_is_down = True
    done = verify(lizmap_url="http://127.0.0.1:1", lizmap_port=server.server_address[1])
    assert done.returncode != 0
    assert "does not reach" not in done.stdout


def test_check_mode_needs_no_password_and_no_map(server: LizmapServer, verify: Verify, tmp_path: Path) -> None:
    (tmp_path / "password").unlink()
    server.php_is_down = True
    done = verify("--check")
    assert done.returncode == 0, done.stdout
    assert verify().returncode != 0


@pytest.fixture
def secured(server: LizmapServer, run_module: Callable[..., Any], tmp_path: Path) -> dict[str, Any]:
    """Let the server speak HTTPS with a certificate of its own; give the variables for that."""
    paths = {name: str(tmp_path / f"lizmap_tls_{name}") for name in ("certificate", "key")}
    run_module("tls_certificate", **paths, names=["maps.example.org"], owner=os.getuid())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(paths["certificate"], paths["key"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    where = {"lizmap_secrets_folder": str(tmp_path), "lizmap_verify_password_file": str(tmp_path / "password")}
    return {"lizmap_tls": "self_signed", "lizmap_url": url, "lizmap_verify_editing": "never", **where}


def test_a_map_by_https_shows_the_certificate_of_the_pi(verify: Verify, secured: dict[str, Any]) -> None:
    done = verify(**secured, lizmap_server_name="maps.example.org")
    assert done.returncode == 0, done.stdout
    done = verify(**secured, lizmap_server_name="other.example.org")
    assert done.returncode != 0
    assert "not for other.example.org" in done.stdout
