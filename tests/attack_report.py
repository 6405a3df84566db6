"""Which attacks the tests played, into build/reports/attacks.json. A plugin for pytest.

A test with the marker `attack` plays one, once for each of its cases; that it passed says that the attack was refused.
`proof` names the test of the same file in which it succeeds without the defence, unless the test itself shows that;
with `spellings` its cases are one request. A test that plays many asks for the fixture `record_attack`. Each file of
tests has a report of its own in build/reports/attacks, so that several runs of pytest add up; `python -m
tests.attack_report` puts them together, and fails when an attack was not refused or never seen to succeed, or when
there are too few.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

REPORTS = Path(__file__).resolve().parents[1] / "build" / "reports"
PARTS = REPORTS / "attacks"
ENOUGH = 120
"""So many attacks are played at least."""


@dataclass(frozen=True)
class Attack:
    """One attack as it was played."""

    name: str
    kind: str
    on: str
    refused: bool
    proven_able: bool
    shown_with: str
    request: str = ""
    """Attacks of the same request are spellings of it, and count once; empty: the name."""
    harmless_here: bool = False
    """It does nothing on these versions even without the defence, and does not count."""


Record = Callable[..., None]
_outcomes: dict[str, bool] = {}
_marked: dict[str, pytest.Item] = {}
_recorded: dict[Path, list[Attack]] = defaultdict(list)


def shown_with(on: str) -> str:
    """Tell what stood for the thing that was attacked: Lizmap is its stand-in, unless an archive is given."""
    if on != "Lizmap":
        return on
    archive = Path(os.environ.get("LIZMAP_ARCHIVE", "")).name
    found = re.search(r"\d+\.\d+[\w.-]*?(?=\.zip$)", archive)
    return f"Lizmap {found.group()}" if found else "stand-in"


@pytest.fixture
def record_attack(request: pytest.FixtureRequest) -> Record:
    """Return what notes an attack: record_attack(name, kind=, on=, refused=, proven_able=), as Attack has them."""

    def record(name: str, *, on: str, **told: Any) -> None:
        _recorded[request.path].append(Attack(name=name, on=on, shown_with=shown_with(on), **told))

    return record


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option by which only these tests are run."""
    parser.addoption("--attacks", action="store_true", help="only tests that play attacks, and those that prove them")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that play no attack, when asked to."""
    if not config.getoption("--attacks"):
        return
    proofs = {(item.path, marker.kwargs.get("proof")) for item in items for marker in item.iter_markers("attack")}
    chosen = [
        item
        for item in items
        if item.get_closest_marker("attack")
        or "record_attack" in getattr(item, "fixturenames", ())
        or (item.path, _function(item)) in proofs
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def _function(item: pytest.Item) -> str:
    """Give the name of a test without that of its case."""
    return str(getattr(item, "originalname", None) or item.name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note whether a test passed, its setup and teardown included."""
    report = yield
    if report.failed or (report.when == "call" and report.passed):
        _outcomes[item.nodeid] = _outcomes.get(item.nodeid, True) and report.passed
        if item.get_closest_marker("attack"):
            _marked[item.nodeid] = item
    return report


def pytest_sessionfinish() -> None:
    """Write what each file of tests played."""
    played = {path: list(attacks) for path, attacks in _recorded.items()}
    for item in _marked.values():
        played.setdefault(item.path, []).append(_of_test(item))
    for path, attacks in played.items():
        PARTS.mkdir(parents=True, exist_ok=True)
        _write(PARTS / f"{path.parent.name}-{path.stem}.json", [asdict(attack) for attack in attacks])


def _of_test(item: pytest.Item) -> Attack:
    """Give the attack that a test is."""
    marker = item.get_closest_marker("attack")
    assert marker is not None
    test, proof = item.nodeid.rpartition("::")[2], marker.kwargs.get("proof")
    refused = _outcomes[item.nodeid]
    return Attack(
        name=test,
        kind=marker.kwargs["kind"],
        on=marker.kwargs["on"],
        refused=refused,
        proven_able=_passed(item, proof) if proof else refused,
        shown_with=shown_with(marker.kwargs["on"]),
        request=_function(item) if marker.kwargs.get("spellings") else "",
    )


def _passed(item: pytest.Item, test: str) -> bool:
    """Tell whether a test of the same file passed, in all its cases."""
    beginning = f"{item.nodeid.rpartition('::')[0]}::{test}"
    outcomes = [passed for nodeid, passed in _outcomes.items() if nodeid.partition("[")[0] == beginning]
    return bool(outcomes) and all(outcomes)


def merged(attacks: Iterable[Attack]) -> dict[str, Any]:
    """Put what was played together: an attack counts once, whatever its spellings, and only if all of them do."""
    counted = sorted((attack for attack in attacks if not attack.harmless_here), key=lambda a: (a.kind, a.on, a.name))
    requests: dict[tuple[str, str, str], list[Attack]] = defaultdict(list)
    for attack in counted:
        requests[attack.kind, attack.on, attack.request or attack.name].append(attack)
    classes: dict[str, list[list[Attack]]] = defaultdict(list)
    for (kind, _, _), spellings in requests.items():
        classes[kind].append(spellings)
    return {
        **_sums(requests.values()),
        "classes": {kind: _sums(played) for kind, played in classes.items()},
        "shown_with": {who: sum(a[0].shown_with == who for a in requests.values()) for who in _shown(counted)},
        "attacks": [_entry(attack) for attack in counted],
        "harmless_here": sorted(attack.name for attack in attacks if attack.harmless_here),
    }


def _shown(attacks: Iterable[Attack]) -> list[str]:
    return sorted({attack.shown_with for attack in attacks})


def _sums(requests: Iterable[list[Attack]]) -> dict[str, int]:
    """Count requests, each of which has one spelling or several."""
    played = list(requests)
    return {
        "tried": len(played),
        "refused": sum(all(attack.refused for attack in spellings) for spellings in played),
        "proven_able": sum(all(attack.proven_able for attack in spellings) for spellings in played),
    }


def _entry(attack: Attack) -> dict[str, Any]:
    told = {
        "name": attack.name,
        "class": attack.kind,
        "on": attack.on,
        "refused": attack.refused,
        "proven_able": attack.proven_able,
        "shown_with": attack.shown_with,
    }
    return {**told, "spelling_of": attack.request} if attack.request not in {"", attack.name} else told


def problems(report: dict[str, Any]) -> list[str]:
    """Say what is wrong with a merged report."""
    found = [f"not refused: {attack['name']}" for attack in report["attacks"] if not attack["refused"]]
    found += [f"never seen to succeed: {attack['name']}" for attack in report["attacks"] if not attack["proven_able"]]
    if report["proven_able"] < ENOUGH:
        found.append(f"only {report['proven_able']} attacks are proven, of at least {ENOUGH}")
    return found


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main() -> str:
    """Merge the reports; give what is wrong, for sys.exit()."""
    parts = [json.loads(path.read_text("utf-8")) for path in sorted(PARTS.glob("*.json"))]
    report = merged([Attack(**attack) for part in parts for attack in part])
    _write(REPORTS / "attacks.json", report)
    print(f"Attacks: {report['tried']} tried, {report['refused']} refused, {report['proven_able']} proven.")
    return "\n".join(problems(report))


if __name__ == "__main__":
    sys.exit(main() or 0)
