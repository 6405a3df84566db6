#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: an image for one platform, built from a context by content hash."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: arm_image
short_description: Build a container image for one platform when its content changed
version_added: "0.1.0"
description:
  - Builds an image for one platform from a build context, such as C(linux/arm64) on a laptop.
  - A digest of everything that decides the image is kept as the label C(fr.poppyfield.digest), and its first digits
    end the tag. It covers the path, executable bit, link target and content of every file, the Dockerfile, build
    arguments, target, platform and base image. Dates do not count. The image is built only when no image with that
    digest exists.
  - Needs no Python package, only a docker command with BuildKit. The first one on C(PATH) that has it is taken.
  - File modes in the context are made 0644, or 0755 for what is executable, and empty folders are left out.
  - Only images with a label of this module are its own. It never removes another one, nor takes its tag.
  - A Dockerfile that has C(RUN) steps should declare C(ARG QEMU_CPU), which is how O(emulated_cpu) reaches them.
options:
  name:
    description: Repository of the image, without a tag.
    type: str
    required: true
  tag_prefix:
    description: First part of the tag. The first twelve digits of the digest follow after a hyphen.
    type: str
    required: true
  platform:
    description: Platform that the image is for.
    type: str
    required: true
    choices: [linux/arm64, linux/arm/v7, linux/amd64]
  context:
    description:
      - Folder with the build context, or the URL of a git repository as C(docker build) takes it, such as
        C(https://example.org/images.git#main:postgis), which is the folder C(postgis) of the branch C(main).
        Its C(.dockerignore) is honoured.
      - After the C(#) comes a branch, a tag or a whole commit id; without one it is the repository's default branch.
        A URL begins with C(ssh://), C(git://), C(file://) or C(git@), or with C(https://) and ends in C(.git).
      - One commit is brought with the command C(git) into a temporary folder at each run, in check mode too.
        Its submodules come along. What it holds decides whether the image changed, not the commit's id.
      - A user name and password in the URL appear in no result, log, or argument of a command. Better leave them to
        git's credential helpers or to an SSH key.
    type: str
    required: true
  dockerfile:
    description: Path of the Dockerfile inside O(context).
    type: str
    default: Dockerfile
  additions:
    description:
      - Files and folders that the build needs beside those in O(context).
      - A dictionary from the path in the build context to the path on the builder. C(.dockerignore) does not hide
        them.
    type: dict
    default: {}
  target:
    description: Build stage to stop at.
    type: str
    default: ""
  build_args:
    description: Build arguments. Never for secrets, since an image keeps them in its history.
    type: dict
    default: {}
  labels:
    description:
      - Labels that describe the image, such as C(org.opencontainers.image.revision). They do not count in the digest,
        so an image that exists keeps those that it was built with.
      - The module itself sets C(org.opencontainers.image.title), C(version) and C(base.name), which may be given
        otherwise here, and the labels that begin with C(fr.poppyfield.), which may not.
    type: dict
    default: {}
  base_image:
    description:
      - Image that is passed as the build argument C(BASE_IMAGE). It counts in the digest by its own digest if this
        module made it, otherwise by its layers and by what it hands on, such as its environment.
    type: str
    default: ""
  pull:
    description:
      - Whether to pull O(base_image) for the platform from its registry each time before the digest is made, so
        that a newer one counts. Without it the base image that the builder has is taken.
      - In check mode nothing is pulled, and the registry is not asked. The base image that the builder has then
        stands in for the one that the pull would bring. Without O(base_image) it means nothing.
    type: bool
    default: false
  state:
    description:
      - With V(present) the image exists on the builder's engine, and its archive if O(archive_folder) is given.
      - With V(absent) no version of this image, and none of its archives in O(archive_folder), exists.
    type: str
    choices: [present, absent]
    default: present
  force:
    description: Build even if the image exists, and without the build cache.
    type: bool
    default: false
  archive_folder:
    description:
      - Folder in which to keep an archive of the image, for hosts that cannot reach the builder's engine.
      - What C(python -m image_contents sbom) wrote beside an archive goes with it, and when it is made again.
    type: path
  compression:
    description: How the archive is compressed. With V(auto) it is zstd where the builder has it, otherwise gzip.
    type: str
    choices: [auto, zstd, gzip]
    default: auto
  keep:
    description:
      - How many versions and archives of this image to keep, the present one included.
      - After a build the others that this module made are removed. Those stay that were asked for last, and what
        another fleet asked for last, see O(used_by).
    type: int
    default: 2
  used_by:
    description:
      - Who asks, such as a checkout and its inventory, in any words. Each version that somebody asked for last is kept,
        however many others are built meanwhile; after 90 days without a word from them it is not.
      - With V(state=absent) it means nothing.
    type: str
    default: ""
  uses_folder:
    description: Folder in which is noted who asked for which version last. It is made where it is missing.
    type: path
  log_file:
    description:
      - File that the output of the build is written to while it runs.
      - When the builder is the controller itself (a local connection), the steps of the build are shown as they
        begin and end, and with C(-v) all of its output. On another builder the file has to be looked at there.
    type: path
  emulated_cpu:
    description:
      - Processor that QEMU emulates in a build for a foreign platform. Nothing of it stays in the image.
      - Without it C(cortex-a72), that of a Pi 4, for C(linux/arm64), and QEMU's own choice for others.
    type: str
  docker_command:
    description: Path of the docker command to use instead of the first one on C(PATH) that has BuildKit.
    type: path
attributes:
  check_mode:
    support: full
    description: >-
      Builds and pulls nothing and says what it would do. Additions and a base image that an earlier task would have
      made may be missing; the digest is then a stand-in.
  diff_mode:
    support: full
    description: Shows the reference and digest before and after.
  idempotent:
    support: full
    description: With O(force=true) it builds every time.
  action:
    support: full
    description: The action plugin of the same name shows the steps of the build. All else works without it.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Build the database image for the Pis
  arm_image:
    name: poppyfield/postgis
    tag_prefix: trixie-arm64
    platform: linux/arm64
    context: images/postgis
    base_image: "{{ base.image }}"
    archive_folder: build/images
    used_by: "{{ playbook_dir }} {{ inventory_dir }}"
    uses_folder: build/uses
    log_file: build/logs/postgis.log
  register: postgis

- name: Build the base image from a root file system that was made earlier
  arm_image:
    name: poppyfield/base
    tag_prefix: trixie-arm64
    platform: linux/arm64
    context: images/base
    additions:
      rootfs.tar: build/rootfs/trixie-arm64.tar

- name: Build from a tag of a git repository, on the newest Debian that the registry has
  arm_image:
    name: example/tiles
    tag_prefix: trixie-arm64
    platform: linux/arm64
    context: https://example.org/images.git#v2:tiles
    base_image: debian:trixie
    pull: true

- name: Remove every version of an image
  arm_image:
    name: poppyfield/postgis
    tag_prefix: trixie-arm64
    platform: linux/arm64
    context: images/postgis
    state: absent
"""

RETURN = r"""
image:
  description: Full reference of the image.
  returned: always
  type: str
  sample: poppyfield/postgis:trixie-arm64-3f1c0a9be2d4
digest:
  description: SHA-256 of everything that decides the image.
  returned: when O(state=present)
  type: str
undetermined:
  description: >-
    True in check mode when something that counts does not exist yet or was not pulled, so that the digest is a
    stand-in.
  returned: when O(state=present)
  type: bool
image_id:
  description: Id of the image in the builder's engine, empty when it was not built in check mode.
  returned: when O(state=present)
  type: str
bytes:
  description: Size of the image, uncompressed.
  returned: when O(state=present)
  type: int
platform:
  description: Platform of the image.
  returned: when O(state=present)
  type: str
architecture:
  description: What C(uname -m) says in a container of the image.
  returned: when O(state=present)
  type: str
  sample: aarch64
archive:
  description: Path of the archive, empty without O(archive_folder).
  returned: when O(state=present)
  type: str
archive_bytes:
  description: Size of the archive.
  returned: when O(state=present)
  type: int
built:
  description: Whether the image was built now.
  returned: when O(state=present)
  type: bool
pruned:
  description: References and archives of old versions that were removed.
  returned: always
  type: list
  elements: str
seconds:
  description: How long it took.
  returned: always
  type: float
reasons:
  description: Why something changed.
  returned: always
  type: list
  elements: str
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils import basic
from ansible.module_utils.poppyfield.containers.engine import (
    BuildRequest,
    DockerCommand,
    EngineError,
    MissingDocker,
    with_remedy,
)
from ansible.module_utils.poppyfield.containers.spec import Json
from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.images import context_digest, git_command, git_context, image_names, image_uses
from ansible.module_utils.poppyfield.images.context_digest import ContextError

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "tag_prefix": {"type": "str", "required": True},
    "platform": {"type": "str", "required": True, "choices": list(image_names.ARCHITECTURES)},
    "context": {"type": "str", "required": True},
    "dockerfile": {"type": "str", "default": "Dockerfile"},
    "additions": {"type": "dict", "default": {}},
    "target": {"type": "str", "default": ""},
    "build_args": {"type": "dict", "default": {}},
    "labels": {"type": "dict", "default": {}},
    "base_image": {"type": "str", "default": ""},
    "pull": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "force": {"type": "bool", "default": False},
    "archive_folder": {"type": "path"},
    "compression": {"type": "str", "choices": ["auto", "zstd", "gzip"], "default": "auto"},
    "keep": {"type": "int", "default": 2},
    "used_by": {"type": "str", "default": ""},
    "uses_folder": {"type": "path"},
    "log_file": {"type": "path"},
    "emulated_cpu": {"type": "str"},
    "docker_command": {"type": "path"},
}


class AnsibleModule(basic.AnsibleModule):  # type: ignore[misc]  # ansible-core has no types
    """Ansible's own, but it keeps the credentials in a git URL out of every result, that of wrong options included."""

    def fail_json(self, msg: str, **result: Any) -> None:
        """Fail, without them among the options that Ansible adds to a result."""
        self.params["context"] = git_context.without_credentials(str(self.params.get("context", "")))
        super().fail_json(msg, **result)


@dataclass(frozen=True)
class Inputs:
    """What an image is made of, and the digest of it; `missing` are paths in the context that do not exist yet."""

    sources: dict[str, Path]
    entries: list[context_digest.ContextEntry]
    dockerfile: Path
    digest: str
    missing: list[str]


class ArmImage:
    """One call of the module."""

    def __init__(self, params: dict[str, Any], docker: DockerCommand, *, check_mode: bool) -> None:
        self.params = params
        self.docker = docker
        self.check_mode = check_mode
        self.name = image_names.ImageName(params["name"], params["tag_prefix"])
        self.platform: str = params["platform"]
        self.folder = Path(params["archive_folder"]) if params["archive_folder"] else None
        self.uses = Path(params["uses_folder"]) if params["uses_folder"] else None
        self.reasons: list[str] = []
        self.pruned: list[str] = []

    def absent(self) -> dict[str, Any]:
        """Remove every version of this image and its archives."""
        references = image_names.to_prune(self.name, self.docker.images(self.name.repository), keep=0)
        archives = image_names.archives_to_prune(self.name, self._archive_files(), keep=0)
        gone = self._prune(references, archives)
        if self.uses and not self.check_mode:
            image_uses.forget(self.uses, self.name, time.time())
        self.reasons = [f"{what}: present -> absent" for what in gone]
        stuck = [r for r in references if r not in gone]
        if stuck:
            raise EngineError(
                f"In use by a container, so not removed: {', '.join(stuck)}. Remove that container first."
            )
        return {
            "changed": bool(gone),
            "image": f"{self.name.repository}:{self.name.tag_prefix}-*",
            "diff": {"before": {"images": references, "archives": archives}, "after": {"images": [], "archives": []}},
        }

    def present(self) -> dict[str, Any]:
        """Build the image, and write its archive, if they are missing."""
        base, base_missing = self._base()
        with self._context() as context:
            inputs = self._read(context, base)
            reference = self.name.reference(inputs.digest)
            before = self._made_before(reference, inputs.digest)
            must_build = before is None or self.params["force"]
            if must_build:
                self.reasons.append(f"force: {reference}" if before else f"image {reference}: absent -> present")
                if not self.check_mode:
                    self._build(reference, inputs)
            elif not self.check_mode:
                # Whichever version was used last is the newest to _prune_old, for another fleet of this builder, too.
                self.docker.tag_again(reference)
        archive = self._archive(reference, inputs.digest, fresh=must_build)
        if self.uses and not self.check_mode:
            image_uses.note(self.uses, self.name, self.params["used_by"], reference)
        stands_in = base_missing or bool(inputs.missing)
        if must_build and not stands_in:
            self._prune_old(reference, archive)
        image = self.docker.image(reference) if must_build else before
        return {
            "changed": bool(self.reasons),
            "image": reference,
            "digest": inputs.digest,
            "undetermined": stands_in or (self.check_mode and self._pulls()),
            "image_id": (image or {}).get("Id", ""),
            "bytes": int((image or {}).get("Size") or 0),
            "platform": self.platform,
            "architecture": image_names.ARCHITECTURES[self.platform],
            "archive": str(archive or ""),
            "archive_bytes": archive.stat().st_size if archive and archive.exists() else 0,
            "built": must_build and not self.check_mode,
            "diff": {
                "before": {"image": reference if before else None, "id": (before or {}).get("Id")},
                "after": {"image": reference, "id": (image or {}).get("Id") if not must_build or image else None},
            },
        }

    def _pulls(self) -> bool:
        return bool(self.params["pull"] and self.params["base_image"])

    def _base(self) -> tuple[str, bool]:
        """Give what the base image counts as in the digest, and whether it is missing, which only check mode allows."""
        reference = self.params["base_image"]
        if not reference:
            return "", False
        if self._pulls() and not self.check_mode:
            self.docker.pull(reference, self.platform)
        image = self.docker.image(reference)
        if image is None:
            if self.check_mode:
                return reference, True
            raise EngineError(
                f"The base image {reference} is not on the builder: build or load it there first, or set pull=true to "
                f"take it from its registry."
            )
        if image_names.is_platform(image, self.platform):
            return image_names.base_digest(image), False
        if self._pulls() and self.check_mode:
            return reference, True
        raise EngineError(
            f"The base image {reference} is for {image.get('Os')}/{image.get('Architecture')}, but the image is to be "
            f"for {self.platform}: build or load it for that platform, or set pull=true to take it from its registry."
        )

    @contextlib.contextmanager
    def _context(self) -> Iterator[Path]:
        git = git_context.parse(self.params["context"])
        if git is None:
            # As Ansible reads an option that is a path. Path.expanduser would fail on the name of no user.
            yield Path(os.path.expanduser(os.path.expandvars(self.params["context"])))  # noqa: PTH111
            return
        with tempfile.TemporaryDirectory(prefix="poppyfield-context-") as folder:
            yield git_command.check_out(git, Path(folder))

    def _read(self, context: Path, base: str) -> Inputs:
        sources = context_digest.scan(context, self.params["additions"], missing_allowed=self.check_mode)
        entries, missing = context_digest.read_entries(sources, missing_allowed=self.check_mode)
        dockerfile = context / self.params["dockerfile"]
        if not dockerfile.is_file():
            shown = git_context.without_credentials(self.params["context"])
            raise ContextError(f"There is no Dockerfile at {self.params['dockerfile']} in the build context {shown}.")
        facts = {
            "dockerfile": context_digest.file_digest(dockerfile),
            "build_args": self._build_args(),
            "target": self.params["target"],
            "platform": self.platform,
            "base_image": base,
        }
        return Inputs(sources, entries, dockerfile, context_digest.digest(entries, facts), missing)

    def _build_args(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.params["build_args"].items()}

    def _labels(self, reference: str, digest: str) -> dict[str, str]:
        given = {name: str(value) for name, value in self.params["labels"].items()}
        described: dict[str, str] = image_names.oci_labels(reference, self.params["base_image"], given)
        return {**described, **image_names.labels(digest)}

    def _made_before(self, reference: str, digest: str) -> Json | None:
        """Give the image as this module made it before; refuse to take the tag of an image that is not ours."""
        found = self.docker.image(reference)
        if found is None:
            return None
        if not image_names.digest_of(found):
            raise EngineError(
                f"The image {reference} on the builder was not made by Poppyfield, so it is left alone. Give it "
                f"another tag or remove it, then run again."
            )
        return (
            found if image_names.digest_of(found) == digest and image_names.is_platform(found, self.platform) else None
        )

    def _build(self, reference: str, inputs: Inputs) -> None:
        arguments = self._build_args()
        if self.params["base_image"]:
            arguments["BASE_IMAGE"] = self.params["base_image"]
        cpu = self.params["emulated_cpu"] or image_names.EMULATED_CPUS.get(self.platform)
        if cpu and self.docker.engine_platform() != self.platform:
            arguments["QEMU_CPU"] = cpu
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
        # Beside the archives, so that a large addition is most likely on the same file system and costs no copy.
        with tempfile.TemporaryDirectory(prefix=".context-", dir=self.folder) as staged, self._log() as write_to_log:
            self._stage(inputs, Path(staged))
            self.docker.build(
                BuildRequest(
                    reference=reference,
                    platform=self.platform,
                    context=Path(staged) / "context",
                    dockerfile=Path(staged) / "Dockerfile",
                    labels=self._labels(reference, inputs.digest),
                    build_args=arguments,
                    target=self.params["target"],
                    no_cache=self.params["force"],
                ),
                write_to_log,
            )
        built = self.docker.image(reference)
        if built is None or image_names.digest_of(built) != inputs.digest:
            raise EngineError(f"docker said that it built {reference}, but the engine does not have it.")
        if not image_names.is_platform(built, self.platform):
            raise EngineError(
                f"{reference} came out for {built.get('Os')}/{built.get('Architecture')} instead of {self.platform}: "
                f"its base must be for that platform."
            )

    def _stage(self, inputs: Inputs, folder: Path) -> None:
        context = folder / "context"
        try:
            context.mkdir()
            context.chmod(0o755)  # COPY takes the modes of folders along, whatever the umask of whoever builds
            context_digest.stage(inputs.sources, inputs.entries, context)
            shutil.copyfile(inputs.dockerfile, folder / "Dockerfile")
        except OSError as error:
            raise ContextError(
                f"The build context cannot be laid out in {folder.parent}: {with_remedy(str(error.strerror))}"
            ) from error

    @contextlib.contextmanager
    def _log(self) -> Iterator[Callable[[str], None]]:
        path = Path(self.params["log_file"] or os.devnull)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered, so that whoever follows the file sees each line at once.
        with path.open("wb", buffering=0) as stream:

            def write(line: str) -> None:
                try:
                    stream.write(line.encode())
                except OSError as error:
                    raise EngineError(
                        f"The build log {path} cannot be written: {with_remedy(str(error.strerror))}"
                    ) from error

            yield write

    def _archive(self, reference: str, digest: str, *, fresh: bool) -> Path | None:
        if self.folder is None:
            return None
        chosen = self.params["compression"]
        if chosen == "zstd" and not shutil.which("zstd"):
            raise EngineError("The builder has no command zstd: install the package zstd, or set compression=gzip.")
        suffixes = {"zstd": [".zst"], "gzip": [".gz"]}.get(chosen, [".zst", ".gz"])
        paths: list[Path] = [self.folder / self.name.archive(digest, suffix) for suffix in suffixes]
        existing: Path | None = next((path for path in paths if path.exists()), None)
        if existing and not fresh:
            if not self.check_mode:
                with contextlib.suppress(OSError):  # somebody else's, or just removed by another run
                    os.utime(existing)
            return existing
        path = paths[0] if chosen != "auto" or shutil.which("zstd") else paths[-1]
        self.reasons.append(f"archive {path.name}: {'old' if existing else 'absent'} -> present")
        if not self.check_mode:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.with_name(image_names.sbom(path.name)).unlink(missing_ok=True)
            self.docker.save(reference, path)
        return path

    def _prune_old(self, reference: str, archive: Path | None) -> None:
        existing = self.docker.images(self.name.repository)
        current = archive.name if archive else ""
        keep = self.params["keep"]
        used = self._used_by_others()
        references = image_names.to_prune(self.name, existing, keep, reference, used)
        self._prune(references, image_names.archives_to_prune(self.name, self._archive_files(), keep, current, used))
        if self.folder and not self.check_mode:
            atomic_file.sweep(self.folder, self.name.owns_archive)

    def _used_by_others(self) -> set[str]:
        if self.uses is None:
            return set()
        now = time.time()
        if not self.check_mode:
            image_uses.forget(self.uses, self.name, now - image_uses.SECONDS_REMEMBERED)
        used: set[str] = image_uses.used(self.uses, self.name, self.params["used_by"], now)
        return used

    def _prune(self, references: list[str], archives: list[str]) -> list[str]:
        self.pruned += [reference for reference in references if self._goes(reference)]
        for path in [self.folder / archive for archive in archives if self.folder]:
            if not self.check_mode:
                path.unlink(missing_ok=True)
                path.with_name(image_names.sbom(path.name)).unlink(missing_ok=True)
            self.pruned.append(str(path))
        return self.pruned

    def _goes(self, reference: str) -> bool:
        return not self.docker.is_in_use(reference) if self.check_mode else self.docker.remove_image(reference)

    def _archive_files(self) -> list[tuple[float, str]]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return [(path.stat().st_mtime, path.name) for path in self.folder.iterdir() if path.is_file()]


def main() -> None:
    """Run the module."""
    # Ansible would write the options to the system's log, and with them the credentials of a git URL.
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True, no_log=True)
    began = time.monotonic()
    params = dict(module.params)
    module.params["context"] = git_context.without_credentials(params["context"])
    if params["keep"] < 1:
        module.fail_json(msg="keep must be at least 1: the present version is one of those kept.")
    missing = ""
    try:
        docker = DockerCommand.find(params["docker_command"] or "")
        docker.check()
    except EngineError as error:
        if not module.check_mode:
            module.fail_json(msg=str(error))
        missing = str(error)
        docker = MissingDocker()
    image = ArmImage(params, docker, check_mode=module.check_mode)
    try:
        result = image.absent() if params["state"] == "absent" else image.present()
    except (ContextError, EngineError) as error:
        module.fail_json(msg=str(error), log_file=params["log_file"] or "")
    except OSError as error:
        module.fail_json(msg=f"{error.filename} on the builder cannot be used: {with_remedy(str(error.strerror))}")
    result["pruned"] = image.pruned
    result["reasons"] = [*([missing] if missing and result["changed"] else []), *image.reasons]
    result["seconds"] = round(time.monotonic() - began, 1)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
