"""A program on a host that is made of what modules use as well, and of nothing beside it: a folder that Python runs."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Iterator
from importlib.abc import InspectLoader
from pathlib import Path
from types import ModuleType
from typing import Any, cast

OURS = "ansible.module_utils.poppyfield"
BEFORE_OURS = ("ansible", "ansible.module_utils")
"""Packages that a Pi does not have: they hold nothing there but ours."""
MAIN_TEXT = """# Managed by Poppyfield.
import sys

from {module} import main

sys.exit(main())
"""


def files(modules: Iterable[str]) -> dict[str, str]:
    """Give by their paths the files that these modules, and what they import of ours, need in a folder of their own."""
    found = {f"{name.replace('.', '/')}/__init__.py": "" for name in BEFORE_OURS}
    wanted = list(modules)
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        # A name that is imported may be a module or what a module holds.
        if name in seen or (spec := _spec(name)) is None:
            continue
        seen.add(name)
        text = cast("InspectLoader", spec.loader).get_source(name) or ""
        path = name.replace(".", "/")
        found[f"{path}/__init__.py" if spec.submodule_search_locations is not None else f"{path}.py"] = text
        wanted += [name.rpartition(".")[0], *_imported(text)]
    return found


def program_files(folder: Path, module: ModuleType) -> dict[Path, str]:
    """Give the program of which a module has the function main, as files of a folder."""
    texts = {**files([module.__name__]), "__main__.py": MAIN_TEXT.format(module=module.__name__)}
    return {folder / name: text for name, text in texts.items()}


def _spec(name: str) -> Any:
    if name != OURS and not name.startswith(f"{OURS}."):
        return None
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:  # something of a module that is no package
        return None


def _imported(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(OURS):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
