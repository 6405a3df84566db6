"""This checkout in a bundle: what is committed, or the files as they are where they differ or there is no git."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.poppyfield.bundle import contents
from ansible.module_utils.poppyfield.bundle.manifest import BundledContent, BundleError
from ansible.module_utils.poppyfield.host import roomy
from ansible.module_utils.poppyfield.runs import who

KEY = "source"
NEEDED = (
    *("ansible.cfg", "LICENSE", "README.md", "requirements.txt", "site.yml", "images", "inventory/example", "library"),
    *("locks", "module_utils", "pi_alone", "playbooks", "plugins", "roles"),
)
"""What runs on a Pi; where there is no git, other files may be anybody's."""
LOCK = "locks/demo.txt"
"""What Ansible needs, by the digests of all files."""
_MADE = ("__pycache__", "node_modules")


def store(bundle: Path, checkout: Path = who.CHECKOUT) -> BundledContent:
    """Put the checkout into a bundle that is made."""
    with roomy.folder("poppyfield-source-") as temporary:
        files = dict(_files(checkout, who.commit(checkout), Path(temporary)))
        return contents.store_tar(bundle, KEY, lambda tar: _add(tar, files))


def _add(tar: tarfile.TarFile, files: dict[str, Path]) -> None:
    for name, path in sorted(files.items()):
        contents.add_file(tar, path, name)


def _files(checkout: Path, commit: str, temporary: Path) -> Iterator[tuple[str, Path]]:
    if not commit:
        names = [path.relative_to(checkout).as_posix() for path in _there(checkout)]
        folder = checkout
    elif commit.endswith("-dirty"):
        # Those with which the images are built, and not what git has of them.
        names, folder = _git(checkout, "ls-files", "-z").decode().strip("\0").split("\0"), checkout
    else:
        archive = temporary / "source.tar"
        archive.write_bytes(_git(checkout, "archive", "HEAD"))
        folder = temporary / "source"
        with tarfile.open(archive) as tar:
            names = [member.name for member in tar if not member.isdir()]
            tar.extractall(folder)  # noqa: S202 - one's own commit
    return ((name, folder / name) for name in names if name and (folder / name).is_file())


def _there(checkout: Path) -> Iterator[Path]:
    for place in NEEDED:
        path = checkout / place
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (one for one in found if not set(_MADE) & set(one.relative_to(checkout).parts))


def _git(checkout: Path, *arguments: str) -> bytes:
    environment = who.environment_of_git()
    command = ["git", "-C", str(checkout), *arguments]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    if done.returncode:
        raise BundleError(f"git {arguments[0]} fails: {done.stderr.decode('utf-8', 'replace').strip()[-300:]}")
    return done.stdout
