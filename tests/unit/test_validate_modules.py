"""ansible-test's own validate-modules finds nothing wrong in the modules, laid out as the collection that they are not.

Its program is run as it is, without ansible-test around it, which would fetch the program's requirements again.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py"))
COLLECTION = "ansible_collections/poppyfield/shadow"
MODULE_UTILS = "ansible_collections.poppyfield.shadow.plugins.module_utils"
FOLDERS = {
    "library": "modules",
    "module_utils/poppyfield": "module_utils",
    "plugins/action": "action",
    "plugins/callback": "callback",
    "plugins/doc_fragments": "doc_fragments",
    "plugins/lookup": "lookup",
}
# What a rule that makes no sense here says, and why it makes none.
ACCEPTED = [
    # Between a module and its own action plugin, and so in no user's documentation.
    r"Argument '_\w+' .*documented in the module documentation",
    r"Argument '_\w+' .*but documentation defines default as",
]


def lay_out(folder: Path) -> Path:
    """Copy the plugins into a collection in the folder; in a collection, names are full names."""
    collection = folder / COLLECTION
    modules = "|".join(MODULES)
    for source, target in FOLDERS.items():
        for path in (ROOT / source).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            text = text.replace("ansible.module_utils.poppyfield", MODULE_UTILS)
            text = re.sub(rf"\bM\(({modules})\)", r"M(poppyfield.shadow.\1)", text)
            text = text.replace("\n  - poppyfield_", "\n  - poppyfield.shadow.poppyfield_")
            copy = collection / "plugins" / target / path.relative_to(ROOT / source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text, encoding="utf-8")
    return collection


def findings(collection: Path, plugin_type: str, path: str) -> dict[str, list[str]]:
    """Run the validator; give what it finds wrong in each plugin."""
    ansible_test = find_spec("ansible_test")
    assert ansible_test is not None and ansible_test.origin is not None
    program = Path(ansible_test.origin).parent / "_util/controller/sanity/validate-modules/validate.py"
    command = [sys.executable, str(program), "--arg-spec", "--format", "json"]
    command += ["--collection", COLLECTION, "--collection-version", "0.1.0", "--plugin-type", plugin_type, path]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collection.parents[2])}
    done = subprocess.run(command, cwd=collection, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    found = {}
    for plugin, report in json.loads(done.stdout).items():
        lines = [f"{error['code']}: {error['msg']}" for error in report["errors"]]
        found[Path(plugin).stem] = [line for line in lines if not any(re.search(words, line) for words in ACCEPTED)]
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return findings(lay_out(tmp_path_factory.mktemp("collections")), "module", "plugins/modules")


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_wrong_in_a_module(found: dict[str, list[str]], name: str) -> None:
    assert found.get(name, []) == []


@pytest.mark.parametrize("kind", ["callback", "lookup"])
def test_nothing_is_wrong_in_the_documentation_of_another_plugin(tmp_path: Path, kind: str) -> None:
    plugins = findings(lay_out(tmp_path), kind, f"plugins/{kind}")
    assert [line for lines in plugins.values() for line in lines] == []


BROKEN = {
    "arm_image": ('"keep": {"type": "int"', '"keep": {"type": "str"', "'keep' in argument_spec defines type as 'str'"),
    "secret_files": (
        '"purge": {"type": "path"}',
        '"purge": {"type": "int"}',
        "'purge' in argument_spec defines type as 'int'",
    ),
    "delivered_image": ("  state:\n", "  status:\n", "'state' is listed in the argument_spec, but not documented"),
    "published_map": ("O(project)", "O(projects)", 'non-existing option "projects"'),
    "role_variables": ("GNU General Public License", "Some Licence", "missing-gplv3-license"),
}


def test_what_is_broken_is_found(tmp_path: Path) -> None:
    collection = lay_out(tmp_path)
    for name, (right, wrong, _) in BROKEN.items():
        module = collection / "plugins/modules" / f"{name}.py"
        text = module.read_text(encoding="utf-8")
        assert right in text
        module.write_text(text.replace(right, wrong), encoding="utf-8")
    found = findings(collection, "module", "plugins/modules")
    for name, (_, _, said) in BROKEN.items():
        assert said in "\n".join(found[name])
