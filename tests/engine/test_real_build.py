"""arm_image against this machine's real Docker Engine: a busybox on nothing, in seconds.

Every name that it makes begins with poppyfield-test-, and it removes what it made.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from ansible.module_utils.poppyfield.containers.engine import DockerCommand, EngineError
from ansible.module_utils.testing import patch_module_args

from tests.images.map_server import wait_until
from workshop.emulator.binfmt import is_static
from workshop.laptop import debian_roots

ROOT = Path(__file__).resolve().parents[2]

NAME = f"poppyfield-test-build-{os.getpid()}"
DOCKERFILE = "FROM scratch\nCOPY busybox /bin/sh\nCOPY words /\nRUN echo built > /built\n"
E_MACHINE = 18  # where an ELF header says which processor it is for
S390 = b"\x16\x00"
Build = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def command() -> DockerCommand:
    try:
        found = DockerCommand.find()
        found.check()
    except EngineError as error:
        pytest.skip(f"needs a Docker Engine and a docker command with BuildKit: {error}")
    return found


@pytest.fixture(scope="module")
def docker(command: DockerCommand) -> Callable[..., str]:
    def run(*words: str) -> str:
        return subprocess.run([command.path, *words], capture_output=True, text=True, check=True).stdout.strip()

    return run


@pytest.fixture
def context(tmp_path: Path) -> Path:
    busybox = Path(shutil.which("busybox") or "/none")
    if not busybox.is_file() or not is_static(busybox.read_bytes()):
        pytest.skip("needs a statically linked busybox: install the package busybox-static")
    folder = tmp_path / "context"
    folder.mkdir()
    shutil.copy(busybox, folder / "busybox")
    (folder / "words").write_text("one\n")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


@pytest.fixture
def build(command: DockerCommand, context: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    """Run the module; in the end its images go."""
    spec = importlib.util.spec_from_file_location("real_arm_image", ROOT / "library" / "arm_image.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where dataclasses look for it
    spec.loader.exec_module(module)

    def run(check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {
            "name": NAME,
            "tag_prefix": "native",
            "platform": command.engine_platform(),
            "context": str(context),
            **arguments,
            "_ansible_check_mode": check_mode,
            "_ansible_remote_tmp": os.environ.get("TMPDIR", "/tmp"),
        }
        output = io.StringIO()
        with patch_module_args(given), contextlib.redirect_stdout(output), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(output.getvalue().splitlines()[-1])
        return result

    yield run
    assert "failed" not in run(state="absent")


def tags(docker: Callable[..., str]) -> set[str]:
    return set(docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", NAME).split())


def test_content_decides_whether_it_is_built(
    build: Build, docker: Callable[..., str], context: Path, tmp_path: Path
) -> None:
    given = {"archive_folder": str(tmp_path / "archives"), "compression": "gzip"}
    predicted = build(check_mode=True, **given)
    first = build(**given)
    assert first["changed"] and first["built"]
    assert (predicted["reasons"], predicted["digest"]) == (first["reasons"], first["digest"])
    assert docker("run", "--rm", first["image"], "/bin/sh", "-c", "read a < /words; read b < /built; echo $a $b") == (
        "one built"
    )
    with gzip.open(first["archive"]) as stream, tarfile.open(fileobj=stream) as archive:
        assert first["image"] in json.loads(archive.extractfile("manifest.json").read())[0]["RepoTags"]  # type: ignore[union-attr]
    os.utime(context / "words", (1, 1))
    second = build(**given)
    assert not second["changed"]
    assert second["image_id"] == first["image_id"]
    (context / "words").write_text("two\n")
    third = build(**given)
    assert third["changed"]
    assert tags(docker) == {first["image"], third["image"]}
    (context / "words").write_text("one\n")
    assert not build(**given)["changed"]
    (context / "words").write_text("three\n")
    fourth = build(**given)
    assert fourth["pruned"] == [third["image"], third["archive"]]  # the one that was asked for longest ago


def test_a_step_that_fails_is_named_with_its_last_lines(build: Build, context: Path, tmp_path: Path) -> None:
    (context / "Dockerfile").write_text(f"{DOCKERFILE}RUN echo one; echo two; exit 7\n")
    result = build(log_file=str(tmp_path / "log"))
    assert result["msg"].startswith("The build failed at step [4/4] RUN echo one; echo two; exit 7: ")
    assert result["msg"].endswith("exit code: 7. Its last lines:\none\ntwo")
    assert "two" in (tmp_path / "log").read_text()


def test_a_program_for_another_processor_asks_for_an_emulator(
    build: Build, command: DockerCommand, context: Path
) -> None:
    program = bytearray((context / "busybox").read_bytes())
    program[E_MACHINE : E_MACHINE + 2] = S390
    (context / "busybox").write_bytes(program)
    foreign = "linux/amd64" if command.engine_platform() == "linux/arm64" else "linux/arm64"
    message = build(platform=foreign)["msg"]
    assert f"cannot run programs for {foreign}: no emulator is registered" in message
    assert "a program in it is not for" in build()["msg"]


def test_a_base_that_is_nowhere_is_said(build: Build, context: Path) -> None:
    nowhere = "127.0.0.1:1/poppyfield-test-none:1"
    message = build(base_image=nowhere, pull=True)["msg"]
    assert message.startswith(f"The image {nowhere} could not be pulled for ")
    assert "connection refused" in message
    assert "\n" not in message
    assert f"The base image {nowhere} is not on the builder" in build(base_image=nowhere)["msg"]
    (context / "Dockerfile").write_text(f"FROM {nowhere}\n")
    message = build()["msg"]
    assert message.startswith(f"The build needs the image {nowhere} for ")
    assert message.endswith("let the builder reach its registry.")


def answers(registry: str) -> bool:
    try:
        return requests.get(f"http://{registry}/v2/", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Run Debian's own registry, and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": address},
    }
    (tmp_path / "registry.yml").write_text(json.dumps(settings))
    program = debian_roots.make("docker-registry", "trixie", "registry") / "usr/bin/docker-registry"
    with (tmp_path / "registry.log").open("wb") as log:
        running = subprocess.Popen([program, "serve", tmp_path / "registry.yml"], stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(address), "the registry answers")
        yield address
    finally:
        running.terminate()
        running.wait()


@pytest.mark.long
def test_an_image_of_a_registry_is_taken_as_it_is_and_a_newer_one_when_that_is_asked(
    build: Build, docker: Callable[..., str], context: Path, registry: str
) -> None:
    theirs = f"{registry}/{NAME}:1"
    ours = {"context": str(ROOT / "roles/arm_images/files/from_registry"), "base_image": theirs}

    def push(words: str) -> None:
        (context / "words").write_text(words)
        docker("tag", build()["image"], theirs)
        docker("push", theirs)
        docker("image", "rm", theirs)

    def said(image: str) -> str:
        return docker("run", "--rm", image, "/bin/sh", "-c", "read a < /words; echo $a")

    try:
        push("one\n")
        assert "is not on the builder" in build(**ours)["msg"]
        first = build(**ours, pull=True)
        assert first["changed"] and said(first["image"]) == "one"
        assert not build(**ours, pull=True)["changed"]
        # Without being asked to, nobody asks the registry.
        theirs_before = docker("image", "inspect", "--format", "{{.Id}}", theirs)
        push("two\n")
        docker("tag", theirs_before, theirs)
        assert not build(**ours)["changed"]
        second = build(**ours, pull=True)
        assert second["changed"] and said(second["image"]) == "two"
    finally:
        docker("image", "rm", theirs)


def test_a_base_of_another_platform_is_refused(build: Build, command: DockerCommand, context: Path) -> None:
    foreign = "linux/amd64" if command.engine_platform() == "linux/arm64" else "linux/arm64"
    (context / "Dockerfile").write_text("FROM scratch\nCOPY words /\n")
    base = build(platform=foreign)["image"]
    assert f"{base} is for {foreign}, but the image is to be for" in build(base_image=base)["msg"]


def test_only_what_is_ours_is_replaced_or_removed(build: Build, docker: Callable[..., str], context: Path) -> None:
    ours = build()
    other = f"{NAME}:native-0123456789ab"
    (context / "words").write_text("not ours\n")
    command = DockerCommand.find()
    words = ["buildx", "build", "--load"] if command.buildx else ["build"]
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    subprocess.run(
        [command.path, *words, "--quiet", "--tag", other, str(context)],
        env=environment,
        capture_output=True,
        check=True,
    )
    try:
        gone = build(state="absent")
        assert gone["pruned"] == [ours["image"]]
        assert tags(docker) == {other}
        docker("tag", other, ours["image"])
        (context / "words").write_text("one\n")
        for check_mode in (True, False):
            assert f"{ours['image']} on the builder was not made by Poppyfield" in build(check_mode)["msg"]
            assert not build(check_mode, state="absent")["changed"]
        assert tags(docker) == {other, ours["image"]}
    finally:
        docker("image", "rm", *tags(docker))


def test_an_image_in_use_stays_and_check_mode_knows(build: Build, docker: Callable[..., str]) -> None:
    ours = build()
    docker("create", "--name", NAME, ours["image"], "/bin/sh")
    try:
        predicted, done = build(check_mode=True, state="absent"), build(state="absent")
        assert predicted["msg"] == done["msg"]
        assert f"In use by a container, so not removed: {ours['image']}." in done["msg"]
    finally:
        docker("rm", NAME)
    assert build(check_mode=True, state="absent")["pruned"] == [ours["image"]]


def test_the_steps_are_shown_in_a_playbook(build: Build, context: Path, tmp_path: Path) -> None:
    task = {
        "name": NAME,
        "tag_prefix": "native",
        "platform": build(check_mode=True)["platform"],
        "context": str(context),
        "log_file": str(tmp_path / "log"),
    }
    (tmp_path / "play.yml").write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [{"arm_image": task}]}])
    )
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", "play.yml"],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    shown = [line for line in done.stdout.splitlines() if line.startswith("#")]
    assert any("[3/3] RUN echo built" in line for line in shown)
    assert any(line.endswith("exporting to image") for line in shown)
    assert not any("internal" in line for line in shown)
