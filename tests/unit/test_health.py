"""What healthy means, and that waiting ends as soon as the outcome is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import health
from ansible.module_utils.poppyfield.containers.health import HOPELESS, Verdict

RUNNING = {"Running": True, "Restarting": False, "ExitCode": 0}


def container(restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"RestartCount": restarts, "State": {**RUNNING, **state}}


def probed(exit_code: int, after: int) -> dict[str, Any]:
    """Give a container whose health was checked so many seconds after it was started."""
    started = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
    here = timezone(timedelta(hours=1))
    probe = {
        "Start": (started + timedelta(seconds=after)).astimezone(here).isoformat(),
        "ExitCode": exit_code,
        "Output": "no plugin\n",
    }
    return container(Health={"Status": "starting", "Log": [probe]}, StartedAt="2026-11-24T12:00:00.000000001Z")


@pytest.mark.parametrize(
    ("seen", "verdict", "why"),
    [
        (container(), Verdict.HEALTHY, ""),
        (container(Health={"Status": "healthy"}), Verdict.HEALTHY, ""),
        (container(Health={"Status": "starting"}), Verdict.WAITING, "its health check says starting"),
        (
            container(Health={"Status": "unhealthy", "Log": [{"Output": "a"}, {"Output": "no map\n"}]}),
            Verdict.WAITING,
            "its health check says unhealthy: no map",
        ),
        (container(Running=False, ExitCode=3), Verdict.DEAD, "its process ended with code 3"),
        (container(Running=False, OOMKilled=True, ExitCode=137), Verdict.DEAD, "it ran out of memory"),
        (container(Running=False, Error="no such mount"), Verdict.DEAD, "no such mount"),
        (container(Restarting=True, ExitCode=1), Verdict.DEAD, "its process ended with code 1 and Docker restarts it"),
        (container(restarts=1, Health={"Status": "healthy"}), Verdict.DEAD, "its process ended and Docker restarts it"),
        (container(Paused=True, Health={"Status": "healthy"}), Verdict.WAITING, "it is paused"),
        (None, Verdict.DEAD, "it no longer exists"),
        (container(Running=False, Error="no \x1b[2Jsuch\x07 mount"), Verdict.DEAD, "no such mount"),
        (
            container(Health={"Status": "unhealthy", "Log": [{"Output": "\x1b[31mno\r\n\tmap\x1b[0m\n"}]}),
            Verdict.WAITING,
            "its health check says unhealthy: no\n\tmap",
        ),
        (probed(HOPELESS, after=1), Verdict.DEAD, "its health check says starting: no plugin"),
        # Docker still has those from before the container was started.
        (probed(HOPELESS, after=-1), Verdict.WAITING, "its health check says starting: no plugin"),
        (probed(1, after=1), Verdict.WAITING, "its health check says starting: no plugin"),
    ],
)
def test_one_look(seen: dict[str, Any] | None, verdict: Verdict, why: str) -> None:
    assert health.judge(seen) == health.Health(verdict, why)


def wait(looks: list[dict[str, Any] | None], seconds: float = 10, **options: Any) -> tuple[health.Health, float]:
    now = [0.0]

    def sleep(pause: float) -> None:
        now[0] += pause

    def look() -> dict[str, Any] | None:
        return looks.pop(0) if len(looks) > 1 else looks[0]

    return health.wait(look, seconds, clock=lambda: now[0], sleep=sleep, **options), now[0]


STARTING = container(Health={"Status": "starting"})


def test_waiting_ends_when_it_is_healthy() -> None:
    found, elapsed = wait([STARTING, STARTING, container(Health={"Status": "healthy"})])
    assert found.verdict is Verdict.HEALTHY
    assert elapsed == 2


def test_waiting_ends_when_it_died() -> None:
    found, elapsed = wait([STARTING, container(Running=False, ExitCode=1)])
    assert (found.verdict, elapsed) == (Verdict.DEAD, 1)


def test_waiting_ends_with_the_time() -> None:
    found, elapsed = wait([STARTING], seconds=5)
    assert found.verdict is Verdict.WAITING
    assert found.why == "it was not healthy after 5 seconds: its health check says starting"
    assert elapsed == 5


def test_restarts_from_before_do_not_count_but_new_ones_do() -> None:
    restarted = container(restarts=2, Health={"Status": "healthy"})
    assert wait([restarted], restarts_allowed=2)[0].verdict is Verdict.HEALTHY
    assert wait([restarted], restarts_allowed=1)[0].verdict is Verdict.DEAD
