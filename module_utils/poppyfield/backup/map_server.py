"""The map server's container, and what it knows of the database."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.settings import BackupError, Json, NotTriedError, Settings
from ansible.module_utils.poppyfield.backup.this_pi import do


def containers() -> dict[str, str]:
    """Give the images of all containers by their names."""
    lines = do(["docker", "ps", "--all", "--format", "{{.Names}} {{.Image}}"]).splitlines()
    return {name: image for name, _, image in (line.partition(" ") for line in lines)}


def is_there(container: str) -> bool:
    """Tell whether there is a container of this name."""
    return container in containers()


def deployed(settings: Settings) -> Json:
    """Give the images of our containers, for the record."""
    return {name: image for name, image in containers().items() if name in (settings.postgis, settings.lizmap)}


def start(settings: Settings) -> None:
    """Start the map server, and wait until it is healthy."""
    if not is_there(settings.lizmap):
        return
    do(["docker", "start", settings.lizmap])
    form = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
    deadline = time.monotonic() + settings.healthy_timeout
    while (state := do(["docker", "inspect", "--format", form, settings.lizmap]).split()) != ["running", "healthy"]:
        if state == ["running"]:
            return
        if state[-1] in ("unhealthy", "exited", "dead") or time.monotonic() > deadline:
            raise BackupError(f"{settings.lizmap} is {state[-1]}.")
        time.sleep(1)


def stop(settings: Settings) -> None:
    """Stop the map server."""
    if is_there(settings.lizmap):
        do(["docker", "stop", settings.lizmap])


def password_in(settings: Settings, record: Mapping[str, Any]) -> str:
    """Give where, in a backup, the password is by which the map server asks the database."""
    form = '{{range .Mounts}}{{if eq .Destination "/run/secrets/postgis_password"}}{{.Source}}{{end}}{{end}}'
    source = Path(do(["docker", "inspect", "--format", form, settings.lizmap]).strip())
    secrets_folder = settings.folders["secrets"]
    if not source.is_relative_to(secrets_folder):
        raise NotTriedError(f"the map server has its password from {source}, and not from {secrets_folder}.")
    return str(Path(record["folders"]["secrets"]) / source.relative_to(secrets_folder))


def database_host(settings: Settings) -> str:
    """Give the name by which the map server asks for the database, empty where there is none."""
    if not is_there(settings.lizmap):
        return ""
    environment = do(["docker", "inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", settings.lizmap])
    return dict(line.partition("=")[::2] for line in environment.splitlines()).get("POSTGIS_HOST", "")
