"""Faults seeded on the Pi: its page alone names each, with the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from testinfra.host import Host

from page_of_the_pi import PROGRAM, look, page

PROJECT = "/srv/poppyfield/lizmap/projects/sample/france.qgs"
SETTINGS = f"{PROGRAM}/settings.json"

Fault = AbstractContextManager[None]


@contextmanager
def seeded(pi: Host, before: str, after: str) -> Iterator[None]:
    """Seed a fault, and take it away."""
    pi.check_output("sh -c %s", before)
    try:
        yield
    finally:
        pi.check_output("sh -c %s", after)


def says(pi: Host, command: str, words: str) -> Fault:
    """Have a command of the Pi say what its hardware, its kernel or Debian's archive would."""
    path = f"/usr/local/bin/{command}"
    return seeded(pi, f"printf '#!/bin/sh\\necho \"{words}\"\\n' > {path} && chmod +x {path}", f"rm {path}")


def tells(pi: Host, file: str, change: str) -> Fault:
    """Have the kernel tell something else in a file."""
    told = "told=$(mktemp --tmpdir=/run told.XXXXXX)"
    return seeded(pi, f"{told} && sed -E '{change}' {file} > $told && mount --bind $told {file}", f"umount {file}")


def loaded(pi: Host, average: int) -> Fault:
    """Have the kernel tell another load: that of an emulated Pi is its laptop's."""
    return tells(pi, "/proc/loadavg", rf"s/.*/{average} {average} {average} 1\/1 1/")


BROKEN_MAP = f'cp -a {PROJECT} /var/tmp/kept && sed -i \'s/"sample"."towns"/"sample"."gone"/\' {PROJECT}'
SMALL_DISK = "mount -t tmpfs -o size=10m full {0} && head -c 10m /dev/zero > {0}/full || true"
CONFIG = "/srv/poppyfield/lizmap/config"
UPDATE = "Inst openssl [3.5.1-1] (3.5.1-1+deb13u1 Debian-Security:13/stable-security [arm64])"
LISTS = "/var/lib/apt/lists/seeded-security_InRelease"
FAULTS: dict[str, tuple[Callable[[Host], Fault], str, str]] = {
    # Before the faults of the database, without which no map draws either.
    "table gone": (
        lambda pi: seeded(pi, BROKEN_MAP, f"mv /var/tmp/kept {PROJECT} && touch {PROJECT}"),
        "does not draw: ansible-playbook playbooks/verify.yml tells why",
        "ne se dessine pas : ansible-playbook playbooks/verify.yml dit pourquoi",
    ),
    "database stopped": (
        lambda pi: seeded(pi, "docker stop websig-postgis", "docker start websig-postgis"),
        "Database: stopped. ansible-playbook playbooks/service.yml starts it",
        "Base de données : à l'arrêt. ansible-playbook playbooks/service.yml démarre",
    ),
    "database paused": (
        lambda pi: seeded(pi, "docker pause websig-postgis", "docker unpause websig-postgis"),
        "Database: paused. ansible-playbook site.yml lets it go on",
        "Base de données : en pause. ansible-playbook site.yml remet en marche",
    ),
    "database missing": (
        lambda pi: seeded(
            pi, "docker rename websig-postgis kept-previous", "docker rename kept-previous websig-postgis"
        ),
        "Database: missing. ansible-playbook site.yml brings what is missing",
        "Base de données : absent. ansible-playbook site.yml apporte ce qui manque",
    ),
    "voltage too low": (
        lambda pi: says(pi, "vcgencmd", "throttled=0x50005"),
        "The voltage is too low: use the power supply made for this Pi",
        "La tension est trop basse : prenez l'alimentation faite pour ce Pi",
    ),
    "disk full": (
        lambda pi: seeded(pi, SMALL_DISK.format(CONFIG), f"umount {CONFIG}"),
        "The disk is nearly full: remove what is not needed",
        "Le disque est presque plein : supprimez l'inutile",
    ),
    "card failing": (
        lambda pi: says(pi, "dmesg", "I/O error, dev mmcblk0, sector 8 op 0x0:(READ)"),
        "fails to read or write: make a backup now, and replace the card",
        "sauvegardez tout de suite et remplacez la carte",
    ),
    "memory": (
        lambda pi: tells(pi, "/proc/meminfo", "s/^(MemAvailable:).*/\\1 1000 kB/"),
        "Little memory is left: fewer people at once",
        "Il reste peu de mémoire : moins de personnes à la fois",
    ),
    "load": (
        lambda pi: loaded(pi, 90),
        "It has more to do than it can: fewer people at once",
        "Il a plus à faire qu'il ne peut : moins de personnes à la fois",
    ),
    "clock": (
        lambda pi: seeded(pi, f"touch --date='+2 days' {SETTINGS}", f"touch {SETTINGS}"),
        "The clock is wrong: connect the Pi to a network with a time server",
        "L'horloge est fausse : reliez le Pi à un serveur de temps",
    ),
    "security updates": (
        lambda pi: seeded(
            pi,
            f"touch {LISTS} && printf '#!/bin/sh\\necho \"{UPDATE}\"\\n' > /usr/local/bin/apt-get"
            " && chmod +x /usr/local/bin/apt-get",
            f"rm {LISTS} /usr/local/bin/apt-get",
        ),
        "Security updates wait: connect the Pi to the internet",
        "Des mises à jour de sécurité attendent : reliez le Pi à internet",
    ),
}


def test_the_weekly_look_reads_all_pages_of_the_database(pi: Host) -> None:
    assert pi.service("poppyfield-data-check.timer").is_enabled
    pi.check_output("systemctl start poppyfield-data-check.service")
    found = json.loads(pi.check_output("cat /var/lib/poppyfield/data-check/state.json"))
    assert found["result"] == "whole" and found["pages"] > 1000, found


@pytest.fixture(scope="module")
def pages(pi: Host) -> Iterator[list[str]]:
    """Keep what the page said: first without a fault, then with each; in the end nothing of them is left on it."""
    with loaded(pi, 0):
        look(pi)
        yield [page()]
        look(pi)
        left = page()
    assert not [english for _, english, _ in FAULTS.values() if english in left]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_page_alone_names_a_fault_and_its_remedy(pi: Host, pages: list[str], fault: str) -> None:
    seed, english, french = FAULTS[fault]
    # With the fault before this one it was not said: a look takes a while here, and there need not be one in between.
    assert english not in pages[-1]
    with seed(pi):
        look(pi)
        pages.append(page())
        in_french = page("fr")
    assert english in pages[-1] and french in in_french
