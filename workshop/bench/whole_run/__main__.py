"""`python -m workshop.bench.whole_run`: site.yml beside a playbook of stock modules, and site.yml for many hosts.

Prints two tables in Markdown, as they stand in docs/comparison.md, and writes every figure to build/bench/run.json.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker

from workshop.bench.contenders import Json, unequal
from workshop.bench.host import facts
from workshop.bench.modules import say, versions
from workshop.bench.playbook import ROOT, BenchError
from workshop.bench.whole_run import stock_variables
from workshop.bench.whole_run.bench_pi import BenchPi, fresh
from workshop.bench.whole_run.playbook_run import PlaybookRun, run_playbook
from workshop.bench.whole_run.tables import comparison_table, hosts_table
from workshop.emulator import login

REPORT = ROOT / "build" / "bench" / "run.json"
FOLDER = ROOT / "build" / "bench" / "whole-run"
SAMPLE = ROOT / "workshop" / "demo" / "sample"
STOCK = Path(__file__).resolve().parents[1] / "stock"
NOOP_ROUNDS = 5
LIGHT_ROUNDS = 3
HOSTS = (1, 4, 16, 50)
SERVER_NAME = "field.example"
"""The one changed setting: the name of the map server, a variable of its container."""


class Side:
    """One of the two playbooks, on a Pi."""

    def __init__(self, key: str, pi: BenchPi, playbook: Path, options: Sequence[str], configuration: Path) -> None:
        self.key = key
        self.pi = pi
        self._playbook = playbook
        self._options = ["-i", str(ROOT / "inventory" / "demo"), *options]
        self._configuration = configuration
        self.idle_share = 0.0

    def run(self, name: str, options: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> PlaybookRun:
        """Run the playbook."""
        log = FOLDER / f"{self.key}-{name}.log"
        whole = {**self.pi.environment, **(environment or {})}
        return run_playbook(self._playbook, [*self._options, *options], whole, log, self._configuration)

    def measure(self, name: str, options: Sequence[str] = ()) -> Json:
        """Run the playbook, with what it costs the Pi: all that it spends, less what it spends idle in that time."""
        before = self.pi.cpu_seconds()
        done = self.run(name, options)
        spent = self.pi.cpu_seconds() - before
        say(f"{self.key}, {name}: {done.wall_s:.0f} s")
        return {
            "wall_s": done.wall_s,
            "pi_cpu_s": round(spent - self.idle_share * done.wall_s, 2),
            "pi_cpu_with_idle_s": round(spent, 2),
            "modules": done.modules,
            "tasks": done.tasks,
            "laptop_cpu_s": done.cpu_s,
            "changed": done.changed,
        }

    def all_figures(self, change: Sequence[str], look: Callable[[BenchPi], None]) -> dict[str, Json]:
        """Measure a first run, runs that change nothing, and one changed setting; the Pi is bare at first.

        `look` sees the Pi before that one change.
        """
        first = self.measure("first")
        self.pi.wait_until_healthy()
        self.idle_share = self.pi.idle_share()
        rounds = [self.measure(f"noop-{number}") for number in range(NOOP_ROUNDS)]
        if any(found["changed"] for found in rounds):
            raise BenchError(f"A run of {self.key} that should change nothing changed something: {FOLDER}")
        look(self.pi)
        noop = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
        return {
            "first": first,
            "noop": {**noop, "rounds": rounds, "pi_idle_cpu_s_per_s": round(self.idle_share, 4)},
            "one_change": self.measure("one-change", change),
        }


def main() -> int:
    """Run the benchmark; return the exit status."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        report = measure_all()
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\n{comparison_table(report)}\n\n{hosts_table(report)}\n\nEvery figure: {REPORT.relative_to(ROOT)}")
    return 0


