"""The compose file on a host, and the compose command that reads it. The thin edge: `compose` says what is in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.poppyfield.containers import compose
from ansible.module_utils.poppyfield.containers.compose import Composed, ComposeError, ComposePlace
from ansible.module_utils.poppyfield.containers.engine import EngineError, Run, last_lines, run_with_input
from ansible.module_utils.poppyfield.containers.plan import PlanError
from ansible.module_utils.poppyfield.containers.spec import COMPOSE_DIGEST, ContainerSpec, Json
from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.host.locked_folder import locked_folder

STANDALONE = "docker-compose"
PLUGIN_FOLDERS = tuple(
    Path(folder) / "docker/cli-plugins"
    for folder in ("/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec")
)
"""Where the command docker looks for its plug-ins."""


class ComposeFile:
    """The file of a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.path = self.folder / compose.FILE

    def read(self) -> Composed:
        """Read it; raise PlanError where it is somebody else's."""
        try:
            return compose.read(self.path.read_text("utf-8", "replace"), str(self.path))
        except FileNotFoundError:
            return Composed()
        except ComposeError as error:
            raise PlanError(str(error)) from error

    def is_as_written(self, composed: Composed) -> bool:
        """Tell whether it is, to the letter, what would be written of this: an earlier release wrote other words."""
        return self.path.exists() and self.path.read_text("utf-8", "replace") == compose.text(composed)

    def names(self, names: Iterable[str]) -> bool:
        """Tell whether one of these services is in it."""
        return not self.read().services.keys().isdisjoint(names)

    def put(self, name: str, told: Json, previous: str = "") -> None:
        """Write a service into it, and the previous container that is kept, if any."""
        with self._locked():
            self._write(compose.with_service(self.read(), name, told, previous))

    def settle(self, name: str) -> None:
        """Write that no previous container of a service is kept any more."""
        if self.path.exists():
            with self._locked():
                self._write(compose.settled(self.read(), name))

    def restore(self, name: str, container: Json) -> None:
        """Write the service as it was when this container was made, which is in its place again."""
        digest = ((container.get("Config") or {}).get("Labels") or {}).get(COMPOSE_DIGEST, "")
        if self.path.exists():
            with self._locked():
                self._write(compose.restored(self.read(), name, digest))

    def forget(self, names: Iterable[str]) -> None:
        """Take services out of it; with the last one the file goes."""
        if not self.path.exists():
            return
        with self._locked():
            left = compose.without(self.read(), names)
            if left.services:
                self._write(left)
                return
            self.path.unlink()
            shutil.rmtree(self.folder / compose.IMAGES, ignore_errors=True)

    def make_context(self) -> None:
        """Make the folder that stands for a build context, which the first generation wants to see."""
        context = self.folder / compose.IMAGES
        context.mkdir(mode=0o755, parents=True, exist_ok=True)
        dockerfile = context / "Dockerfile"
        if not dockerfile.exists() or dockerfile.read_text("utf-8", "replace") != compose.DOCKERFILE:
            atomic_file.write(dockerfile, compose.DOCKERFILE.encode())

    def _write(self, composed: Composed) -> None:
        text = compose.text(composed)
        if not self.path.exists() or self.path.read_text("utf-8", "replace") != text:
            atomic_file.write(self.path, text.encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let nobody else change it between reading and writing: two services may be deployed at once."""
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        with locked_folder(self.folder):
            yield


@dataclass(frozen=True)
class ComposeProject:
    """A folder's compose file together with this host's compose."""

    place: ComposePlace
    command: tuple[str, ...]
    run: Run = run_with_input

    @classmethod
    def find(cls, folder: str) -> ComposeProject | None:
        """Find this host's compose; None where there is none, or no folder is given."""
        if not folder:
            return None
        if not folder.startswith("/"):
            raise PlanError(f'compose_folder must be an absolute path, not "{folder}".')
        if standalone := shutil.which(STANDALONE):
            return cls(ComposePlace(folder, first_generation=is_python(Path(standalone))), (standalone,))
        if any((plugins / STANDALONE).exists() for plugins in PLUGIN_FOLDERS):
            return cls(ComposePlace(folder), ("docker", "compose"))
        return None

    @property
    def file(self) -> ComposeFile:
        """Give the file."""
        return ComposeFile(self.place.folder)

    def known(self, spec: ContainerSpec, image: Json) -> ContainerSpec:
        """Give the specification as it is known to compose; raise PlanError where the file is somebody else's."""
        self.file.read()
        return compose.known(spec, image, self.place)

    def differs(self, spec: ContainerSpec, image: Json, previous: str = "") -> bool:
        """Tell whether the file is not as it would be written."""
        there = self.file.read()
        same = there.services.get(spec.resource) == compose.service(spec, image, self.place)
        return not same or there.waits.get(spec.resource, "") != previous or not self.file.is_as_written(there)

    def write(self, spec: ContainerSpec, image: Json, previous: str = "") -> None:
        """Write the service into the file."""
        self.file.make_context()
        self.file.put(spec.resource, compose.service(spec, image, self.place), previous)

    def labels(self, spec: ContainerSpec, image: Json) -> dict[str, str]:
        """Give the labels for a container that is about to be made; compose is asked for its hash of the service."""
        self.file.make_context()
        told = compose.text(Composed({spec.resource: compose.service(spec, image, self.place)}))
        options = ["--project-name", self.place.project, "--project-directory", self.place.folder]
        # Not its standard input, which the first generation reads twice.
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write(told)
            file.flush()
            asked = self._ask([*options, "--file", file.name, "config", f"--hash={spec.resource}"])
        lines = asked.split("\n")
        (config_hash,) = [line.split()[1] for line in lines if line.split()[:1] == [spec.resource]] or [""]
        if not config_hash:
            raise EngineError(f"{' '.join(self.command)} does not tell a service's hash. Nothing was stopped.")
        version = self._ask(["version", "--short"]).strip()
        return compose.compose_labels(spec, image, self.place, config_hash=config_hash, version=version)

    def _ask(self, arguments: list[str]) -> str:
        done = self.run([*self.command, *arguments], ())
        if done.code:
            raise EngineError(
                f"{' '.join(self.command)} failed, and nothing was stopped: {last_lines(done.errors, 3)} Mend it, or "
                f"set docker_engine_compose to never."
            )
        return done.output


def is_python(program: Path) -> bool:
    """Tell the first generation, which is written in Python."""
    with program.open("rb") as stream:
        first = stream.readline(200)
    return first.startswith(b"#!") and b"python" in first
