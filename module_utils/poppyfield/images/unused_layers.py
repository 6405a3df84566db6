"""What a load that was cut off leaves in Docker's folder: layers that no image and no container has, damaged or not.

Docker flushes its notes on a layer, and not what it has unpacked of it. After a loss of power it takes files without
content for whole, uses such a layer again, or fails on it each time; and it has no command that removes it. This does,
in the folder as the storage driver overlay2 keeps it, while Docker is stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.images import image_names

ALGORITHM = "sha256"


class DockerFolder:
    """Docker's folder, such as /var/lib/docker, with the storage driver overlay2."""

    def __init__(self, root: Path) -> None:
        self._layers = root / "image" / "overlay2" / "layerdb" / ALGORITHM
        self._mounts = root / "image" / "overlay2" / "layerdb" / "mounts"
        self._images = root / "image" / "overlay2" / "imagedb" / "content" / ALGORITHM
        self._names = root / "image" / "overlay2" / "repositories.json"
        self._files = root / "overlay2"

    def is_known(self) -> bool:
        """Tell whether the folder is kept like this: with another driver, or by containerd, it is not."""
        return self._layers.is_dir() and self._files.is_dir()

    def forget(self, reference: str, digest: str) -> None:
        """Remove an image, of which Docker may have noted its name, its content, or both; what can't be read, too."""
        names = _json(self._names)
        if names.get("Repositories", {}).get(reference.rpartition(":")[0], {}).pop(reference, ""):
            atomic_file.write(self._names, json.dumps(names).encode(), mode=0o600)
        for image in list(self._images.glob("*")):
            noted = _json(image)
            if not noted or image_names.digest_of({"Config": noted.get("config")}) == digest:
                image.unlink()

    def remove_unused(self) -> None:
        """Remove the layers that no image and no container has, and what was being unpacked."""
        used = self._used()
        for layer in list(self._layers.iterdir()):
            if layer.name not in used:
                shutil.rmtree(layer)
        kept = {_text(layer / "cache-id") for layer in self._layers.iterdir()}
        for mount in self._mounts.glob("*"):
            kept |= {_text(mount / "mount-id"), _text(mount / "init-id")}
        for folder in list(self._files.iterdir()):
            if folder.name != "l" and folder.name not in kept:
                shutil.rmtree(folder)
        for link in list((self._files / "l").glob("*")):
            if link.is_symlink() and not link.exists():
                link.unlink()
        atomic_file.sync_folder(self._layers)

    def _used(self) -> set[str]:
        """Give the layers that an image or a container has."""
        used: set[str] = set()
        for image in self._images.glob("*"):
            used |= {*chain(_json(image).get("rootfs", {}).get("diff_ids") or [])}
        for mount in self._mounts.glob("*"):
            used |= {*self._ancestors(_digits(_text(mount / "parent")))}
        return used

    def _ancestors(self, layer: str) -> Iterator[str]:
        while layer:
            yield layer
            layer = _digits(_text(self._layers / layer / "parent"))


def chain(differences: Iterable[str]) -> list[str]:
    """Give by what names Docker keeps the layers of an image, the lowest first."""
    names: list[str] = []
    for difference in differences:
        if names:
            both = f"{ALGORITHM}:{names[-1]} {difference}"
            names.append(hashlib.sha256(both.encode()).hexdigest())
        else:
            names.append(_digits(difference))
    return names


def _digits(name: str) -> str:
    return name.partition(":")[2]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError):
        return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
