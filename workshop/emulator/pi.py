"""The emulated Raspberry Pi: `python3 workshop/emulator/pi.py COMMAND`, where COMMAND is build, start,
stop, kill, restart, power-on, status, list, destroy, plug-in, pull-out or forget.

A container of Docker on this machine, with systemd and sshd, or with `--kind machine` a whole machine; see README.md.
What the container consists of is decided in options.py; here it is done. whole_machine.py does it for the machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import plugins.project_imports  # noqa: F401 - for the next imports

# isort: split
import docker
from ansible.module_utils.poppyfield.containers.engine import BuildRequest, DockerCommand, EngineError
from docker.models.containers import Container
from docker.models.volumes import Volume

from workshop.emulator import binfmt, login, options, ports, rootfs
from workshop.emulator.options import EmulatorError
from workshop.emulator.whole_machine import WholeMachines

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TOOLS_FILES = tuple(path for path in sorted(rootfs.TOOLS.iterdir()) if path.is_file())
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
SHADOW = "/etc/shadow"
MACHINE = HERE / "machine"
PLATFORM = "linux/arm64"
MEMORY_OF_KIND = {"container": "4g", "machine": "2g"}
BOOT_SECONDS = 600
STOP_SECONDS = 90
POLL_SECONDS = 1.0
JOURNAL_LINES = 30
SETTLED = {"running", "degraded"}


class Emulator:
    """The commands, on this machine's Docker Engine."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client

    def build(self) -> str:
        """Return the image, built if it is not there."""
        emulated = bool(binfmt.machines_to_serve(platform.machine()))
        return self._build_stage(image_name(platform.machine()), "pi-under-qemu" if emulated else "pi")

    def build_machine(self) -> str:
        """Return the image that a whole machine's card is made of, built if it is not there: all of it is arm64."""
        image = machine_image_name(platform.machine())
        if self._is_there(image):
            return image
        pi = self._build_stage(f"{image_name(platform.machine())}-arm64-only", "pi")
        command = DockerCommand.find()
        builder = command.engine_platform()
        build_args = {"PI_IMAGE": pi, "TOOLS_IMAGE": self._build_tools(command, builder), "TOOLS_PLATFORM": builder}
        labels = {options.IMAGE_LABEL: "true"}
        say(f"building {image}")
        request = BuildRequest(
            image, PLATFORM, MACHINE, MACHINE / "Dockerfile", labels, {**build_args, **emulated_cpu()}
        )
        command.build(request, lambda line: say(line.rstrip()))
        return image

    def export_machine(self, target: Path) -> None:
        """Write the file system that a whole machine's card is made of."""
        container = self.client.containers.create(self.build_machine(), platform=PLATFORM)
        try:
            with target.open("wb") as file:
                for chunk in container.export():
                    file.write(cast(bytes, chunk))
        finally:
            container.remove()

    def machine_key(self) -> str:
        """Name all that a whole machine's card is made of."""
        return machine_image_name(platform.machine()).rpartition(":")[2]

    def _is_there(self, image: str) -> bool:
        there = bool(self.client.images.list(name=image))
        if there:
            say(f"{image} is there")
        return there

    def _build_stage(self, image: str, stage: str) -> str:
        if self._is_there(image):
            return image
        binfmt_ready()
        command = DockerCommand.find()
        builder = command.engine_platform()
        tools = self._build_tools(command, builder)
        with build_context() as context:
            say(f"building {image}")
            request = BuildRequest(
                reference=image,
                platform=PLATFORM,
                context=context,
                dockerfile=context / "Dockerfile",
                labels={options.IMAGE_LABEL: "true"},
                build_args={"TOOLS_IMAGE": tools, "TOOLS_PLATFORM": builder, **emulated_cpu()},
                target=stage,
            )
            command.build(request, lambda line: say(line.rstrip()))
        return image

    def _build_tools(self, command: DockerCommand, builder: str) -> str:
        """Build the image of the tools that install the Pi's packages; Docker's cache keeps it."""
        tarball = rootfs.tools(rootfs.DEBIAN_ARCHITECTURES[platform.machine()])
        image = f"{options.TOOLS_REPOSITORY}:{tarball.stem[:12]}"
        say(f"building {image}")
        # In the cache's own file system, so that the big file need not be copied.
        with tempfile.TemporaryDirectory(dir=rootfs.cache_folder(), prefix="tools-") as name:
            context = Path(name)
            for path in TOOLS_FILES:
                shutil.copy(path, context)
            os.link(tarball, context / "rootfs.tar")
            labels = {options.IMAGE_LABEL: "true"}
            request = BuildRequest(image, builder, context, context / "Dockerfile", labels, {})
            command.build(request, lambda line: say(line.rstrip()))
        return image

    def start(self, pi: options.Pi, timeout: float) -> None:
        """Start the Pi, made if it does not exist, and wait until it can be logged in to."""
        container = self._find(pi.name)
        if container is None:
            container = self._create(pi)
        else:
            options.check_reuse(pi, existing(container))
            if container.attrs["Config"]["Image"] != image_name(platform.machine()):
                say(f"{pi.name} keeps the older image that it was made from; a new one: destroy --name {pi.name}")
        self._power_on(container, timeout)

    def power_on(self, name: str, timeout: float) -> None:
        """Start a Pi that exists, after `stop` or `kill`."""
        self._power_on(self._get(name), timeout)

    def stop(self, name: str) -> None:
        """Shut the Pi down cleanly. One that does not exist is stopped already."""
        container = self._find(name)
        if container is not None and container.status == "running":
            container.stop(timeout=STOP_SECONDS)
        say(f"{name} is stopped")

    def kill(self, name: str) -> None:
        """Cut the Pi's power: every process in it ends at once."""
        container = self._get(name)
        if container.status == "running":
            container.kill("SIGKILL")
            container.wait(timeout=STOP_SECONDS)
        say(f"{name} has no power")

    def restart(self, name: str, timeout: float) -> None:
        """Shut the Pi down cleanly and start it again."""
        self._get(name)
        self.stop(name)
        self.power_on(name, timeout)

    def destroy(self, name: str) -> None:
        """Remove the Pi and its volumes, nothing else."""
        container = self._find(name)
        if container is not None:
            container.remove(force=True)
        for volume in self._volumes(name):
            volume.remove()
        say(f"{name} is removed")

    def status(self, name: str) -> str:
        """Say in a word how the Pi is."""
        container = self._find(name)
        return "absent" if container is None else container.status

    def names(self) -> list[str]:
        """Name every Pi."""
        found = self.client.containers.list(all=True, ignore_removed=True, filters={"label": options.LABEL})
        return sorted(str(container.name) for container in found)

    def forget(self) -> None:
        """Remove the images and the cached root file systems that `build` made."""
        for image in self.client.images.list(filters={"label": f"{options.IMAGE_LABEL}=true"}):
            for tag in image.tags:
                self.client.images.remove(tag)
        shutil.rmtree(rootfs.cache_folder(), ignore_errors=True)

    def _find(self, name: str) -> Container | None:
        try:
            container = self.client.containers.get(name)
        except docker.errors.NotFound:
            return None
        options.check_ownership(name, container.labels)
        return container

    def _get(self, name: str) -> Container:
        container = self._find(name)
        if container is None:
            raise EmulatorError(f"There is no emulated Pi named {name}: make it with `start --name {name} ...`")
        return container

    def _volumes(self, name: str) -> list[Volume]:
        found = {volume.name: volume for volume in self.client.volumes.list()}
        volumes = [found[volume_name] for volume_name in options.volume_names(name) if volume_name in found]
        for volume in volumes:
            options.check_ownership(name, volume.attrs.get("Labels") or {}, f"volume ({volume.name})")
        return volumes

    def _create(self, pi: options.Pi) -> Container:
        image = self.build()
        ports.check_ports(options.by_option(pi.ports))
        if not Path(options.FUSE).exists():
            raise EmulatorError(f"This machine has no {options.FUSE}, for the Pi's boot partition: sudo modprobe fuse")
        existing_volumes = {volume.name for volume in self._volumes(pi.name)}
        for volume_name in options.volume_names(pi.name):
            if volume_name not in existing_volumes:
                self.client.volumes.create(volume_name, labels=options.labels(pi))
        container = self.client.containers.create(**options.container_options(pi, image, bounding_set()))
        say(f"made {pi.name}")
        return container

    def _power_on(self, container: Container, timeout: float) -> None:
        pi = existing(container)
        files = login.StateFiles(Path(pi.state_dir))
        login.make_key(files.key)
        authorized = {login.AUTHORIZED_KEYS: (public_half(files.key), 0o600, login.USER_ID)}
        container.put_archive("/", login.archive(authorized))
        if not pi.running:
            binfmt_ready()
            ports.check_ports(options.by_option(pi.ports))
            give_host_key(container)
            give_password(container, files)
            container.start()
        port = pi.ports["22/tcp"]
        host_key = read_file(container, f"{HOST_KEY}.pub").decode()
        files.known_hosts.write_text(options.known_hosts_line(port, host_key), encoding="utf-8")
        wait_for_login(container, files, port, timeout)
        report_failed_units(container)
        say(f"{container.name} answers: {' '.join(login.command(files, port))}")


