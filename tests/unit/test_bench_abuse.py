"""The benchmark of an attacker beside honest people: what it counts, and when its goal is met."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workshop.bench import abuse, figures
from workshop.bench.playbook import BenchError


def report(attacked: float) -> dict[str, Any]:
    return {
        "honest_p95_alone_s": 1.5,
        "honest_p95_under_attack_s": attacked,
        "honest_maps_alone": 90,
        "honest_maps_under_attack": 60,
        "honest_failures": 0,
        "school_p95_s": 20.5,
        "school_maps": 99,
        "restarts": 0,
        "oom_kills": 0,
        "card_bytes_per_hostile_day": 3 * 1024 * 1024,
    }


@pytest.mark.parametrize(("attacked", "words"), [(4.4, "is met."), (4.5, "is not met.")])
def test_the_goal_is_less_than_three_times_as_long(attacked: float, words: str) -> None:
    told = abuse.table(report(attacked))
    assert f"| 95 % of the maps within | 1.5 s | {attacked} s | 20.5 s |" in told
    assert words in told
    assert told.endswith("would write 3 MB at most.")


def test_one_map_in_twenty_may_be_later() -> None:
    assert figures.p95([*range(1, 101)]) == 96
    assert figures.p95([2.0]) == 2.0
    with pytest.raises(BenchError):
        figures.p95([])


@pytest.mark.parametrize("told", ["low 0\noom 3\noom_kill 2\n", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"])
def test_the_kernels_ends_are_counted(told: str) -> None:
    container = SimpleNamespace(exec_run=lambda _: (1, told.encode()))
    assert abuse.oom_kills(container) == 2


def test_a_kernel_that_does_not_count_ends_the_benchmark() -> None:
    with pytest.raises(BenchError):
        abuse.oom_kills(SimpleNamespace(exec_run=lambda _: (1, b"")))


def test_services_are_looked_for_and_passing_processes_are_not() -> None:
    names = ["s6-svscan", "nginx", "php-fpm8.4", "qgis_mapserv.fc", "sleep", "bash"]
    rows = [[str(number), name] for number, name in enumerate(names)]
    assert abuse.processes_of(SimpleNamespace(top=lambda **_: {"Processes": rows})) == {"0", "1", "2", "3"}


def test_what_is_written_is_lizmaps_state_and_the_log(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "errors.log").write_text("12345")
    mounts = [{"Source": "/elsewhere", "Destination": "/srv/projects"}]
    mounts.append({"Source": str(tmp_path), "Destination": "/srv/lizmap"})
    container = SimpleNamespace(attrs={"Mounts": mounts}, logs=lambda: b"123")
    assert (abuse.state_bytes(container), abuse.log_bytes(container)) == (5, 3)
