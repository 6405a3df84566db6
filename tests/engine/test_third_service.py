"""A third service, a server of static files, is new files and one entry in the table of services.

It is added to a copy of the project, built, deployed on the real engine by its module and its role, read from and
looked at, all of it through what the table says. What the copy then differs in is noted in build/reports/house.json.
(The pages for people are made or written too: docs/modules.md by `make docs`, and a line for each variable in
inventory/example.)
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host.architectures import DEBIAN_NAMES
from docker import errors

from tests.engine import tiny_image, worlds
from tests.reports import add_to_report

ROOT = Path(__file__).resolve().parents[2]
SERVICE = Path(__file__).parent / "third_service"
TABLE = "module_utils/poppyfield/containers/services.py"
BEFORE_THE_END_OF_THE_TABLE = "    LIZMAP,\n"
BASE = f"{worlds.PREFIX}base:1"
CONTAINER = "websig-files"
TEXT = "Poppies are red.\n"
NEW_FOLDERS = ("images", "library", "roles")


def product(root: Path) -> dict[str, bytes]:
    """Give every file of a tree by its path, but for what runs leave behind."""
    found = {}
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        if path.is_file() and not {".ansible", ".git", "__pycache__", "build"} & set(parts):
            found["/".join(parts)] = path.read_bytes()
    return found


def ansible_playbook(project: Path, play: Path, inventory: Path, *options: str) -> str:
    """Run a play in a project, as an operator does; give what it prints."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(play), *options]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(project / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two copies of the project, one as it is, and one with the third service."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    before, after = (tmp_path_factory.mktemp(name) for name in ("before", "after"))
    for name in filter(None, names):
        if (ROOT / name).is_file():
            for folder in (before, after):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
    for new in NEW_FOLDERS:
        shutil.copytree(SERVICE / new, after / new, dirs_exist_ok=True)
    table = (after / TABLE).read_text(encoding="utf-8")
    assert table.count(BEFORE_THE_END_OF_THE_TABLE) == 1
    entry = (SERVICE / "entry.txt").read_text(encoding="utf-8")
    (after / TABLE).write_text(table.replace(BEFORE_THE_END_OF_THE_TABLE, BEFORE_THE_END_OF_THE_TABLE + entry))
    return before, after


@pytest.fixture
def engine(api: Any) -> Iterator[Any]:
    """Return the real engine with the base image, and remove what the service made of it."""
    networks = {network["Name"] for network in api.networks()}
    if CONTAINER in {name.lstrip("/") for container in api.containers(all=True) for name in container["Names"]}:
        pytest.skip(f"there is a container {CONTAINER} on this machine already")
    tiny_image.build(BASE, target="server", labels={worlds.LABEL: "true"})
    yield api
    for name in (CONTAINER, f"{CONTAINER}-previous"):
        with suppress(errors.NotFound):
            api.remove_container(name, force=True)
    for network in api.networks(names=["poppyfield"]):
        if network["Name"] not in networks:
            api.remove_network(network["Id"])
    for image in api.images(filters={"label": worlds.LABEL}):
        for reference in image["RepoTags"] or []:
            if reference == BASE or reference.startswith("poppyfield/files:pf-engine-test-"):
                api.remove_image(reference)


@pytest.fixture
def inventory(tmp_path: Path, api: Any) -> Path:
    """Return an inventory of this machine as a Pi, with a folder and a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "poem.txt").write_text(TEXT)
    tmp_path.chmod(0o755)
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "architecture": DEBIAN_NAMES[api.version()["Arch"]],
        "files_folder": str(tmp_path / "files"),
        "files_port": port,
        "files_bind_address": "127.0.0.1",
        "told": str(tmp_path / "told.json"),
    }
    (tmp_path / "hosts.json").write_text(json.dumps({"pis": {"hosts": {"pi": variables}}}))
    return tmp_path / "hosts.json"


def test_a_third_service_is_new_files_and_one_entry(trees: tuple[Path, Path]) -> None:
    before, after = map(product, trees)
    added = sorted(set(after) - set(before))
    changed = [name for name in before if after.get(name) != before[name]]
    assert changed == [TABLE]
    assert {name.split("/")[0] for name in added} == set(NEW_FOLDERS)
    entry = set(after[TABLE].splitlines()) - set(before[TABLE].splitlines())
    lines = sum(after[name].count(b"\n") for name in added) + (SERVICE / "entry.txt").read_text().count("\n")
    assert entry
    assert len(after["library/files_container.py"].splitlines()) <= 130
    add_to_report(third_service_files_changed=len(changed), third_service_lines=lines)


def test_it_is_deployed_and_looked_at_through_the_table(
    trees: tuple[Path, Path], engine: Any, inventory: Path, tmp_path: Path
) -> None:
    project = trees[1]
    given = {"chosen": "files", "project": str(project), "base_image": BASE}
    options = ("--extra-vars", json.dumps(given))
    # Not from its folder: Ansible would find roles and modules beside it.
    play = Path(shutil.copy(SERVICE / "play.yml", tmp_path))
    ansible_playbook(project, play, inventory, *options)

    told = json.loads((tmp_path / "told.json").read_text())
    port = json.loads(inventory.read_text())["pis"]["hosts"]["pi"]["files_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/poem.txt", timeout=10) as answer:
        assert answer.read().decode() == TEXT

    (container,) = [found for found in told["stack"]["containers"] if found["name"] == CONTAINER]
    assert (container["resource"], container["health"]) == ("files", "healthy")
    assert container["image"] == told["image"]
    assert any(line.startswith(f"{CONTAINER}: healthy") for line in told["stack"]["summary"])
    assert {"port": port, "container": CONTAINER, "variable": "files_port"} in told["ports"]

    again = ansible_playbook(project, play, inventory, *options)
    assert "TASK [files : Deploy the file server]" in again
    changed = again.partition("TASK [files : Deploy the file server]")[2].partition("TASK [")[0]
    assert "ok: [pi]" in changed


def test_it_is_built_and_delivered_with_the_others(trees: tuple[Path, Path], inventory: Path, tmp_path: Path) -> None:
    play = tmp_path / "build.yml"
    tasks = [
        {"ansible.builtin.set_fact": {"poppyfield_pi": {"architecture": "arm64"}, "cacheable": True}},
        {
            "ansible.builtin.include_role": {"name": "arm_images"},
            "vars": {"arm_images_applications": {"lizmap": {}}, "arm_images_cache_folder": str(tmp_path / "cache")},
        },
        {"ansible.builtin.debug": {"msg": "delivers {{ arm_images_built.files.image }}"}},
    ]
    play.write_text(json.dumps([{"hosts": "pis", "gather_facts": False, "tasks": tasks}]))
    said = ansible_playbook(trees[1], play, inventory, "--check")
    assert "delivers poppyfield/files:trixie-arm64-" in said


def test_the_products_own_checks_pass_with_it(trees: tuple[Path, Path]) -> None:
    tests = ("test_tables.py", "test_module_documentation.py", "test_validate_modules.py")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *(f"tests/unit/{name}" for name in tests),
    ]
    done = subprocess.run(command, cwd=trees[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
