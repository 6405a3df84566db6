"""A double of Docker's engine with one container, of which it gives files; their folder is one of this machine."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

from docker import errors

NAME = "websig-lizmap"
OURS = {"fr.poppyfield.managed": "true", "fr.poppyfield.resource": "lizmap"}
CONFIG = "/srv/lizmap"


class LittleEngine:
    """An engine with one container, in which a folder of the host is at `config`."""

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        self.folder = folder
        self.config = config
        self.labels = dict(OURS)
        self.name = NAME
        self.mounts = [
            {"Type": "bind", "Source": str(folder), "Destination": config, "RW": True},
            {"Type": "bind", "Source": "/none", "Destination": "/srv/projects", "RW": False},
            {"Type": "tmpfs", "Source": "", "Destination": "/tmp", "RW": True},
        ]

    def inspect_container(self, name: str) -> dict[str, Any]:
        if name not in (self.name, "1" * 64):
            raise errors.NotFound("no such container")
        return {"Id": "1" * 64, "Name": f"/{self.name}", "Config": {"Labels": self.labels}, "Mounts": self.mounts}

    def get_archive(self, container: str, path: str) -> tuple[list[bytes], dict[str, Any]]:
        source = self.folder / Path(path).relative_to(self.config)
        if not os.path.lexists(source):
            raise errors.NotFound(f"Could not find the file {path}")
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w") as archive:
            archive.add(source, Path(path).name)
        return [written.getvalue()], {}
