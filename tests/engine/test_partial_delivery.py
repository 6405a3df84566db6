"""delivered_image against a real Docker Engine that has an older version of the image: only what is new is sent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import BuildRequest, DockerCommand
from ansible.module_utils.poppyfield.images import image_names

from tests.engine.private_engine import PrivateEngine

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = f"poppyfield-test-delivery-{os.getpid()}"
DOCKERFILE = "FROM scratch\nCOPY busybox /bin/sh\nCOPY middle /\nCOPY top /\n"
Version = tuple[image_names.ImageName, str, Path]
Make = Callable[..., dict[str, str]]
Deliver = Callable[[dict[str, str]], dict[str, Any]]


@pytest.fixture
def pi(api: Any, tmp_path: Path) -> Iterator[Any]:
    """Return a client of an engine that has no image yet."""
    engine = PrivateEngine(tmp_path / "engine")
    (tmp_path / "engine").mkdir()
    engine.start()
    yield engine.client()
    engine.stop()


@pytest.fixture
def version(tmp_path: Path) -> Iterator[Make]:
    """Build a version of an image whose layers hold these words, and save it; give what the module is to be told."""
    docker = DockerCommand.find()
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy(str(shutil.which("busybox")), context / "busybox")
    (context / "Dockerfile").write_text(DOCKERFILE)
    made = []

    def make(digest: str, *, middle: str, top: str, suffix: str = ".gz") -> dict[str, str]:
        (context / "middle").write_text(middle)
        (context / "top").write_text(top)
        name = image_names.ImageName(REPOSITORY, "native")
        reference, archive = name.reference(digest), tmp_path / name.archive(digest, suffix)
        labels = image_names.labels(digest)
        platform = docker.engine_platform()
        request = BuildRequest(reference, platform, context, context / "Dockerfile", labels, build_args={})
        docker.build(request, lambda _line: None)
        made.append(reference)
        docker.save(reference, archive)
        return {"name": reference, "digest": digest, "archive": str(archive)}

    yield make
    for reference in made:
        docker.remove_image(reference)


@pytest.fixture
def deliver(pi: Any, tmp_path: Path) -> Deliver:
    """Run the module in a playbook, on a host with the other engine."""

    def run(image: dict[str, str]) -> dict[str, Any]:
        engine = {"DOCKER_HOST": f"unix://{tmp_path}/engine/docker.sock"}
        result = tmp_path / "result.json"
        tasks = [
            {"delivered_image": image, "environment": engine, "register": "done"},
            {"ansible.builtin.copy": {"content": "{{ done | to_json }}", "dest": str(result)}},
        ]
        play = [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]
        (tmp_path / "play.yml").write_text(json.dumps(play))
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", "play.yml"],
            cwd=tmp_path,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        given: dict[str, Any] = json.loads(result.read_text())
        return given

    return run


def words(pi: Any, reference: str) -> str:
    """What a container of an image finds in its layers."""
    shell = ["/bin/sh", "-c", "read a < /middle; read b < /top; echo $a $b"]
    host = pi.create_host_config(network_mode="none")
    container = pi.create_container(reference, shell, host_config=host)["Id"]
    pi.start(container)
    pi.wait(container)
    return str(pi.logs(container).decode().strip())


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_an_update_carries_only_the_layers_that_are_new(pi: Any, version: Make, deliver: Deliver, suffix: str) -> None:
    first = version("a" * 64, middle="one\n", top="first\n", suffix=suffix)
    whole = deliver(first)
    assert whole["changed"] and whole["uploaded_bytes"] == Path(first["archive"]).stat().st_size
    second = version("b" * 64, middle="one\n", top="second\n", suffix=suffix)
    update = deliver(second)
    assert update["changed"] and update["uploaded_bytes"] < Path(second["archive"]).stat().st_size / 20
    assert words(pi, second["name"]) == "one second"
    assert words(pi, first["name"]) == "one first"
    assert not deliver(second)["changed"]


def test_layers_that_are_alike_on_top_of_others_are_sent(pi: Any, version: Make, deliver: Deliver) -> None:
    deliver(version("a" * 64, middle="one\n", top="same\n"))
    deliver(version("b" * 64, middle="two\n", top="same\n"))
    other = version("c" * 64, middle="three\n", top="same\n")
    assert deliver(other)["changed"]
    assert words(pi, other["name"]) == "three same"
