"""Action plugin: shows how a build gets on, from the log that the module writes, when it runs on the controller."""

from __future__ import annotations

import os
import runpy
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from ansible.plugins.action.normal import ActionModule as NormalActionModule
from ansible.utils.display import Display

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.host.printable import printable  # noqa: E402
from ansible.module_utils.poppyfield.images.build_output import StepLines  # noqa: E402

SECONDS_BETWEEN_LOOKS = 0.2

display = Display()


class ActionModule(NormalActionModule):  # type: ignore[misc]  # ansible-core has no types
    """Run the module as Ansible runs any other, and follow its log meanwhile."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give the module's result."""
        log = self._task.args.get("log_file")
        here = self._connection.transport == "local" and not self._task.check_mode and not self._task.async_val
        with following(as_module_reads(log), show_lines()) if log and here else nullcontext():
            result: dict[str, Any] = super().run(tmp, task_vars)
            return result


def as_module_reads(path: object) -> Path:
    """Give an option of the type path as the module takes it."""
    return Path(os.path.expanduser(os.path.expandvars(str(path))))  # noqa: PTH111 - of no user is no error


def show_lines() -> Callable[[str], None]:
    """Return a function that shows what matters of each line of a build's output: at -v all of it."""
    steps = StepLines()

    def show(line: str) -> None:
        # A worker process hands it to Ansible's main process through a queue that threads may share.
        if steps.tells(line) or display.verbosity > 0:
            display.display(printable(line).rstrip())

    return show


@contextmanager
def following(path: Path, show: Callable[[str], None]) -> Iterator[None]:
    """Show every line that is written meanwhile into a file, once it was started again; what it held before is not."""
    old = version(path)
    over = threading.Event()
    thread = threading.Thread(target=_follow, args=(path, old, over, show), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def version(path: Path) -> tuple[int, int, int] | None:
    """Give what changes about a file when it is started again: Linux sets its time to when it was cut to nothing."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


def _follow(path: Path, old: tuple[int, int, int] | None, over: threading.Event, show: Callable[[str], None]) -> None:
    # A log that cannot be read, or that is taken away, is no reason to fail a build.
    with suppress(OSError):
        for line in _lines(path, old, over):
            show(line)


def _lines(path: Path, old: tuple[int, int, int] | None, over: threading.Event) -> Iterator[str]:
    rest = b""
    with ExitStack() as opened:
        stream = None
        ends = False
        while not ends:
            ends = over.is_set()  # and then look a last time
            if stream is None and version(path) not in (None, old):
                stream = opened.enter_context(path.open("rb"))
            if stream is not None:
                *whole, rest = (rest + stream.read()).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in whole)
            over.wait(SECONDS_BETWEEN_LOOKS)
    if rest:
        yield rest.decode("utf-8", "replace")
