"""The one adapter to git: it brings a build context from a repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ansible.module_utils.poppyfield.images.context_digest import ContextError
from ansible.module_utils.poppyfield.images.git_context import GitContext

# Whoever runs git from a hook hands these down; they would make it work on that repository instead.
REPOSITORY_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
# How git and its servers say that they do not have what was asked for.
UNKNOWN_REF = ("couldn't find remote ref", "not our ref", "unadvertised object")


def check_out(git: GitContext, folder: Path) -> Path:
    """Bring the files of one commit, and of its submodules, into an empty folder; give the build context in it.

    Only that commit is fetched, and nothing of git stays beside the files, so that they alone are the context.
    Raises ContextError.
    """
    program = shutil.which("git")
    if program is None:
        raise ContextError(
            f"The build context {git} needs the command git, which the builder does not have: install the package git."
        )
    tree = folder / "tree"
    command = [program, "-C", str(tree), *_with_credentials(git, folder)]
    tree.mkdir()
    _run(git, [program, "init", "--quiet", str(tree)])
    _run(git, [*command, "fetch", "--quiet", "--depth", "1", "--", git.url, git.ref])
    _run(git, [*command, "checkout", "--quiet", "--detach", "FETCH_HEAD"])
    if (tree / ".gitmodules").exists():
        _run(git, [*command, "submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1"])
    _remove_repositories(tree)
    context = tree / git.subfolder
    if not context.is_dir() or not context.resolve().is_relative_to(tree.resolve()):
        raise ContextError(f"There is no folder {git.subfolder} in {git}.")
    return context


def _with_credentials(git: GitContext, folder: Path) -> list[str]:
    """Give git's options for taking the credentials from a file: in arguments every user of the machine sees them."""
    if not git.credentials:
        return []
    store = folder / "credentials"
    store.touch(mode=0o600)
    store.write_text(f"{git.credentials}\n", encoding="utf-8")
    # The user's own helpers are left out: they may know another password, and would keep this one.
    return ["-c", "credential.helper=", "-c", f"credential.helper=store --file={store}"]


def _run(git: GitContext, argv: Sequence[str]) -> None:
    own = {name: value for name, value in os.environ.items() if name not in REPOSITORY_VARIABLES}
    # Nobody is there to be asked for a password, and messages are understood below.
    environment = {**own, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    done = subprocess.run(
        argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode == 0:
        return
    if any(words in done.stderr for words in UNKNOWN_REF):
        raise ContextError(f"There is no {git.ref} in {git.url}: name a branch, a tag or a whole commit id.")
    # What follows is advice that fits any failure.
    said = done.stderr.partition("\nPlease make sure")[0].split("\n")
    raise ContextError(f"git could not bring the build context {git}: {'; '.join(line for line in said if line)}")


def _remove_repositories(tree: Path) -> None:
    for found in list(tree.rglob(".git")):
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink()