def image_name(host: str) -> str:
    """Return the image's name and tag, which stands for all that the image is made of."""
    parts = [host]
    if machines := binfmt.machines_to_serve(host):
        parts += [*machines, *rootfs.native_command(rootfs.DEBIAN_ARCHITECTURES[host])]
    for path in (*context_files(), *TOOLS_FILES):
        parts += [str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")]
    return f"{options.IMAGE_REPOSITORY}:{rootfs.SUITE}-arm64-{rootfs.key(*parts)[:12]}"


def machine_image_name(host: str) -> str:
    """Return the name and tag of the image that a whole machine's card is made of, by all that decides the card."""
    sources = [*(path for path in MACHINE.rglob("*") if path.is_file()), HERE / "card.py", HERE / "machine_options.py"]
    parts = [path.read_text(encoding="utf-8") for path in sorted(sources)]
    return f"{options.MACHINE_REPOSITORY}:{rootfs.SUITE}-arm64-{rootfs.key(image_name(host), *parts)[:12]}"


def emulated_cpu() -> dict[str, str]:
    """Return the argument of a build that chooses the processor that QEMU emulates in it."""
    return {"QEMU_CPU": "cortex-a72"} if binfmt.machines_to_serve(platform.machine()) else {}


def context_files() -> list[Path]:
    """Return the files of this folder that go into the image, in a stable order."""
    single = [HERE / "Dockerfile", rootfs.NATIVE_BINARIES]
    trees = [path for folder in ("root", "qemu") for path in (HERE / folder).rglob("*") if path.is_file()]
    return sorted([*single, *trees])


@contextmanager
def build_context() -> Iterator[Path]:
    """Make a build context of this folder's files and the cached native programs, for the time of a build."""
    host = platform.machine()
    tarballs = {}
    if binfmt.machines_to_serve(host):
        tarballs["native.tar"] = rootfs.native(rootfs.DEBIAN_ARCHITECTURES[host])
    # In the cache's own file system, so that the big files need not be copied.
    with tempfile.TemporaryDirectory(dir=rootfs.cache_folder(), prefix="context-") as name:
        context = Path(name)
        for path in context_files():
            copy = context / path.relative_to(HERE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        for link, tarball in tarballs.items():
            os.link(tarball, context / link)
        yield context


def existing(container: Container) -> options.Existing:
    """Return what matters of a container that exists."""
    bindings = container.attrs["HostConfig"]["PortBindings"] or {}
    ports = {inside: int(outside[0]["HostPort"]) for inside, outside in bindings.items()}
    state_dir = container.labels[options.STATE_LABEL]
    return options.Existing(running=container.status == "running", ports=ports, state_dir=state_dir)


def bounding_set() -> int:
    """Return the capabilities that this machine can give at most."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return int(found.group(1), 16) if found else -1


def binfmt_ready() -> None:
    """Refuse to go on where ARM programs would not run."""
    if any(binfmt.serving(machine) is None for machine in binfmt.machines_needed_by_pi(platform.machine())):
        raise EmulatorError(
            "This machine can't run ARM programs yet: sudo python3 workshop/emulator/binfmt.py register"
        )


def give_host_key(container: Container) -> None:
    """Give the Pi a host key of its own, before its first boot; its private half is nowhere else."""
    if read_file(container, f"{HOST_KEY}.pub"):
        return
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        login.make_key(key)
        files = {HOST_KEY: (key.read_bytes(), 0o600, 0), f"{HOST_KEY}.pub": (public_half(key), 0o644, 0)}
        container.put_archive("/", login.archive(files))


def give_password(container: Container, files: login.StateFiles) -> None:
    """Give the Pi's user the password that the state folder holds; the Pi knows its hash only."""
    login.make_password(files.password)
    shadow = login.with_password(read_file(container, SHADOW).decode(), login.password_hash(files.password))
    container.put_archive("/", login.archive({SHADOW: (shadow.encode(), 0o640, 0)}))


def public_half(key: Path) -> bytes:
    """Return the public half of a key pair."""
    return key.with_suffix(".pub").read_bytes()


def read_file(container: Container, path: str) -> bytes:
    """Return a file of the container, started or not; nothing if it is not there."""
    try:
        chunks, _ = container.get_archive(path)
    except docker.errors.NotFound:
        return b""
    return login.first_file(b"".join(chunks))


def wait_for_login(container: Container, files: login.StateFiles, port: int, timeout: float) -> None:
    """Wait until systemd has settled and a person can log in and use sudo."""
    deadline = time.monotonic() + timeout
    wait_until(lambda: booting(container), deadline, container, "did not boot")
    wait_until(lambda: login.attempt(files, port), deadline, container, "can't be logged in to")


def wait_until(unready: Callable[[], str | None], deadline: float, container: Container, what: str) -> None:
    """Ask until there is no reason left to wait; at the deadline, give the last reason and the journal."""
    while reason := unready():
        if time.monotonic() > deadline:
            raise EmulatorError(f"{container.name} {what} in time: {reason}\n{last_words(container)}")
        time.sleep(POLL_SECONDS)


def booting(container: Container) -> str | None:
    """Say why systemd has not settled yet, None if it has."""
    container.reload()
    if container.status != "running":
        raise EmulatorError(f"{container.name} ended while it booted:\n{last_words(container)}")
    state = run_in(container, "systemctl", "is-system-running")
    return None if state in SETTLED else f"systemd says: {state or 'nothing'}"


def report_failed_units(container: Container) -> None:
    """Name the units that failed: the Pi may well do without them, but a person should know."""
    failed = run_in(container, "systemctl", "--failed", "--plain", "--no-legend", "--no-pager")
    if failed:
        say(f"units of {container.name} that failed:\n{failed}")


def last_words(container: Container) -> str:
    """Return the last lines of the Pi's journal, or of its console if it does not run."""
    container.reload()
    if container.status == "running":
        return run_in(container, "journalctl", "--boot", "--no-pager", f"--lines={JOURNAL_LINES}")
    return bytes(container.logs(tail=JOURNAL_LINES, stream=False)).decode(errors="replace")


def run_in(container: Container, *command: str) -> str:
    """Return what a command in the container prints."""
    output = cast(bytes, container.exec_run(list(command)).output)
    return output.decode(errors="replace").strip()


def say(text: str) -> None:
    """Tell what has been done."""
    print(text, flush=True)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="pi", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the image, if it is not there")
    commands.add_parser("forget", help="remove the images and the cache")
    commands.add_parser("list", help="every Pi of this kind, and how it is")
    for name in ("start", "stop", "kill", "restart", "power-on", "status", "destroy", "plug-in", "pull-out"):
        command = commands.add_parser(name)
        command.add_argument("--name", required=True)
        if name in {"start", "restart", "power-on"}:
            command.add_argument("--timeout", type=float, default=BOOT_SECONDS, help="seconds (%(default)s)")
        if name == "power-on":
            command.add_argument("--unsettled", action="store_true", help="a machine: come back at the log-in")
        if name == "plug-in":
            command.add_argument("--image", type=Path, required=True, help="the file that is the stick of a machine")
        if name == "kill":
            command.add_argument("--seed", type=int, help="a machine: of what was not flushed, some is kept (none)")
        if name == "start":
            command.add_argument("--ssh-port", type=int, default=2222, help="on 127.0.0.1 (%(default)s)")
            command.add_argument("--map-port", type=int, default=8081, help="on 127.0.0.1 (%(default)s)")
            command.add_argument("--https-port", type=int, help="on 127.0.0.1 (not published unless given)")
            command.add_argument(
                "--port", type=more_port, action="append", default=[], metavar="INSIDE=OUTSIDE", help="one more"
            )
            command.add_argument("--state-dir", type=Path, required=True, help="for the key and known_hosts")
            command.add_argument("--memory", help="at most (4g; a machine: 2g)")
            command.add_argument("--device", action="append", default=[], help="of this machine, as its USB stick")
    for command in commands.choices.values():
        command.add_argument("--kind", choices=sorted(MEMORY_OF_KIND), default="container", help="(%(default)s)")
    return parser.parse_args()


def more_port(text: str) -> tuple[str, int]:
    """Read a port of the Pi and the one of this machine at which it is published; ValueError where it is none."""
    inside, _, outside = text.partition("=")
    return f"{int(inside)}/tcp", int(outside)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    images = Emulator(docker.from_env(timeout=2 * STOP_SECONDS))
    emulator = WholeMachines(images) if arguments.kind == "machine" else images
    match arguments.command:
        case "build":
            emulator.build()
        case "forget":
            emulator.forget()
        case "list":
            for name in emulator.names():
                say(f"{name}\t{emulator.status(name)}")
        case "start":
            pi = options.Pi(
                name=arguments.name,
                ssh_port=arguments.ssh_port,
                map_port=arguments.map_port,
                state_dir=str(arguments.state_dir.resolve()),
                memory=arguments.memory or MEMORY_OF_KIND[arguments.kind],
                https_port=arguments.https_port,
                devices=tuple(arguments.device),
                more_ports=dict(arguments.port),
            )
            emulator.start(pi, arguments.timeout)
        case _:
            run_on(emulator, arguments)


def run_on(emulator: Emulator | WholeMachines, arguments: argparse.Namespace) -> None:
    """Run a command on a Pi that exists."""
    name = arguments.name
    match arguments.command:
        case "power-on" if isinstance(emulator, WholeMachines):
            emulator.power_on(name, arguments.timeout, settled=not arguments.unsettled)
        case "power-on":
            emulator.power_on(name, arguments.timeout)
        case "restart":
            emulator.restart(name, arguments.timeout)
        case "status":
            say(emulator.status(name))
        case "stop":
            emulator.stop(name)
        case "destroy":
            emulator.destroy(name)
        case "kill" if isinstance(emulator, WholeMachines):
            emulator.kill(name, arguments.seed)
        case "kill":
            emulator.kill(name)
        case "plug-in" if isinstance(emulator, WholeMachines):
            emulator.plug_in(name, arguments.image)
        case "pull-out" if isinstance(emulator, WholeMachines):
            emulator.pull_out(name)
        case other:
            raise EmulatorError(f"{other} is for a whole machine: add --kind machine")


def main() -> int:
    """Run the command line; return the exit status."""
    try:
        run(parse_arguments())
    except (EmulatorError, EngineError, docker.errors.DockerException, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
