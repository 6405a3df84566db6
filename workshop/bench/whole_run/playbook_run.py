"""A run of ansible-playbook, measured: time, CPU and memory on this machine; modules and tasks by a callback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from workshop.bench.playbook import ROOT, BenchError

CALLBACKS = [ROOT / "plugins" / "callback", ROOT / "tests" / "callbacks", Path(__file__).parent / "callbacks"]
SAMPLE_SECONDS = 0.2
SHOWN_LINES = 40


@dataclass(frozen=True)
class PlaybookRun:
    """What a run took: seconds, and MB at the moment when all its processes together had most."""

    wall_s: float
    cpu_s: float
    memory_mb: float
    modules: int
    """On hosts, not on this machine."""
    tasks: int
    """Each is counted for each of its hosts; skipped ones are not."""
    changed: int


def run_playbook(
    playbook: Path, options: Sequence[str], environment: Mapping[str, str], log: Path, configuration: Path
) -> PlaybookRun:
    """Run a playbook to its end, and measure it; a run that fails is a BenchError with its last lines."""
    counts = log.with_suffix(".counts.jsonl")
    counts.unlink(missing_ok=True)
    report = log.with_suffix(".report.json")
    command = [str(Path(sys.executable).parent / "ansible-playbook"), *options, str(playbook)]
    whole = {
        **os.environ,
        "ANSIBLE_CONFIG": str(configuration),
        "ANSIBLE_CALLBACK_PLUGINS": ":".join(map(str, CALLBACKS)),
        "ANSIBLE_CALLBACKS_ENABLED": "module_count,light_hosts,run_report",
        "ANSIBLE_NOCOLOR": "1",
        "POPPYFIELD_MODULE_COUNT": str(counts),
        "POPPYFIELD_RUN_REPORT": str(report),
        **environment,
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=whole, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        memory = PeakMemory(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = memory.end()
    if process.returncode:
        last = "\n".join(log.read_text("utf-8", "replace").splitlines()[-SHOWN_LINES:])
        raise BenchError(f"{' '.join(command)} ended with {process.returncode}:\n{last}\nAll of it: {log}")
    noted = [json.loads(line) for line in counts.read_text("utf-8").splitlines()]
    return PlaybookRun(
        wall_s=round(seconds, 2),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 2),
        memory_mb=peak,
        modules=sum(note.get("on") == "host" for note in noted),
        tasks=sum("task" in note for note in noted),
        changed=json.loads(report.read_text("utf-8"))["changed"],
    )


class PeakMemory:
    """The most memory that a process and its children had together; what they share counts once."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._peak = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> float:
        """Stop looking; give MB."""
        self._ended.set()
        self._thread.join()
        return round(self._peak / 1e6, 1)

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, self._now())

    def _now(self) -> int:
        try:
            family = [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        return sum(map(proportional_share, family))


def proportional_share(process: psutil.Process) -> int:
    """Give the bytes of a process, of shared ones its part; 0 for one that has just ended."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0
