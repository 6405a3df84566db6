"""The image of the tests with a real engine: built from nothing but busybox."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ansible.module_utils.poppyfield.containers.engine import BuildRequest, DockerCommand

from workshop.emulator.binfmt import is_static

CONTEXT = Path(__file__).parent / "image"


def build(reference: str, *, target: str, labels: Mapping[str, str], version: str = "") -> None:
    """Build the image with this machine's docker command, in the engine that DOCKER_HOST names."""
    busybox = Path(shutil.which("busybox") or "/none")
    assert busybox.is_file() and is_static(busybox.read_bytes()), "a static busybox is missing: see busybox-static"
    docker = DockerCommand.find()
    with tempfile.TemporaryDirectory(prefix="pf-engine-test-") as folder:
        context = Path(folder) / "context"
        shutil.copytree(CONTEXT, context)
        shutil.copy(busybox, context / "busybox")
        request = BuildRequest(
            reference=reference,
            platform=docker.engine_platform(),
            context=context,
            dockerfile=context / "Dockerfile",
            labels=labels,
            build_args={"VERSION": version} if version else {},
            target=target,
        )
        docker.build(request, lambda _line: None)
