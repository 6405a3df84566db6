"""What the demo shows for its work: the map as the laptop sees it, and the images and containers on the Pi."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.containers.services import LIZMAP, SERVICES
from ansible.module_utils.poppyfield.host.printable import printable

from workshop.emulator.login import SUDO

PROJECT = "sample/france"


@dataclass(frozen=True)
class Login:
    """How to log in to the Pi, and the file of the password that sudo asks for there."""

    ssh: Sequence[str]
    password: Path


class ResultError(Exception):
    """The Pi or its map did not answer as it should; the message says what was asked."""


def read_run(path: Path) -> dict[str, Any]:
    """Return the outcome of a playbook run, as the callback run_report wrote it."""
    run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return run


def describe_map(root: Path, state: Path, url: str, web_client: str) -> dict[str, Any]:
    """Ask the published map for capabilities, a picture and a feature, with the module that verify.yml uses."""
    arguments = {"url": url, "web_client": web_client, "project": PROJECT, "picture": str(state / "map.png")}
    command = [
        str(Path(sys.executable).parent / "ansible"),
        "localhost",
        "--module-name=published_map",
        f"--args={json.dumps(arguments)}",
    ]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
        "ANSIBLE_INVENTORY": str(root / "inventory" / "demo"),
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ResultError(f"The map at {url} does not draw:\n{printable(done.stdout + done.stderr)}")
    answer = returned(done.stdout)
    return {name: answer[name] for name in ("map_url", "capabilities", "getmap", "feature_count")}


def returned(shown: str) -> dict[str, Any]:
    """Give what a module returned, from what the command `ansible` shows of one host: "NAME | SUCCESS => {...}"."""
    answer: dict[str, Any] = json.JSONDecoder().raw_decode(shown.partition(" => ")[2])[0]
    return answer


def describe_images(pi: Login) -> dict[str, Any]:
    """Ask the Pi for its containers' architecture and images."""
    web_client = on_pi(
        pi, ["docker", "inspect", "--format", '{{index .Config.Labels "fr.poppyfield.web-client"}}', LIZMAP.container]
    )
    return {
        "container_architecture": on_pi(pi, ["docker", "exec", LIZMAP.container, "uname", "-m"]),
        "images": [image_of(pi, service.container) for service in SERVICES],
        "lizmap_web_client": web_client,
    }


def image_of(pi: Login, container: str) -> dict[str, Any]:
    """Return name, platform and unpacked size in bytes of a container's image."""
    name = on_pi(pi, ["docker", "inspect", "--format", "{{.Config.Image}}", container])
    image = json.loads(on_pi(pi, ["docker", "image", "inspect", "--format", "{{json .}}", name]))
    return {"name": name, "platform": f"{image['Os']}/{image['Architecture']}", "bytes": image["Size"]}


def on_pi(pi: Login, command: Sequence[str]) -> str:
    """Run a command as root on the Pi and return what it prints."""
    line = [*pi.ssh, shlex.join([*SUDO, *command])]
    given = pi.password.read_text(encoding="utf-8") + "\n"
    done = subprocess.run(line, input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ResultError(f"On the Pi, {shlex.join(command)} failed: {printable(done.stderr).strip()}")
    return printable(done.stdout).strip()
