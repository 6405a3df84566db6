"""The inventory in a bundle: its files as they are, encrypted ones too, and no secret that anybody could read."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.poppyfield.bundle import contents
from ansible.module_utils.poppyfield.bundle.manifest import BundledContent, BundleError

KEY = "inventory"
VAULT = b"$ANSIBLE_VAULT;"
KEPT_OUT = re.compile(r"bundle\..+|fleet-ca\..+|backup-passwords|.+~|.+\.(?:retry|pyc|swp|orig|bak)|__pycache__|\..+")
"""What Poppyfield keeps beside hosts.yml for the laptop alone, and what editors leave."""
SECRET_NAME = re.compile(
    r"pass|.*(?:passwords?|passphrases?|secrets?|tokens?|_pass|private_key|api_key)", re.IGNORECASE
)
SECRET_IN_LINE = re.compile(r"(?<![\w.-])(?P<name>[\w.-]+)\s*=\s*(?P<value>[^\s#]+)")
PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")
PLACES = ("group_vars", "host_vars")


@dataclass(frozen=True)
class InventoryFiles:
    """What of the inventory goes into a bundle."""

    files: tuple[tuple[str, Path], ...]
    """By its path in the content each file."""
    given: tuple[str, ...]
    """What ansible-playbook is given with -i, by its path in the content."""


class _Encrypted(str):
    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """Reads what Ansible's own tags mark, and nothing that makes objects."""


def _tagged(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if node.tag in ("!vault", "!vault-encrypted"):
        return _Encrypted("vault")
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else None


_Loader.add_multi_constructor("!", lambda loader, _suffix, node: _tagged(loader, node))


def found(sources: Sequence[str]) -> InventoryFiles:
    """Find the files of the inventory's sources, as ansible-playbook was given them. Raises BundleError, OSError."""
    files: list[tuple[str, Path]] = []
    given = []
    for number, source in enumerate(map(Path, sources)):
        if source.is_dir():
            files += [(f"{number}/{name}", path) for name, path in _below(source)]
            given.append(str(number))
        elif source.is_file():
            files.append((f"{number}/{source.name}", source))
            for place in PLACES:
                beside = source.parent / place
                files += [(f"{number}/{place}/{name}", path) for name, path in _below(beside) if beside.is_dir()]
            given.append(f"{number}/{source.name}")
        else:
            raise BundleError(f"the inventory {str(source)!a} is no file and no folder: give one with -i")
    return InventoryFiles(tuple(files), tuple(given))


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if KEPT_OUT.fullmatch(path.name):
            continue
        if path.is_dir():
            yield from ((f"{path.name}/{name}", file) for name, file in _below(path))
        elif path.is_file():
            yield path.name, path


def check(files: InventoryFiles) -> bool:
    """Tell whether something of it is encrypted. Raises BundleError for a secret that is not, without its value."""
    vaulted = False
    for _, path in files.files:
        content = path.read_bytes()
        if content.startswith(VAULT):
            vaulted = True
            continue
        vaulted = vaulted or VAULT in content
        if PRIVATE_KEY.search(content):
            raise BundleError(_plain(path, "a private key"))
        if name := next(plain_secrets(path.suffix, content.decode("utf-8", "replace")), None):
            raise BundleError(_plain(path, name))
    return vaulted


def _plain(path: Path, what: str) -> str:
    return (
        f"{path} has {what} that anybody could read who finds the stick: encrypt it (ansible-vault encrypt_string, or "
        f"ansible-vault encrypt {path}), or set bundle_alone to false, after which the inventory is not in the bundle"
    )


def plain_secrets(suffix: str, text: str) -> Iterator[str]:
    """Name the variables of a file of the inventory whose values are secret and not encrypted. Pure."""
    try:
        documents = list(yaml.load_all(text, _Loader)) if suffix != ".ini" else []
    except (yaml.YAMLError, ValueError):
        documents = []
    if any(isinstance(one, dict | list) for one in documents):
        for document in documents:
            yield from _named(document, "")
        return
    # What is not YAML: an inventory of lines.
    for match in SECRET_IN_LINE.finditer(text):
        if SECRET_NAME.fullmatch(match["name"]) and _is_plain(match["value"].strip("\"'")):
            yield match["name"]


def _named(value: Any, secret: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _named(item, secret or (str(name) if SECRET_NAME.fullmatch(str(name)) else ""))
    elif isinstance(value, list):
        for item in value:
            yield from _named(item, secret)
    elif secret and _is_plain(value):
        yield secret


def _is_plain(value: Any) -> bool:
    if value is None or isinstance(value, bool | _Encrypted):
        return False
    text = str(value).strip()
    # A template names what is encrypted elsewhere, and a path what is no secret.
    return bool(text) and not text.startswith("{{") and not text.startswith("$ANSIBLE_VAULT;")


def store(bundle: Path, files: InventoryFiles) -> BundledContent:
    """Put the inventory into a bundle that is made."""

    def fill(tar: tarfile.TarFile) -> None:
        for name, path in files.files:
            contents.add_file(tar, path, name)

    return contents.store_tar(bundle, KEY, fill)
