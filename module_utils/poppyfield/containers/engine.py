"""The one adapter to Docker: the only file that imports the Docker SDK or runs a docker command.

`Engine` speaks the Engine API through the SDK (5.0 and later) and runs on a Pi. `DockerCommand` is the command line
with BuildKit, and runs on the builder. Both give what `docker inspect` says as plain dictionaries.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ansible.module_utils.poppyfield.containers.spec import Json
from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.host.printable import printable
from ansible.module_utils.poppyfield.images.build_output import explain_failure

REQUEST_TIMEOUT = 600
FIRST_ENGINE_WITH_ZSTD = 23
FIRST_CLI_WITH_BUILDKIT = (18, 9)
FIRST_CLI_WITHOUT_BUILDKIT = (23, 0)
REMEDIES = {
    "no space left": " Free some space there, then run again.",
    "permission denied": " The user that runs this must be allowed to use it.",
}
LAST_LINES = 15
PART_OF_ARCHIVE = 64 * 1024


class EngineError(Exception):
    """Docker refused or failed, in a sentence for the user."""


class EngineMissingError(EngineError):
    """There is no engine to talk to: not installed, not running, or its Python SDK is missing."""


class EngineGoneError(EngineError):
    """The engine stopped answering in the middle of a run, as when it is restarted."""


@dataclass(frozen=True)
class Result:
    """What a command gave back."""

    code: int
    output: str
    errors: str


Run = Callable[[Sequence[str], Iterable[bytes]], Result]


def run_with_input(argv: Sequence[str], chunks: Iterable[bytes] = ()) -> Result:
    """Run a command and feed its standard input, however long; its output is short."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=output, stderr=errors)
        except OSError as error:
            raise EngineError(f"The command {argv[0]} cannot be run: {error.strerror}.") from error
        if process.stdin is None:
            raise EngineError(f"The command {argv[0]} has no standard input.")
        try:
            for chunk in chunks:
                process.stdin.write(chunk)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended early; its exit code and errors say why
        except BaseException:
            process.kill()
            process.wait()
            raise
        code = process.wait()
        output.seek(0)
        errors.seek(0)
        return Result(code, output.read().decode("utf-8", "replace"), errors.read().decode("utf-8", "replace"))


def last_lines(text: str, count: int = LAST_LINES) -> str:
    """Give the last lines of a text that say something, fit to be shown."""
    return "\n".join([line.rstrip() for line in printable(text).splitlines() if line.strip()][-count:])


def last_bytes(parts: Iterable[bytes], most: int) -> str:
    """Give the last bytes of parts, of which there may be more than fits into the memory; from the start of a line."""
    kept = bytearray()
    cut = False
    for part in parts:
        kept += part
        if len(kept) > 2 * most:
            del kept[:-most]
            cut = True
    cut = cut or len(kept) > most
    text = bytes(kept[-most:]).decode("utf-8", "replace")
    return text.partition("\n")[2] if cut and "\n" in text else text


def first_bytes(parts: Iterable[bytes], most: int) -> str:
    """Give the first bytes of parts; all parts are read, so that whoever writes them is not held up."""
    kept = bytearray()
    for part in parts:
        kept += part[: max(most - len(kept), 0)]
    return bytes(kept).decode("utf-8", "replace")


# The Engine API -----------------------------------------------------------------------------------------------------