def measure_all() -> Json:
    """Give the report."""
    began = time.monotonic()
    machine = facts(docker.from_env())
    setting = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, **versions()}
    say("Poppyfield, on a bare Pi")
    with fresh(FOLDER / "ours") as pi:
        side = Side("ours", pi, ROOT / "site.yml", ["--skip-tags", "verify"], ROOT / "ansible.cfg")
        side.run("build", ["--tags", "build"])
        deployed: list[Any] = []
        ours = side.all_figures(
            ["-e", f"lizmap_server_name={SERVER_NAME}"],
            lambda pi: deployed.extend([pi.containers(), pi.settings(), pi.end_state()]),
        )
        recorded = FOLDER / "answers.jsonl"
        side.run("before-recording")
        side.run("recording", environment={"POPPYFIELD_RECORD": str(recorded)})
        hosts = {str(number): light_hosts(side, number, recorded, ours["noop"]) for number in HOSTS}
    say("Stock modules, on a bare Pi")
    stock = stock_figures(*deployed)
    return {
        **setting,
        **{name: {"ours": ours[name], "stock": stock[name]} for name in ours},
        "hosts": hosts,
        "seconds": round(time.monotonic() - began),
    }


def stock_figures(containers: Mapping[str, Json], settings: Mapping[str, str], end_state: Json) -> dict[str, Json]:
    """Measure the stock playbook, which must reach the state that ours has reached."""
    given = FOLDER / "stock.json"
    found = stock_variables.variables(containers, settings, FOLDER, SAMPLE)
    given.write_text(json.dumps(found, indent=2), encoding="utf-8")
    container = found["stock_lizmap_container"]
    changed = {**container, "env": {**container["env"], "SERVER_NAME": SERVER_NAME}}
    with fresh(FOLDER / "stock") as pi:
        side = Side("stock", pi, STOCK / "playbooks" / "site.yml", ["-e", f"@{given}"], STOCK / "ansible.cfg")
        return side.all_figures(
            ["-e", json.dumps({"stock_lizmap_container": changed})],
            lambda pi: require_equal(pi, containers, end_state),
        )


def require_equal(pi: BenchPi, containers: Mapping[str, Json], end_state: Json) -> None:
    """Refuse to compare two playbooks that do not reach the same state."""
    differences: dict[str, Any] = {}
    for service, found in pi.containers().items():
        differences |= {
            f"{service}: {name}": pair for name, pair in unequal(containers[service], found, ("\x00", "")).items()
        }
    for name, found in pi.end_state().items():
        if found != end_state[name]:
            differences[name] = sorted(set(map(str, found)) ^ set(map(str, end_state[name])))
    if differences:
        raise BenchError(f"The two do not reach the same state: {json.dumps(differences, indent=2, default=str)}")


def light_hosts(side: Side, number: int, recorded: Path, noop: Json) -> Json:
    """Run site.yml for many hosts that answer as the Pi did in a run that changed nothing."""
    names = [f"light-{n:02}" for n in range(1, number + 1)]
    inventory = FOLDER / f"light-{number}.json"
    inventory.write_text(
        json.dumps({"pis": {"hosts": {name: {"ansible_user": login.USER} for name in names}}}), encoding="utf-8"
    )
    runs = []
    for attempt in range(LIGHT_ROUNDS):
        counts = FOLDER / f"light-{number}-{attempt}"
        counts.mkdir()
        done = side.run(
            f"light-{number}",
            ["-i", str(inventory), "--limit", "light-*"],
            {"POPPYFIELD_REPLAY": str(recorded), "POPPYFIELD_REPLAY_COUNTS": str(counts)},
        )
        if done.changed or done.modules != noop["modules"] * number:
            raise BenchError(f"{number} light hosts did not do what the Pi does: {done}")
        runs.append(done)
    say(f"{number} light hosts: {runs[0].wall_s:.0f} s")
    return {
        "laptop_cpu_s_per_host": round(statistics.median(run.cpu_s for run in runs) / number, 2),
        "laptop_memory_mb": statistics.median(run.memory_mb for run in runs),
        "wall_s": statistics.median(run.wall_s for run in runs),
    }


if __name__ == "__main__":
    sys.exit(main())
