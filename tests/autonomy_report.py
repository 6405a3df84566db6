"""What is shown of a Pi far from any network, into build/reports/autonomy.json.

A test with the marker `autonomy(check)` shows one of the CHECKS, or a part of it; `tests.field_report` notes what came
of it. `python -m tests.autonomy_report` puts that together: each check has a row, which is right where all its tests
passed. What has no test has one, too, which is not right, and says why. It fails when a check that has tests is not
right, or was not played.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from tests.field_report import REPORTS, Played, played_by, tests_of, write

CHECKS: Mapping[str, str] = {
    # A bundle.
    "alone": "From a stock root and one stick, with no network device: a map draws, and no packet is sent outside",
    "alone begins": "From one stick and with no network: the Pi makes its own Ansible, and site.yml looks at the Pi",
    "laptop": "The same from the laptop, with the internet blocked on both",
    "second run": "A second run changes nothing, with at most 8 modules",
    "flipped": "One byte flipped in each kind of file: refused in one sentence, and the Pi unchanged",
    "added": "A file added: refused in one sentence, and the Pi unchanged",
    "link": "A link added: refused in one sentence, and the Pi unchanged",
    "key": "Another key: refused in one sentence, and the Pi unchanged",
    "older": "An older number: refused in one sentence, and the Pi unchanged",
    "swapped": "A file swapped on the stick after it was verified: refused, and the Pi unchanged",
    "clock 2020": "A clock that is years behind: it is set to the bundle's date",
    "clock 2099": "A clock at 2099: the bundle is verified and installed",
    "package": "A stock status that lacks one package: told before anything changes",
    "cut import": "An import that was cut off: the next run completes",
    "cut installation": "Power cut at many points of an installation from a bundle: the next run completes",
    "cut serves": "Old maps serve throughout such cuts",
    # The Pi's own Wi-Fi.
    "lease": "A device gets a lease and the names that there are",
    "lease by radio": "Two stations by radio, with wpa_supplicant: a lease each",
    "portal": "Page, press, success, for each system's question, on fleets with and without HTTPS",
    "models": "Models of Android's, Apple's and Microsoft's decision end as connected",
    "two addresses": "nginx logs two addresses of two stations",
    "lock-out": "One station's failed logins do not lock the other one out",
    "shared": "With NetworkManager's shared they do",
    "back": "Reboot, NetworkManager, Docker and dnsmasq restarted or killed: stations are back",
    "back in time": "Within 30 seconds",
    "switch": "The switch over Wi-Fi with the laptop gone: the profile before is back, after two minutes",
    "off": "The role off again: its files are gone, other profiles are byte for byte the same",
    "looked at": "A Wi-Fi that does not work is seen on the Pi itself, and no lease is taken by that",
    "codes": "QR codes that another library reads equal the settings",
    # Base maps.
    "replaced": "A base map is replaced while a page is open, in Chromium",
    "replaced in Firefox": "The same in Firefox",
    "resumed": "A delivery that is interrupted three times resumes",
    "resumed 4 GiB": "The same with 4 GiB",
    # Position and time.
    "time": "With a receiver the time is right within 60 seconds",
    "position": "The position is told, with and without HTTPS",
    "position shown": "The position is shown on the map page",
    "stale": "The position is stale after 10 seconds",
    "no GPS": "That there is no receiver, or no fix, is said plainly",
    # All of it.
    "emulated Pi": "Shorter forms of these on the emulated Pi in make test, the whole in make test-all",
}
"""By the word of the marker what is to be shown."""
_BY_RADIO = "a whole machine that is emulated, and radios that its kernel makes up"
WITH: Mapping[str, str] = {
    "alone": "an emulated Pi, whose stick is a folder",
    "alone begins": "a root of Debian, which is no Pi, and a bundle without Docker",
    "laptop": "an emulated Pi without a route, and a laptop whose ways out lead to nobody",
    "second run": "an emulated Pi",
    "cut installation": "an emulated Pi, cut at three points, whose card has all that was written",
    "cut serves": "an emulated Pi, cut at two points, whose card has all that was written",
    "clock 2020": "the decision and the module, not a Pi",
    "clock 2099": "a root of Debian, which is no Pi, whose programs are told so by libfaketime",
    "cut import": "folders as a cut leaves them, made by the test",
    "lease": "a cable stands for the radio",
    "looked at": "a cable stands for the radio",
    **dict.fromkeys(("lease by radio", "two addresses", "back"), _BY_RADIO),
    **dict.fromkeys(("lock-out", "shared"), f"{_BY_RADIO}; the log-in is that of the operator's page"),
    "switch": "a cable stands for the radio; NetworkManager is asked for 2 minutes, and waited for 4 seconds",
    "off": "a cable stands for the radio",
    "portal": "devices that are doubles, by a proxy that tells their addresses",
    "models": "doubles, from what the makers say",
    "resumed": "a file of 19,000 bytes, in pieces of 1,000, on one machine",
    "resumed 4 GiB": "a file with as large a hole, on one machine",
    "time": "gpsd with a receiver made of software",
    "position": "gpsd with a receiver made of software; the map server with a file as the program writes it",
    "position shown": "Chromium, and a file as the program writes it",
    "stale": "gpsd with a receiver made of software",
    "no GPS": "gpsd with a receiver made of software",
    "emulated Pi": "refusals alone: of a changed bundle, of a Wi-Fi without a radio; the rest in make test-bundle",
}
"""With what it is shown, where that is less than a Pi."""
OPEN: Mapping[str, str] = {
    "back in time": "the whole machine is emulated: the test prints the seconds of its clock, which are not a Pi's",
}
"""What no test shows, and why."""


def merged(played: Iterable[Played]) -> dict[str, Any]:
    """Give the whole report: a row for each check, also for one that nothing shows."""
    found = list(played)
    return {"checks": [_row(check, [one for one in found if one.line == check]) for check in CHECKS]}


def _row(check: str, played: list[Played]) -> dict[str, Any]:
    failed = tests_of(one for one in played if not one.right)
    why = OPEN.get(check) or ("" if played else "not played") or (f"failed: {', '.join(failed)}" if failed else "")
    told = {"why": why, "with": WITH.get(check, ""), "tests": tests_of(played)}
    return {"name": CHECKS[check], "right": not why, **{name: one for name, one in told.items() if one}}


def problems(played: Iterable[Played]) -> list[str]:
    """Say what is wrong: with checks that have tests, and with what tests and the tables name."""
    found = list(played)
    marked = {one.line for one in found}
    rows = dict(zip(CHECKS, merged(found)["checks"], strict=True))
    wrong = [f"{row['name']}: {row['why']}" for check, row in rows.items() if not row["right"] and check not in OPEN]
    wrong += [f"{check} has a test, and is no longer open" for check in OPEN if check in marked]
    return wrong + [f"{check} is no check" for check in sorted(marked - set(CHECKS))]


def main() -> str:
    """Merge the reports; give what is wrong, for sys.exit()."""
    played = played_by("autonomy")
    report = merged(played)
    write(REPORTS / "autonomy.json", report)
    rows = report["checks"]
    print(f"Far from any network: {sum(row['right'] for row in rows)} of {len(rows)} checks are right.")
    return "\n".join(problems(played))


if __name__ == "__main__":
    sys.exit(main() or 0)
