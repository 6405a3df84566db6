"""Show the steps of the demo: their names, that they move, and how long they took."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.poppyfield.host.printable import printable
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

# On a terminal the line moves by itself; elsewhere (a log, CI) a step says every so often that it still runs.
HEARTBEAT_SECONDS = 60
DETAIL_WIDTH = 70
POLL_SECONDS = 0.5


class StepError(Exception):
    """A step's command failed; its message says which, and where its log is."""


class Display:
    """Run commands as named steps; everything they print goes to a log file each."""

    def __init__(self, log_folder: Path) -> None:
        self.console = Console(highlight=False)
        self.log_folder = log_folder
        log_folder.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        name: str,
        command: Sequence[str],
        log_name: str,
        environment: Mapping[str, str] | None = None,
        more_logs: Sequence[Path] = (),
    ) -> Path:
        """Run the command as a step; return its log. Raise StepError when its exit status is not 0.

        `more_logs` are files whose newest line also tells that the step moves (such as a build's log).
        """
        log_path = self.log_folder / log_name
        started = time.monotonic()
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
            with self._moving(name) as show, _ended_with(process):
                while process.poll() is None:
                    show(newest_line([log_path, *more_logs]))
                    time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - started
        if process.returncode != 0:
            self.console.print(f"[red]failed[/] {name} ({seconds:.0f} s)")
            raise StepError(f"{name} failed; its last lines, from {log_path}:\n{tail(log_path)}")
        self.console.print(f"[green]done[/]   {name} ({seconds:.0f} s)")
        return log_path

    @contextmanager
    def _moving(self, name: str):  # type: ignore[no-untyped-def]
        if not sys.stdout.isatty():
            yield self._heartbeat(name)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(name, detail="")
            yield lambda line: progress.update(task, detail=line[:DETAIL_WIDTH])

    def _heartbeat(self, name: str):  # type: ignore[no-untyped-def]
        started = time.monotonic()
        last = started
        self.console.print(f"start  {name}")

        def show(line: str) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= HEARTBEAT_SECONDS:
                last = now
                self.console.print(f"       {now - started:.0f} s: {line[:DETAIL_WIDTH]}", markup=False)

        return show


@contextmanager
def _ended_with(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process when the step is left early, so that Ctrl-C leaves nothing running."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def newest_line(logs: Sequence[Path]) -> str:
    """Return the last line of the log that was written to last."""
    existing = [path for path in logs if path.exists()]
    newest = max(existing, key=lambda path: path.stat().st_mtime, default=None)
    lines = tail(newest, 1).splitlines() if newest else []
    return lines[-1].strip() if lines else ""


def tail(path: Path, lines: int = 40) -> str:
    """Return the last lines of a text file that are not empty, without what a terminal would obey."""
    with path.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - 400 * max(lines, 10)))
        text = printable(stream.read().decode(errors="replace"))
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
