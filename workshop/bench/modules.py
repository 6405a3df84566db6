"""`python -m workshop.bench.modules`: our container modules beside community.docker's, on this machine's Docker.

Prints two tables in Markdown, as they stand in docs/comparison.md, and writes every figure to build/bench/modules.json.
"""

from __future__ import annotations

import importlib.metadata
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import ansible_collections.community.docker as community_docker

from workshop.bench import figures
from workshop.bench.contenders import CONTENDERS, DATABASE, MAP, OURS, STRICT, Contender, Json, Request
from workshop.bench.host import Host, facts, prepared
from workshop.bench.playbook import ROOT, BenchError, Task, payloads, play, read_result, require, start
from workshop.bench.same_container import Requests, existing, prepare, renew
from workshop.bench.scenarios import INTERRUPTED, SCENARIOS, SETTING, Scenario, Verdict, explanation, judge, outcome
from workshop.bench.timing import PATIENCE_SECONDS, time_change, time_no_change, time_outage, wait_until

REPORT = ROOT / "build" / "bench" / "modules.json"


def main() -> int:
    """Run the benchmark; return the exit status."""
    # A polite kill must leave nothing behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with prepared() as host:
            report, tables = run(host)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\n{tables}\n\nEvery figure: {REPORT.relative_to(ROOT)}")
    return 0


def run(host: Host) -> tuple[Json, str]:
    """Give the report and the tables."""
    began = time.monotonic()
    setting = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": facts(host.client), **versions()}
    say("Letting each make the same containers")
    requests = prepare(host)
    verdicts = behave_all(host, requests)
    host.remove_containers()
    say("Timing")
    timings = {
        **time_no_change(host, requests[DATABASE]),
        **time_change(host, requests[DATABASE], SETTING),
        **time_outage(host, requests[MAP]),
    }
    report = {
        **setting,
        "seconds": round(time.monotonic() - began),
        "compared": {subject: found[STRICT.key].arguments for subject, found in requests.items()},
        "behaviours": figures.as_json(verdicts),
        "timings": timings,
    }
    rows = figures.behaviour_rows([*SCENARIOS, INTERRUPTED], verdicts)
    times = [(name, figures.timing_cells(found)) for name, found in timings.items()]
    return report, f"{figures.table(rows)}\n\n{figures.table(times)}"


def versions() -> Json:
    """Say what exactly was compared."""
    manifest = Path(community_docker.__path__[0], "MANIFEST.json")
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(describe, capture_output=True, text=True, check=False)
    return {
        "poppyfield": commit.stdout.strip(),
        "community.docker": json.loads(manifest.read_text("utf-8"))["collection_info"]["version"],
        "python": sys.version.split()[0],
        **{name: importlib.metadata.version(name) for name in ("ansible", "ansible-core", "docker", "requests")},
    }


def say(words: str) -> None:
    """Tell whoever waits what is going on."""
    print(words, flush=True)


# Behaviour ----------------------------------------------------------------------------------------------------------


def behave_all(host: Host, requests: Requests) -> dict[str, dict[str, Verdict]]:
    """Go through every scenario: those of the two subjects side by side, since they mostly wait."""

    def of_subject(subject: str) -> dict[str, dict[str, Verdict]]:
        own = [scenario for scenario in SCENARIOS if scenario.subject == subject]
        return {scenario.key: behave(host, scenario, requests[subject]) for scenario in own}

    with ThreadPoolExecutor() as pool:
        database, of_map = pool.map(of_subject, (DATABASE, MAP))
    return {**database, **of_map, INTERRUPTED.key: interrupt(host, requests[DATABASE])}


def behave(host: Host, scenario: Scenario, requests: Mapping[str, Request]) -> dict[str, Verdict]:
    """Take every contender through one scenario."""
    say(scenario.title)
    begin = [Task(request) for request in requests.values()]
    if scenario.by_hand:
        renew(host, scenario.subject, requests)
        for request in requests.values():
            host.by_hand(scenario.by_hand, request.arguments["name"])
        begin = []
    else:
        host.remove_containers(scenario.subject)
    tasks = []
    for contender in CONTENDERS:
        changed = scenario.changed_request(contender, requests[contender.key])
        tasks += [Task(changed, check_mode=True), Task(changed)]
    done = play([*begin, *tasks])
    require(done[: len(begin)])
    results = [task.result for task in done[len(begin) :]]
    verdicts = {}
    for number, contender in enumerate(CONTENDERS):
        check, result = results[2 * number : 2 * number + 2]
        verdicts[contender.key] = judge(scenario, check, result, host.look(requests[contender.key].arguments["name"]))
    return verdicts


def interrupt(host: Host, requests: Mapping[str, Request]) -> dict[str, Verdict]:
    """End a run by SIGTERM at a moment that it stays in: the new container is started and never gets healthy.

    docker_container with its defaults does not wait for anything, so there is no such moment.
    """
    say(INTERRUPTED.title)
    return {contender.key: _interrupted(host, contender, requests) for contender in (OURS, STRICT)}


def _interrupted(host: Host, contender: Contender, requests: Mapping[str, Request]) -> Verdict:
    request = requests[contender.key]
    name = request.arguments["name"]
    patience = "healthy_timeout" if contender.is_ours else "healthy_wait_timeout"
    # The payload holds its arguments, so that what they mean is changed: the tag.
    moving = {**request.arguments, "image": host.move_tag("a"), patience: PATIENCE_SECONDS}
    renew(host, DATABASE, {contender.key: request})
    (program,) = payloads([Request(request.module, moving)], host.scratch(f"interrupted-{contender.key}"))
    old = existing(host, name)["Id"]
    host.move_tag("hangs")
    with start(program) as process:
        wait_until(lambda: _is_new(host.inspect(name), old), "the new container runs")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    good = INTERRUPTED.went_well(host.look(name))
    if not output:
        return Verdict(good, "says nothing", None, "")
    result = read_result(output)
    return Verdict(good, outcome(result), None, explanation(result))


def _is_new(container: Json, old: str) -> bool:
    return bool(container) and container["Id"] != old and bool(container["State"]["Running"])


if __name__ == "__main__":
    sys.exit(main())
