"""Where things stand: one name for each class, modules by subject, and nothing of the product leans on the workshop."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = (
    "library",
    "module_utils",
    "plugins",
    "image_contents",
    "new_fleet",
    "pi_alone",
    "pi_terminal",
    "roles",
    "playbooks",
    "images",
)
NAMED_BY_ANSIBLE = {"ActionModule", "CallbackModule", "FilterModule", "LookupModule", "ModuleDocFragment"}
UTILS = "module_utils/poppyfield"
HELPER = "plugins/project_imports.py"


def sources(*places: str) -> dict[str, str]:
    """Give the Python files of the places by path."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *places]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    paths = sorted({name for name in names if name.endswith(".py") and (ROOT / name).is_file()})
    return {path: (ROOT / path).read_text(encoding="utf-8") for path in paths}


def classes_of_one_name(texts: dict[str, str]) -> dict[str, list[str]]:
    """Give the files of each class whose name another class has, too."""
    found: dict[str, list[str]] = {}
    for path, text in texts.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and node.name not in NAMED_BY_ANSIBLE:
                found.setdefault(node.name, []).append(path)
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def imports(text: str) -> list[tuple[int, str]]:
    """Give what a file imports, each with how many folders up it counts."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.level, f"{node.module or ''}.{alias.name}") for alias in node.names]
    return found


def test_no_two_classes_of_the_product_have_one_name() -> None:
    assert classes_of_one_name(sources(*PRODUCT)) == {}


def test_two_classes_of_one_name_are_noticed() -> None:
    assert classes_of_one_name({"a.py": "class Plan: ...", "b.py": "class Plan: ..."}) == {"Plan": ["a.py", "b.py"]}
    assert classes_of_one_name({"a.py": "class FilterModule: ...", "b.py": "class FilterModule: ..."}) == {}


def test_the_product_does_not_import_what_develops_it() -> None:
    found = {
        (path, name)
        for path, text in sources(*PRODUCT).items()
        for _, name in imports(text)
        if name.split(".")[0] in {"workshop", "tests", "molecule"}
    }
    assert found == set()


def test_an_import_is_seen_wherever_it_stands() -> None:
    text = "from workshop.demo import result\ndef f():\n    import workshop.bench\n    from . import x\n"
    assert imports(text) == [(0, "workshop.demo.result"), (0, "workshop.bench"), (1, ".x")]


def test_module_utils_are_imported_by_one_absolute_name() -> None:
    # Relative imports are what Mitogen can't follow; a second name would make a second class of each.
    places = ("*.py",)
    found = {
        (path, name)
        for path, text in sources(*places).items()
        for level, name in imports(text)
        if name.startswith("module_utils.") or (level and path.startswith(UTILS))
    }
    assert found == set()


def test_one_file_says_where_module_utils_are() -> None:
    found = {path for path, text in sources("*.py").items() if "module_utils.__path__" in text}
    assert found - {str(Path(__file__).relative_to(ROOT))} == {HELPER}


def test_module_utils_stand_in_folders_that_ansible_finds() -> None:
    paths = [Path(path) for path in sources(UTILS)]
    assert [str(path) for path in paths if path.parent == Path(UTILS)] == [f"{UTILS}/__init__.py"]
    assert {path.parent for path in paths if not (ROOT / path.parent / "__init__.py").is_file()} == set()


@pytest.mark.parametrize("folder", ["bootstrap", "demo", "emulator", "bench"])
def test_what_develops_the_product_stands_apart(folder: str) -> None:
    assert list(sources(folder)) == []