class Engine:
    """A Docker Engine, through the SDK's low-level client."""

    def __init__(self, api: Any, errors: Any, run: Run = run_with_input) -> None:
        self._api = api
        self._errors = errors
        self._run = run

    @classmethod
    def connect(cls) -> Engine:
        """Connect to this host's engine."""
        try:
            import docker.utils  # noqa: PLC0415 - a bare host has no SDK yet, and check mode must still work there
            import requests  # noqa: PLC0415
        except ImportError as error:
            raise EngineMissingError(
                "Docker's Python SDK is missing on this host: the docker_engine role installs python3-docker."
            ) from error
        try:
            settings = docker.utils.kwargs_from_env()
            api = docker.APIClient(version="auto", timeout=REQUEST_TIMEOUT, **settings)
            return cls(api, docker.errors)
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise EngineMissingError(f"Docker Engine does not answer on this host: {error}.") from error

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except self._errors.APIError as error:
            raise EngineError(f"Docker could not {doing}: {printable(str(error.explanation or error))}") from error
        except self._errors.DockerException as error:
            raise EngineError(f"Docker could not {doing}: {error}") from error
        except OSError as error:  # requests' exceptions are OSErrors: the engine went away
            raise EngineGoneError(f"Docker Engine stopped answering while it was to {doing}: {error}") from error

    def _inspect(self, what: str, inspect: Callable[[str], Json], name: str) -> Json | None:
        with self._explained(f"inspect the {what} {name}"):
            try:
                return inspect(name)
            except self._errors.NotFound:
                return None

    def container(self, name: str) -> Json | None:
        """Inspect a container by its exact name or id."""
        found = self._inspect("container", self._api.inspect_container, name)
        # Docker also finds a container by the beginning of its id.
        return found if found and name in (found["Name"].lstrip("/"), found["Id"]) else None

    def image(self, reference: str) -> Json | None:
        """Inspect an image by reference or id."""
        return self._inspect("image", self._api.inspect_image, reference)

    def network(self, name: str) -> Json | None:
        """Inspect a network by its exact name."""
        with self._explained(f"list the network {name}"):
            found = [n for n in self._api.networks(names=[name]) if n["Name"] == name]
        return found[0] if found else None

    def running_containers(self) -> list[Json]:
        """List the running containers with their mounts."""
        with self._explained("list the containers"):
            return list(self._api.containers())

    def keeps_memory_limits(self) -> bool:
        """Tell whether the kernel under this engine can limit a container's memory."""
        return bool(self.about().get("MemoryLimit"))

    def create_network(self, body: Json) -> None:
        """Create a network from an Engine API request."""
        with self._explained(f"create the network {body['Name']}"):
            self._api.create_network(
                body["Name"],
                driver=body["Driver"],
                labels=body["Labels"],
                options=body["Options"],
                check_duplicate=body["CheckDuplicate"],
            )

    def remove_network(self, name: str) -> None:
        """Remove a network."""
        # Gone already is what was wanted.
        with self._explained(f"remove the network {name}"), suppress(self._errors.NotFound):
            self._api.remove_network(name)

    def create_container(self, name: str, body: Json) -> str:
        """Create a container from an Engine API request; give its id."""
        with self._explained(f"create the container {name}"):
            return str(self._api.create_container_from_config(body, name)["Id"])

    def start(self, container: str) -> None:
        """Start a container."""
        with self._explained(f"start the container {container}"):
            self._api.start(container)

    def stop(self, container: str, timeout: int) -> None:
        """Stop a container with its own stop signal, and wait that many seconds before it is killed."""
        with self._explained(f"stop the container {container}"):
            self._api.stop(container, timeout=timeout)

    def unpause(self, container: str) -> None:
        """Let the processes of a container go on that somebody had frozen."""
        with self._explained(f"unpause the container {container}"):
            self._api.unpause(container)

    def rename(self, container: str, name: str) -> None:
        """Rename a container."""
        with self._explained(f"rename the container {container} to {name}"):
            self._api.rename(container, name)

    def set_restart_policy(self, container: str, policy: str) -> None:
        """Change a container's restart policy in place."""
        with self._explained(f"set the restart policy of the container {container}"):
            self._api.update_container(container, restart_policy={"Name": policy, "MaximumRetryCount": 0})

    def remove_container(self, container: str) -> None:
        """Remove a container; its volumes stay."""
        # Gone already is what was wanted.
        with self._explained(f"remove the container {container}"), suppress(self._errors.NotFound):
            self._api.remove_container(container, v=False, force=True)

    def last_log_lines(self, container: str) -> str:
        """Give the last lines that a container wrote; empty when Docker cannot tell."""
        try:
            with self._explained(f"read the log of the container {container}"):
                raw = self._api.logs(container, stdout=True, stderr=True, tail=LAST_LINES * 2)
        except EngineError:
            return ""
        return last_lines(bytes(raw).decode("utf-8", "replace"))

    def log_since(self, container: str, since: int) -> str:
        """Give what a container wrote since a time, in seconds since 1970; empty when Docker cannot tell."""
        try:
            with self._explained(f"read the log of the container {container}"):
                raw = self._api.logs(container, stdout=True, stderr=True, since=since)
        except EngineError:
            return ""
        return printable(bytes(raw).decode("utf-8", "replace"))

    def last_of_log(self, container: str, since: int, lines: int, most: int) -> str:
        """Give the last lines that a container wrote since a time, each with its time; the last `most` bytes of them.

        What it gives is as the container wrote it, and may hold anything.
        """
        asked = {"since": since} if since else {}
        with self._explained(f"read the log of the container {container}"):
            parts = self._api.logs(
                container, stdout=True, stderr=True, timestamps=True, tail=lines, stream=True, follow=False, **asked
            )
            return last_bytes(parts, most)

    def run_in(self, container: str, user: str, argv: Sequence[str], most: int) -> Result:
        """Run a command inside a container; give its exit status and the first `most` bytes that it wrote anywhere.

        `user` is empty for the container's own. The rest is thrown away, so that no output fills the memory.
        """
        with self._explained(f"run a command in the container {container}"):
            command = self._api.exec_create(container, list(argv), stdout=True, stderr=True, user=user)["Id"]
            written = first_bytes(self._api.exec_start(command, stream=True), most)
            code = self._api.exec_inspect(command)["ExitCode"]
        if code is None:
            raise EngineGoneError(f"Docker Engine stopped answering while a command ran in the container {container}.")
        return Result(int(code), written, "")

    def execute(self, container: str, user: str, argv: Sequence[str], chunks: Iterable[bytes]) -> Result:
        """Run a command inside a container, its standard input fed from `chunks`; its errors are fit to be shown."""
        result = self._run(["docker", "exec", "-i", "--user", user, container, *argv], chunks)
        return Result(result.code, result.output, printable(result.errors))

    def files_of(self, container: str, path: str) -> Iterator[bytes]:
        """Give what is at a path of a container, in pieces of an archive as tar makes it."""
        with self._explained(f"read {path} in the container {container}"):
            pieces, _ = self._api.get_archive(container, path)
            yield from pieces

    def load_image(self, archive: Path) -> None:
        """Load an image archive, plain or compressed with gzip or zstd."""
        reads_zstd = self._reads_zstd()
        with open_archive(archive, engine_reads_zstd=reads_zstd) as stream, self._explained(f"load {archive}"):
            for message in self._api.load_image(stream):
                if isinstance(message, dict) and message.get("error"):
                    raise EngineError(f"Docker could not load {archive}: {message['error']}")

    def flush(self) -> None:
        """Have all that the engine has written on its disk."""
        root = self.about()["DockerRootDir"]
        result = self._run(["sync", "--file-system", root], ())
        if result.code:
            raise EngineError(f"What Docker has written in {root} could not be flushed: {printable(result.errors)}")

    def wait(self, seconds: float) -> None:
        """Wait until it answers after it was started again."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.about()
                return
            except EngineError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _reads_zstd(self) -> bool:
        return self.release() >= FIRST_ENGINE_WITH_ZSTD

    def release(self) -> int:
        """Give the number that its version begins with; a version without one counts as newer than all."""
        with self._explained("tell its version"):
            version = str(self._api.version()["Version"])
        major = re.match(r"\d+", version)
        return int(major.group()) if major else sys.maxsize

    def images(self, repository: str) -> list[Json]:
        """Inspect every tagged image of a repository."""
        with self._explained(f"list the images of {repository}"):
            listed = self._api.images(name=repository)
        return [found for item in listed if (found := self.image(item["Id"]))]

    def layers_for_loading(self) -> list[list[str]]:
        """Give the layers of each image, lowest first, that an archive to be loaded may lack.

        None where containerd keeps the images (`driver-type` of the engine's status): it wants archives whole.
        """
        if any(name == "driver-type" for name, _ in self.about().get("DriverStatus") or []):
            return []
        found = [self.image(listed["Id"]) for listed in self.all_images()]
        return [layers for image in found if image and (layers := (image.get("RootFS") or {}).get("Layers"))]

    def remove_image(self, reference: str) -> bool:
        """Remove a tag, and the image with its last one; tell whether it went (not while a container uses it)."""
        with self._explained(f"remove the image {reference}"):
            try:
                self._api.remove_image(reference)
            except self._errors.NotFound:
                return False
            except self._errors.APIError as error:
                if error.status_code == 409:  # noqa: PLR2004 - HTTP Conflict
                    return False
                raise
            return True

    def about(self) -> Json:
        """Give what the engine says of itself, with the version of the API that is spoken."""
        with self._explained("tell about itself"):
            return {**self._api.info(), "ApiVersion": str(self._api.api_version)}

    def all_containers(self) -> list[Json]:
        """List every container, running or not."""
        with self._explained("list all containers"):
            return list(self._api.containers(all=True))

    def all_images(self) -> list[Json]:
        """List every image that has a name or is the last of its build."""
        with self._explained("list all images"):
            return list(self._api.images())

    def stats(self, container: str) -> Json | None:
        """Measure what a container uses. The engine looks twice, a second apart; safe to call from several threads."""
        return self._inspect("container", lambda name: dict(self._api.stats(name, stream=False)), container)


@contextmanager
def open_archive(archive: Path, *, engine_reads_zstd: bool) -> Iterator[IO[bytes]]:
    """Open an archive as a stream that the engine can read."""
    if not archive.is_file():
        raise EngineError(f"There is no archive at {archive}.")
    if archive.suffix != ".zst" or engine_reads_zstd:
        with _open(archive) as stream:
            yield cast("IO[bytes]", ArchiveStream(stream, archive))
        return
    if shutil.which("zstd") is None:
        raise EngineError(
            "This host's Docker Engine is too old to read zstd archives: install the package zstd on it, "
            "or make the archive with gzip."
        )
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(["zstd", "-dc", str(archive)], stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            if process.stdout is not None:
                yield process.stdout
        finally:
            _check_unpacking(process, errors, archive)


def _check_unpacking(process: subprocess.Popen[bytes], errors: IO[bytes], archive: Path) -> None:
    """Say so if zstd failed, which is then also why the engine did; it ends by a signal when nobody reads on."""
    if process.stdout is not None:
        process.stdout.close()
    if process.wait() > 0:
        errors.seek(0)
        said = last_lines(errors.read().decode("utf-8", "replace"), 1).removeprefix("zstd: ")
        raise EngineError(f"The archive {archive} is damaged: zstd cannot read it ({said or process.returncode}).")


def _open(archive: Path) -> IO[bytes]:
    try:
        return archive.open("rb")
    except OSError as error:
        raise _unreadable(archive, error) from error


def _unreadable(archive: Path, error: OSError) -> EngineError:
    return EngineError(
        f"The archive {archive} cannot be read: {error.strerror}. The card or disk that holds it may be failing."
    )


class ArchiveStream:
    """An archive that is read for the engine: what its disk refuses is not taken for a refusal of the engine."""

    def __init__(self, stream: IO[bytes], archive: Path) -> None:
        self._stream = stream
        self._archive = archive

    def __getattr__(self, name: str) -> Any:
        """Be as the file is in all else: its length is asked for, too."""
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[bytes]:
        """Give it a part at a time."""
        while part := self.read(PART_OF_ARCHIVE):
            yield part

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        try:
            return self._stream.read(size)
        except OSError as error:
            raise _unreadable(self._archive, error) from error


# The command line with BuildKit -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BuildRequest:
    """One image build."""

    reference: str
    platform: str
    context: Path
    dockerfile: Path
    labels: Mapping[str, str]
    build_args: Mapping[str, str]
    target: str = ""
    no_cache: bool = False


class DockerCommand:
    """A docker command that has BuildKit: as the buildx plug-in, or built in."""

    def __init__(self, path: str, *, buildx: bool) -> None:
        self.path = path
        self.buildx = buildx
        self._engine_platform = ""

    @classmethod
    def find(cls, given: str = "") -> DockerCommand:
        """Find one on PATH, or check the one that is given; not every docker command has BuildKit."""
        candidates = [given] if given else docker_commands(os.environ.get("PATH", os.defpath))
        if not candidates:
            raise EngineMissingError("No docker command was found on the builder's PATH: install Docker there.")
        why = []
        for path in candidates:
            buildx = _plain([path, "buildx", "version"])
            if buildx.code == 0 and "buildx" in buildx.output:
                return cls(path, buildx=True)
            version = _plain([path, "--version"])
            if has_buildkit_inside(version.output):
                return cls(path, buildx=False)
            why.append(f"{path} ({last_lines(version.output, 1) or 'does not run'})")
        raise EngineError(
            f"No docker command with BuildKit was found. Tried {', '.join(why)}. Install the package docker-buildx "
            f"(Debian, Ubuntu) or docker-buildx-plugin (Docker's own repository)."
        )

    def check(self) -> None:
        """Refuse when the engine behind the command does not answer."""
        self.engine_platform()

    def engine_platform(self) -> str:
        """Give the platform that runs without emulation, such as linux/amd64."""
        if self._engine_platform:
            return self._engine_platform
        result = _plain([self.path, "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"])
        if result.code:
            raise EngineMissingError(
                f"The Docker Engine of the builder does not answer: {last_lines(result.errors, 3)}"
            )
        self._engine_platform = result.output.strip()
        return self._engine_platform

    def image(self, reference: str) -> Json | None:
        """Inspect an image by reference or id."""
        found = self._inspect([reference])
        return found[0] if found else None

    def images(self, repository: str) -> list[Json]:
        """Inspect every tagged image of a repository."""
        listed = self._do("list the images", ["image", "ls", "--quiet", "--no-trunc", repository]).output.split()
        return self._inspect(list(dict.fromkeys(listed))) if listed else []

    def _inspect(self, names: Sequence[str]) -> list[Json]:
        """Inspect those of the images that exist."""
        result = _plain([self.path, "image", "inspect", *names])
        errors = result.errors.lower()
        if result.code and "no such image" not in errors and "not found" not in errors:
            raise EngineMissingError(f"docker cannot inspect {', '.join(names)}: {last_lines(result.errors, 3)}")
        found: list[Json] = json.loads(result.output or "[]")
        return found

    def pull(self, reference: str, platform: str) -> None:
        """Pull an image again, for a platform."""
        result = _plain([self.path, "pull", "--quiet", "--platform", platform, reference])
        if result.code:
            raise EngineError(
                f"The image {reference} could not be pulled for {platform}: {last_lines(result.errors, 1)}"
            )

    def build(self, request: BuildRequest, on_line: Callable[[str], None]) -> str:
        """Build an image, giving each line of output as it comes; return the whole output.

        Attestations are off: they make a fully cached build look new.
        """
        argv = [self.path, *(["buildx"] if self.buildx else []), "build", "--progress", "plain"]
        if self.buildx:
            argv += ["--load", "--provenance=false", "--sbom=false"]
        argv += ["--platform", request.platform, "--tag", request.reference, "--file", str(request.dockerfile)]
        for name, value in sorted(request.labels.items()):
            argv += ["--label", f"{name}={value}"]
        for name, value in sorted(request.build_args.items()):
            argv += ["--build-arg", f"{name}={value}"]
        if request.target:
            argv += ["--target", request.target]
        if request.no_cache:
            argv.append("--no-cache")
        lines = []
        with subprocess.Popen(
            [*argv, str(request.context)],
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                lines.append(line)
                on_line(line)
        output = "".join(lines)
        if process.returncode:
            raise EngineError(explain_failure(output, request.platform, self.engine_platform()))
        return output

    def save(self, reference: str, archive: Path) -> None:
        """Save an image into an archive, compressed as its name says; it is there whole or not at all."""
        try:
            with atomic_file.replacing(archive) as target, tempfile.TemporaryFile() as errors:
                saving = subprocess.Popen([self.path, "save", reference], stdout=subprocess.PIPE, stderr=errors)
                packed = _compress(saving, archive.suffix, target, errors)
                if saving.wait() or packed:
                    errors.seek(0)
                    said = last_lines(errors.read().decode("utf-8", "replace"), 3)
                    raise EngineError(f"The image {reference} could not be saved to {archive}: {with_remedy(said)}")
        except OSError as error:
            raise EngineError(f"The archive {archive} cannot be written: {with_remedy(str(error.strerror))}") from error

    def tag_again(self, reference: str) -> None:
        """Give an image the tag that it has, so that the engine notes the time."""
        self._do(f"tag {reference}", ["tag", reference, reference])

    def is_in_use(self, reference: str) -> bool:
        """Tell whether a container, running or not, keeps an image from being removed with its last tag."""
        image = self.image(reference)
        if image is None or len(image.get("RepoTags") or []) > 1:
            return False
        words = ["container", "ls", "--all", "--quiet", "--filter", f"ancestor={image['Id']}"]
        return bool(self._do("list the containers", words).output.strip())

    def remove_image(self, reference: str) -> bool:
        """Remove a tag, and the image with its last one; tell whether it went (not while a container uses it)."""
        return _plain([self.path, "image", "rm", reference]).code == 0

    def _do(self, doing: str, arguments: Sequence[str]) -> Result:
        result = _plain([self.path, *arguments])
        if result.code:
            raise EngineError(f"docker could not {doing}: {last_lines(result.errors, 3)}")
        return result


class MissingDocker(DockerCommand):
    """Stands in, in check mode, for a docker command that an earlier task would have installed: it has no images."""

    def __init__(self) -> None:
        super().__init__("", buildx=False)

    def image(self, reference: str) -> Json | None:
        """Find none."""
        return None

    def images(self, repository: str) -> list[Json]:
        """Find none."""
        return []


def _compress(saving: subprocess.Popen[bytes], suffix: str, target: IO[bytes], errors: IO[bytes]) -> int:
    if saving.stdout is None:
        return 1
    if suffix == ".zst":
        with saving.stdout:
            packing = ["zstd", "-q", "-T0", "-3", "-c"]
            return subprocess.run(packing, stdin=saving.stdout, stdout=target, stderr=errors, check=False).returncode
    # Level 1: the archive goes over a cable once, while every level above costs minutes.
    with saving.stdout, gzip.GzipFile(fileobj=target, mode="wb", compresslevel=1, mtime=0) as packed:
        shutil.copyfileobj(saving.stdout, packed, 1024 * 1024)
    return 0


def with_remedy(reason: str) -> str:
    """Add the remedy, where it is known, to the reason why a file or folder could not be used."""
    remedy = next((remedy for words, remedy in REMEDIES.items() if words in reason.lower()), "")
    return f"{reason.rstrip('.')}.{remedy}"


def _plain(argv: Sequence[str]) -> Result:
    try:
        done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    except OSError as error:
        return Result(127, "", str(error))
    return Result(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def docker_commands(path: str) -> list[str]:
    """Give every docker command on a PATH, in its order."""
    found = [Path(folder) / "docker" for folder in path.split(os.pathsep) if folder]
    return list(dict.fromkeys(str(p) for p in found if p.is_file() and os.access(p, os.X_OK)))


def has_buildkit_inside(version: str) -> bool:
    """Tell from `docker --version` whether the command has BuildKit without the buildx plug-in.

    It was built in from 18.09 until 23.0 made the plug-in necessary.
    """
    match = re.search(r"version (\d+)\.(\d+)", version)
    if not match:
        return False
    return FIRST_CLI_WITH_BUILDKIT <= (int(match[1]), int(match[2])) < FIRST_CLI_WITHOUT_BUILDKIT
