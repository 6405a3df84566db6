"""The benchmark of the modules: that like is compared with like, and that the verdicts and figures are right."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from workshop.bench import figures
from workshop.bench.contenders import (
    CONTENDERS,
    DATABASE,
    DEFAULTS,
    MAP,
    OURS,
    STRICT,
    Json,
    Request,
    ours,
    twin,
    unequal,
)
from workshop.bench.scenarios import (
    BAD_IMAGE,
    CHANGED_BY_HAND,
    NOTHING_CHANGED,
    SCENARIOS,
    USER_CHANGED,
    Scenario,
    Seen,
    Verdict,
    explanation,
    judge,
)
from workshop.bench.timing import rotated

FOLDERS = ("/srv/ours", "/srv/theirs")
INSPECTED: Json = {
    "Id": "0123456789abcdef",
    "Config": {
        "Hostname": "0123456789ab",
        "Image": "pf-bench-server:a",
        "Cmd": ["postgres", "-c", "log_min_duration_statement=250ms"],
        "Env": ["PATH=/bin", "SERVER_NAME=field.example", "EQUATION=a=b"],
        "Labels": {"fr.poppyfield.managed": "true"},
        "StopTimeout": 10,
    },
    "HostConfig": {
        "Mounts": [
            {"Type": "bind", "Source": "/srv/ours/data", "Target": "/data"},
            {"Type": "bind", "Source": "/srv/ours/spare", "Target": "/run/secrets/spare", "ReadOnly": True},
        ],
        "Tmpfs": {"/tmp": "mode=1777"},
        "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4000"}]},
        "RestartPolicy": {"Name": "always"},
        "CapDrop": ["ALL"],
        "CapAdd": ["SETUID"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "ShmSize": 67108864,
        "PidsLimit": 512,
        "Memory": 1000,
        "MemorySwap": 0,
    },
    "NetworkSettings": {"Networks": {"pf-bench-network": {"Aliases": ["pf-bench-map", "0123456789ab"]}}},
    "Mounts": [{"Source": "/srv/ours/data", "Destination": "/data", "RW": True}],
}


def requests_of(subject: str) -> dict[str, Request]:
    theirs = {c.key: twin(INSPECTED, c, subject, FOLDERS, 4001) for c in (DEFAULTS, STRICT)}
    return {OURS.key: ours(subject, "/srv/ours", 4000), **theirs}


def test_the_twin_is_asked_for_everything_that_the_container_has() -> None:
    options = requests_of(MAP)[DEFAULTS.key].arguments
    assert options["env"] == {"SERVER_NAME": "field.example", "EQUATION": "a=b"}
    assert options["mounts"][0] == {
        "type": "bind",
        "source": "/srv/theirs/data",
        "target": "/data",
        "read_only": False,
    }
    assert options["mounts"][1]["read_only"]
    assert options["tmpfs"] == ["/tmp:mode=1777"]
    assert options["capabilities"] == ["SETUID"]
    assert options["published_ports"] == ["127.0.0.1:4001:8080/tcp"]
    assert options["networks"] == [{"name": "pf-bench-network", "aliases": ["pf-bench-map"]}]
    assert options["memory"] == "1000"
    assert "memory_swap" not in options
    assert "comparisons" not in options


def test_no_registry_is_asked() -> None:
    for contender in (DEFAULTS, STRICT):
        assert requests_of(DATABASE)[contender.key].arguments["pull"] == "never"


@pytest.mark.parametrize(
    ("section", "change", "named"),
    [
        ("Config", {"Cmd": ["-c", "postgres", "log_min_duration_statement=250ms"]}, "Config.Cmd"),
        ("Config", {"Env": ["PATH=/bin"]}, "Config.Env"),
        ("HostConfig", {"ReadonlyRootfs": False}, "HostConfig.ReadonlyRootfs"),
        ("HostConfig", {"Privileged": True}, "HostConfig.Privileged"),
        ("HostConfig", {"PortBindings": {}}, "PortBindings"),
        ("", {"Mounts": [{"Source": "/srv/theirs/data", "Destination": "/data", "RW": False}]}, "Mounts"),
    ],
)
def test_containers_that_differ_are_not_compared(section: str, change: Json, named: str) -> None:
    other = copy.deepcopy(INSPECTED)
    other["Config"]["Hostname"] = "another"
    other["Config"]["Env"].reverse()
    other["Mounts"][0]["Source"] = "/srv/theirs/data"
    assert unequal(INSPECTED, other, FOLDERS) == {}
    (other[section] if section else other).update(change)
    assert list(unequal(INSPECTED, other, FOLDERS)) == [named]


@pytest.mark.parametrize(
    "scenario", [s for s in (*USER_CHANGED, *BAD_IMAGE) if s.key != "setting"], ids=lambda s: s.key
)
def test_what_the_user_changes_is_one_option_on_each_side(scenario: Scenario) -> None:
    for contender in CONTENDERS:
        before = requests_of(scenario.subject)[contender.key]
        kept = copy.deepcopy(before)
        after = scenario.changed_request(contender, before)
        different = {
            name
            for name in {*before.arguments, *after.arguments}
            if before.arguments.get(name) != after.arguments.get(name)
        }
        assert len(different) == 1
        assert before == kept


def test_a_changed_setting_is_the_same_word_of_the_command_on_both_sides() -> None:
    setting = next(s for s in SCENARIOS if s.key == "setting")
    requests = requests_of(DATABASE)
    own = setting.changed_request(OURS, requests[OURS.key]).arguments["settings"]
    command = setting.changed_request(STRICT, requests[STRICT.key]).arguments["command"]
    assert [f"{name}={value}" for name, value in own.items()] == command[2:] == [setting.names]


@pytest.mark.parametrize("scenario", [*NOTHING_CHANGED, *CHANGED_BY_HAND], ids=lambda s: s.key)
def test_a_user_who_changes_nothing_asks_for_the_same(scenario: Scenario) -> None:
    for contender in CONTENDERS:
        request = requests_of(scenario.subject)[contender.key]
        assert scenario.changed_request(contender, request) == request


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.key)
def test_a_container_that_is_gone_or_does_not_answer_is_never_good(scenario: Scenario) -> None:
    assert not scenario.went_well(Seen({}, ""))
    assert not scenario.went_well(Seen(INSPECTED, ""))


def result(**fields: Any) -> Json:
    return {"changed": True, "diff": {"before": {}, "after": {}}, **fields}


def test_a_run_is_judged_by_what_it_says_and_by_what_is_there_afterwards() -> None:
    scenario = next(s for s in USER_CHANGED if s.key == "variable")
    named = result(diff={"before": {"env": ["SERVER_NAME=a"]}, "after": {"env": []}})
    clean = copy.deepcopy(INSPECTED)
    clean["Config"]["Env"] = []
    verdict = judge(scenario, named, named, Seen(clean, "a"))
    assert (verdict.good, verdict.outcome, verdict.named, verdict.predicted) == (True, "changed", True, True)
    unnoticed = judge(scenario, named, result(changed=False), Seen(INSPECTED, "a"))
    assert (unnoticed.good, unnoticed.outcome, unnoticed.named, unnoticed.predicted) == (
        False,
        "unchanged",
        False,
        False,
    )


def test_a_change_that_nobody_asked_for_is_not_good() -> None:
    seen = Seen(INSPECTED, "a")
    assert judge(NOTHING_CHANGED[0], result(changed=False), result(changed=False), seen).good
    assert not judge(NOTHING_CHANGED[0], result(), result(), seen).good


def test_a_run_that_failed_was_not_to_be_predicted() -> None:
    verdict = judge(BAD_IMAGE[1], result(), {"failed": True, "msg": "why"}, Seen(INSPECTED, "a"))
    assert (verdict.good, verdict.outcome, verdict.said, verdict.predicted) == (True, "failed", "why", None)


def test_what_stayed_the_same_is_no_explanation() -> None:
    diff = {"before": {"running": True, "image": "a"}, "after": {"running": True, "image": "b"}}
    assert explanation(result(diff=diff)) == '[{"image": ["a", "b"]}]'
    assert explanation(result(diff=diff, reasons=["image: a -> b"])) == '["image: a -> b"]'


def test_ratios_compare_round_by_round() -> None:
    found = figures.ratios({OURS.key: [1.0, 4.0, 2.0], STRICT.key: [3.0, 4.0, 1.0]})
    assert found == {STRICT.key: {"min": 0.5, "median": 1.0, "max": 3.0}}


def test_the_longest_gap_is_between_two_answers() -> None:
    assert figures.longest_gap([1.0, 1.5, 4.0, 4.25]) == 2.5


def test_each_contender_goes_first_equally_often() -> None:
    rounds = [[contender.key for contender in rotated(number)] for number in range(3)]
    keys = [contender.key for contender in CONTENDERS]
    assert sorted(order[0] for order in rounds) == sorted(keys)
    assert all(sorted(order) == sorted(keys) for order in rounds)


def test_the_table_has_a_cell_for_each_contender() -> None:
    verdicts = {"exits": {OURS.key: Verdict(True, "failed", None, ""), STRICT.key: Verdict(False, "failed", None, "")}}
    rows = figures.behaviour_rows([s for s in BAD_IMAGE if s.key == "exits"], verdicts)
    assert rows[0][1] == ["**yes** (failed)", "not applicable", "no (failed)"]
    assert {line.count("|") for line in figures.table(rows).splitlines()} == {len(CONTENDERS) + 2}
