"""Repositories that are published no more: nobody is served them from one moment to the next."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from ansible.module_utils.poppyfield.containers.engine import Engine, EngineMissingError
from ansible.module_utils.poppyfield.projects.published_folder import PublishedFolder
from ansible.module_utils.poppyfield.projects.server_checks import NotRunningError, ProjectServer


def withdraw(folders: Sequence[PublishedFolder], container: str, timeout: int, *, remove: bool) -> None:
    """Let the map server serve these repositories no more; with `remove`, remove their files as well.

    QGIS Server has projects in its memory, so it is restarted. `timeout` is the seconds that it may take.
    """
    server = _running_server(container, timeout)
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(folder.locked())
        if server:
            server.wait_until_refreshable()
        for folder in folders:
            folder.close()
        if server:
            server.refresh()
        if remove:
            for folder in folders:
                folder.remove()


def _running_server(container: str, timeout: int) -> ProjectServer | None:
    try:
        return ProjectServer(Engine.connect(), container, timeout)
    except (EngineMissingError, NotRunningError):
        return None
