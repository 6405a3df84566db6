"""The playbooks by ansible-runner and by ansible-pull, and what the execution environment is built from."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("playbooks", "library", "module_utils", "plugins", "roles")
INVENTORY = {
    # Where ansible-pull runs git.
    "all": {"hosts": {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}},
    "pis": {
        "hosts": {
            "pi-orchard": {
                "ansible_connection": "local",
                "ansible_become": False,
                "ansible_python_interpreter": sys.executable,
                "lizmap_web_client": "none",
                "lizmap_projects": [],
            }
        }
    },
}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Return a Pi's own inventory."""
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "hosts.yml").write_text(yaml.safe_dump(INVENTORY))
    return tmp_path / "inventory"


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def environment() -> dict[str, str]:
    """Give one in which Ansible's programs are found, as in an environment that was activated."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {**own, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_ansible_runner_plays_a_stage_and_keeps_its_events(tmp_path: Path, inventory: Path) -> None:
    (tmp_path / "runner").mkdir()
    command = [program("ansible-runner"), "run", str(tmp_path / "runner"), "--project-dir", str(ROOT), "--ident", "one"]
    asked = ["--inventory", str(inventory), "--playbook", "playbooks/preflight.yml", "--cmdline=--check"]
    done = subprocess.run(
        [*command, *asked], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )
    kept = tmp_path / "runner" / "artifacts" / "one"
    found = [json.loads(path.read_text()) for path in (kept / "job_events").glob("*.json")]
    events = sorted(found, key=lambda event: int(event["counter"]))
    ended = {event["event_data"]["task"]: event["event"] for event in events if event["event"].startswith("runner_on_")}
    assert ended.get("Check the inventory") == "runner_on_ok", done.stdout + done.stderr
    assert ended.get("Inspect the Pi") == "runner_on_ok", done.stdout + done.stderr
    # What is asked of a Pi at last, this machine may not be.
    assert (kept / "rc").read_text() == str(done.returncode)
    assert (done.returncode == 0) == (ended.get("Stop if a Pi does not meet its requirements") != "runner_on_failed")


def test_ansible_pull_plays_a_stage_on_the_pi_itself(tmp_path: Path, inventory: Path) -> None:
    origin = tmp_path / "origin"
    for name in PARTS:
        shutil.copytree(ROOT / name, origin / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "images/lizmap/web-client", origin / "images/lizmap/web-client")
    shutil.copy(ROOT / "ansible.cfg", origin)
    git = ["git", "-C", str(origin), "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.hooksPath="]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    pull = [program("ansible-pull"), "--url", str(origin), "--directory", str(tmp_path / "checkout")]
    asked = ["--inventory", str(inventory), "--limit", "pi-orchard", "--check", "playbooks/preflight.yml"]
    done = subprocess.run(
        [*pull, *asked], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )
    told = re.findall(r"^TASK \[(.*)\] \*", done.stdout, re.MULTILINE)
    assert "Inspect the Pi" in told, done.stdout + done.stderr
    assert "ok: [pi-orchard]" in done.stdout.partition("TASK [Inspect the Pi]")[2].partition("TASK")[0], done.stdout
    assert done.returncode == 0 or "Nothing was changed." in done.stdout


def test_the_execution_environment_holds_what_is_locked_by_digests(tmp_path: Path) -> None:
    command = [program("ansible-builder"), "create", "--file", "execution-environment.yml"]
    to = ["--context", str(tmp_path), "--output-filename", "Containerfile"]
    subprocess.run([*command, *to], cwd=ROOT, env=environment(), capture_output=True, check=True)
    built = (tmp_path / "Containerfile").read_text()
    lock = (tmp_path / "_build" / "locks" / "runner.txt").read_text()
    assert lock == (ROOT / "locks" / "runner.txt").read_text()
    step = built.index("RUN python3 -m pip install --no-cache-dir --require-hashes --requirement /locks/runner.txt")
    assert built.index("COPY _build/locks/runner.txt /locks/runner.txt") < step
    # In what is kept, nothing of Python's comes by another way but ansible-builder's own first process.
    kept = [stage for stage in re.split("^FROM ", built, flags=re.MULTILINE) if " AS builder\n" not in stage]
    installed = re.findall(r"pip install --no-cache-dir (.*)", "".join(kept))
    assert installed == ["--require-hashes --requirement /locks/runner.txt", "'dumb-init==1.2.5'"]
    names = [name.lower() for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)]
    wanted = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert {*map(str.lower, wanted), "ansible-runner"} <= set(names)
    packages = re.split(r"\n(?=\S)", lock.strip())
    assert all("--hash=sha256:" in package for package in packages if "==" in package)
    system = (tmp_path / "_build" / "bindep.txt").read_text()
    assert {"git-core", "openssh-clients", "openssl"} <= {line.split()[0] for line in system.splitlines()}
