"""What a Pi's page says: each fault with its remedy, in two languages, and nothing else that a visitor could use."""

from __future__ import annotations

import json
import re
import struct
import zlib
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from ansible.module_utils.poppyfield.host import card, stack_status
from ansible.module_utils.poppyfield.host.stack_status import DockerAnswers, FolderOnDisk, HostAnswers
from ansible.module_utils.poppyfield.pi_page import judge, maps, program, render, words
from ansible.module_utils.poppyfield.pi_page.judge import PiHealth
from ansible.module_utils.poppyfield.pi_page.maps import SeenAnswer
from ansible.module_utils.poppyfield.status import rows

Json = dict[str, Any]
NOW = datetime(2026, 11, 29, 15, 0, tzinfo=UTC)
WHEN = NOW.isoformat(timespec="seconds")
GB = 1024**3
SECRET = "/srv/secret-path/private-project.qgs of version 3.40.9"
FRANCE: Json = {
    "title": "France",
    "link": "/",
    "draws": True,
    "asked": 0.0,
    "picture": "0123456789abcdef",
    "pictured": "2026-11-29T14:55:00+00:00",
}


def container(service: str, **state: Any) -> Json:
    """Give a container as Docker inspects it."""
    return {
        "Id": service,
        "Name": f"/websig-{service}",
        "Config": {
            "Image": f"poppyfield/{service}:9.9.9",
            "Labels": {"fr.poppyfield.managed": "true", "fr.poppyfield.resource": service},
        },
        "State": {
            "Status": "running",
            "Running": True,
            "StartedAt": "2026-11-29T12:00:00Z",
            "Health": {"Status": "healthy", "Log": [{"Output": SECRET}]},
            **state,
        },
        "RestartCount": state.get("RestartCount", 0),
        "Mounts": [],
    }


def host(**answers: Any) -> HostAnswers:
    """Give what a Pi that is fine says of itself."""
    fine = {
        "model": "Raspberry Pi 4 Model B Rev 1.4",
        "os_release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"',
        "kernel": "6.12.34-rpi",
        "architecture": "arm64",
        "millidegrees": "48000",
        "throttled": "throttled=0x0",
        "voltage_alarm": "",
        "load": "0.2 0.3 0.4 1/300 4000",
        "memory": "MemTotal: 3900000 kB\nMemAvailable: 2500000 kB\n",
        "cores": 4,
    }
    return HostAnswers(**{**fine, **answers})


def backup(**wrong: bool) -> Json:
    """What stack_info tells of the backups on a target."""
    when = "2026-11-29T12:00:00+00:00"
    return {"target": "private-project", "saved": when, "proven": when, "proof_said": SECRET, **wrong}


WELL = backup()
DAMAGED: Json = {"database": "private-project", "table": SECRET, "index": None, "file": SECRET, "pages": 1}


def health(
    *containers: Json,
    seen: HostAnswers | None = None,
    free: int = 20 * GB,
    maps: Any = (FRANCE,),
    more: Any = (),
    backups: Any = (WELL,),
    damaged: Any = (),
    on_card: Any = (),
    hotspot: Any = (),
) -> PiHealth:
    """Give how a Pi fares, from what Docker and the host answer; without containers given, with two that are fine."""
    own = containers or (container("postgis"), container("lizmap"))
    listed = [{"ImageID": "i", "Id": one["Id"]} for one in own]
    docker = DockerAnswers(
        info={"ServerVersion": "26.1.5", "DockerRootDir": "/"}, containers=listed, own_containers=own
    )
    disk = FolderOnDisk("/var/lib/docker", 1, 30 * GB, free, 1000, 900)
    check = {"at": WHEN, "result": "damaged", "said": "", "pages": 9, "damaged": list(damaged)}
    found = stack_status.describe(
        seen or host(), docker, [disk], None, NOW, data_check=check if damaged else None, card=on_card
    )
    look = {**found, "backups": list(backups), "hotspot": hotspot if hotspot is None else {"codes": list(hotspot)}}
    return judge.judge("pi-orchard", look, list(maps), list(more), WHEN)


def pages(found: PiHealth, name: str = "pi-orchard", shown: Any = (FRANCE,)) -> dict[str, str]:
    """Give the page of each language."""
    return {language: render.status(name, found, list(shown), language, WHEN) for language in words.LANGUAGES}


def test_the_commands_that_rebuild_it_are_named_where_it_has_them() -> None:
    for language, sentence in (
        ("en", "Without a laptop and without internet"),
        ("fr", "Sans portable et sans internet"),
    ):
        page = render.status("pi-orchard", health(), [], language, WHEN, compose="docker-compose")
        commands = re.findall(r"<code>(.*?)</code>", page)
        assert commands == ["cd /srv/poppyfield", "sudo docker-compose down", "sudo docker-compose up -d"]
        assert sentence in page and sentence not in render.status("pi-orchard", health(), [], language, WHEN)


STOPPED = {"Status": "exited", "Running": False, "ExitCode": 137, "Health": {"Status": "unhealthy"}}
FAULTS = {
    "backup_too_old": (health(backups=[backup(too_old=True)]), "put the stick in", "branchez la clé"),
    "backup_unproven": (health(backups=[backup(unproven=True)]), "leave the stick in", "laissez la clé"),
    "backup_different": (health(backups=[backup(different=True)]), "take another stick", "prenez une autre clé"),
    "backup_behind": (health(backups=[backup(behind=True)]), "within a minute", "dans la minute"),
    "backup_too_small": (
        health(backups=[backup(too_small=True)]),
        "whether data are missing",
        "s'il manque des données",
    ),
    "data_damaged": (health(damaged=[DAMAGED]), "restore the backup", "restaurez la sauvegarde"),
    "data_unsaved": (health(damaged=[DAMAGED], backups=[]), "how the rest is saved", "comment sauver le reste"),
    "data_index": (health(damaged=[{**DAMAGED, "index": SECRET}]), "renew it", "comment le refaire"),
    "voltage": (
        health(seen=host(throttled="throttled=0x50005")),
        "power supply made for this Pi",
        "l'alimentation faite",
    ),
    "voltage_earlier": (health(seen=host(throttled="throttled=0x50000")), "since the start", "depuis le démarrage"),
    "hot": (health(seen=host(millidegrees="83000")), "a heat sink", "un radiateur"),
    "load": (health(seen=host(load="9 12.5 8 1/1 1")), "fewer people at once", "moins de personnes"),
    "memory": (
        health(seen=host(memory="MemTotal: 900000 kB\nMemAvailable: 30000 kB\n")),
        "more memory",
        "plus de mémoire",
    ),
    "disk": (health(free=GB // 2), "remove what is not needed", "supprimez l'inutile"),
    "stopped": (health(container("postgis", **STOPPED), container("lizmap")), "service.yml starts it", "démarre"),
    "paused": (
        health(container("postgis", Status="paused", Paused=True), container("lizmap")),
        "lets it go on",
        "en marche",
    ),
    "restarting": (
        health(container("postgis", **{**STOPPED, "Status": "restarting"}), container("lizmap")),
        "logs.yml tells why",
        "logs.yml dit pourquoi",
    ),
    "restarts": (health(container("postgis", RestartCount=3), container("lizmap")), "logs.yml", "logs.yml"),
    "unhealthy": (
        health(container("postgis"), container("lizmap", Health={"Status": "unhealthy", "Log": [{"Output": SECRET}]})),
        "site.yml mends it",
        "site.yml répare",
    ),
    "starting": (
        health(container("postgis"), container("lizmap", Health={"Status": "starting"})),
        "few minutes",
        "minutes",
    ),
    "missing": (health(container("lizmap")), "brings what is missing", "apporte ce qui manque"),
    "left_out": (
        health(
            container("postgis"),
            container(
                "lizmap",
                Health={
                    "Status": "healthy",
                    "Log": [{"ExitCode": 0, "Output": "Left out: fields/secret.qgs (Rivers)\n"}],
                },
            ),
        ),
        "tells which",
        "dit lesquelles",
    ),
    "map": (health(maps=[{**FRANCE, "draws": False}]), "verify.yml tells why", "verify.yml dit pourquoi"),
    **{
        code: (health(on_card=[code]), english, french)
        for code, english, french in (
            ("io_errors", "replace the card", "remplacez la carte"),
            ("read_only", "restart the Pi", "redémarrez le Pi"),
            ("worn", "replace it soon", "remplacez-la bientôt"),
        )
    },
    **{
        code: (health(hotspot=[code]), english, french)
        for code, english, french in (
            ("hotspot_absent", "site.yml sets it up", "site.yml l'installe"),
            ("hotspot_closed", "plug its adapter in, and restart the Pi", "branchez son adaptateur, et redémarrez"),
            ("hotspot_silent", "restart the Pi", "redémarrez le Pi"),
            ("hotspot_no_address", "systemctl restart poppyfield-hotspot", "systemctl restart poppyfield-hotspot"),
            ("hotspot_no_name", "systemctl restart poppyfield-hotspot", "systemctl restart poppyfield-hotspot"),
            ("hotspot_full", "a larger hotspot_network", "un hotspot_network plus grand"),
        )
    },
    **{
        code: (health(more=[code]), english, french)
        for code, english, french in (
            ("clock_before", "a time server", "un serveur de temps"),
            ("updates", "sudo apt full-upgrade", "sudo apt full-upgrade"),
        )
    },
}


@pytest.mark.parametrize("code", FAULTS)
def test_each_fault_is_named_with_its_remedy_in_two_languages(code: str) -> None:
    found, english, french = FAULTS[code]
    assert [one["code"] for one in found.wrong] == [code]
    said = {language: Reader.text_of(page) for language, page in pages(found).items()}
    assert english in said["en"] and french in said["fr"]
    assert words.LABELS["en"]["fine"] not in said["en"] or code == "updates"


def test_a_pi_that_is_fine_says_so_of_each_subject() -> None:
    found = health()
    assert (found.level, found.wrong) == ("fine", [])
    said = Reader.text_of(pages(found)["fr"])
    assert all(words.FINE["fr"][subject] in said for subject in words.SUBJECTS["fr"])


def test_a_pi_that_makes_no_backups_is_not_asked_for_them() -> None:
    assert words.SUBJECTS["en"]["backup"] not in Reader.text_of(pages(health(backups=[]))["en"])


def test_a_pi_without_a_wifi_of_its_own_says_nothing_of_it() -> None:
    assert words.SUBJECTS["en"]["hotspot"] not in Reader.text_of(pages(health(hotspot=None))["en"])


def test_what_a_pi_does_not_tell_is_not_called_good() -> None:
    said = Reader.text_of(pages(health(seen=host(throttled="")))["en"])
    assert words.FINE["en"]["power"] not in said and words.LABELS["en"]["not_told"] in said


def test_without_docker_the_page_says_so_and_nothing_good_of_containers() -> None:
    look = stack_status.describe(host(), DockerAnswers(why=SECRET), [], None, NOW)
    found = judge.judge("pi", look, [], [], WHEN)
    assert [one["code"] for one in found.wrong] == ["no_docker"]
    assert "database" not in found.known and "map_server" not in found.known


def test_both_languages_have_the_same() -> None:
    for table in (words.SENTENCES, words.SUBJECTS, words.FINE, words.LABELS):
        assert set(table["en"]) == set(table["fr"])
    assert {*judge.SUBJECT_OF} <= set(words.SENTENCES["en"])
    assert set(FAULTS) | {"no_docker", "not_known"} == set(words.SENTENCES["en"])


@pytest.mark.parametrize("code", FAULTS)
def test_no_page_tells_versions_paths_or_what_a_program_said(code: str) -> None:
    found = FAULTS[code][0]
    told = "".join(pages(found).values()) + json.dumps(judge.for_programs(found, WHEN))
    for secret in ("secret-path", "private-project", "3.40", "26.1.5", "9.9.9", "trixie", "websig-", "/srv/", "/var/"):
        assert secret not in told
    assert "France" not in json.dumps(judge.for_programs(found, WHEN))


HOSTILE = '<script>alert(1)</script><!--# include virtual="/index.json" -->"\'><img src=//evil.example/x onerror=y>'


@pytest.mark.attack(kind="script in a name", on="Pi", proof="test_a_name_that_is_not_escaped_would_run")
def test_names_of_others_are_neither_html_nor_orders_to_nginx() -> None:
    hostile = {**FRANCE, "title": HOSTILE, "draws": False, "link": f"/{HOSTILE}"}
    found = health(maps=[hostile])
    shown = [*pages(found, HOSTILE, [hostile]).values(), render.front(HOSTILE, found, [hostile], "en", WHEN)]
    for page in shown:
        reader = Reader.of(page)
        assert "script" not in reader.tags and reader.sources == [f"/status/maps/{FRANCE['picture']}.png"]
        assert page.count("<!--#") == 4
        assert HOSTILE in reader.text


def test_a_name_that_is_not_escaped_would_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "escape", str)
    page = render.front(HOSTILE, health(), [], "en", WHEN)
    assert "script" in Reader.of(page).tags and page.count("<!--#") > 4


class Reader(HTMLParser):
    """Reads a page as a browser does."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [str(value) for name, value in attrs if name == "src"]

    def handle_data(self, data: str) -> None:
        self.text += data

    @classmethod
    def of(cls, page: str) -> Reader:
        reader = cls()
        reader.feed(page)
        return reader

    @classmethod
    def text_of(cls, page: str) -> str:
        return cls.of(page).text


def test_the_front_page_has_the_maps_the_way_in_and_a_word_when_something_is_wrong() -> None:
    fine = render.front("pi-orchard", health(), [FRANCE], "fr", WHEN)
    assert all(
        words in fine for words in ("<h1>pi-orchard</h1>", "France", "/admin.php/auth/login", "/index.php/view/")
    )
    assert words.LABELS["fr"]["broken"] not in fine
    broken = render.front("pi-orchard", FAULTS["stopped"][0], [], "fr", WHEN)
    assert words.LABELS["fr"]["broken"] in broken and words.LABELS["fr"]["no_maps"] in broken


@pytest.mark.parametrize(("later", "good"), [(0, True), (-30, True), (299, True), (600, False), (-600, False)])
def test_a_page_is_good_for_five_minutes(later: int, good: bool) -> None:
    now = int(NOW.timestamp())
    expression = render.fresh(now)
    pattern = expression.removeprefix("$date_gmt = /").removesuffix("/")
    assert bool(re.match(pattern, str(now + later))) is good
    assert len(expression) < 256


# The card -----------------------------------------------------------------------------------------------------------

MOUNTS = "proc /proc proc rw 0 0\n/dev/mmcblk0p2 / ext4 rw,noatime 0 0\n/dev/sda1 /mnt vfat rw 0 0\n"


@pytest.mark.parametrize(
    ("told", "codes"),
    [
        (("", MOUNTS, "0\n", "", ""), []),
        (("[  9.1] I/O error, dev mmcblk0, sector 8 op 0x0:(READ)", MOUNTS, "", "", ""), ["io_errors"]),
        (("[  9.1] EXT4-fs error (device mmcblk0p2): ext4_find_entry", MOUNTS, "", "", ""), ["io_errors"]),
        # A stick that was pulled out is not the card.
        (("[  9.1] I/O error, dev sda, sector 8", MOUNTS, "", "", ""), []),
        (("", MOUNTS, "3\n", "", ""), ["io_errors"]),
        (("", MOUNTS.replace("rw,noatime", "ro,noatime"), "", "", ""), ["read_only"]),
        (("", MOUNTS, "", "0x0a 0x01\n", "0x01\n"), ["worn"]),
        (("", MOUNTS, "", "0x02 0x01\n", "0x03\n"), ["worn"]),
        (("", MOUNTS, "", "0x02 0x01\n", "0x01\n"), []),
        (("", "overlay / overlay rw 0 0\n", "", "", ""), []),
    ],
)
def test_what_the_kernel_tells_of_the_card(told: tuple[str, str, str, str, str], codes: list[str]) -> None:
    assert card.problems(*told) == codes


ON_A_DISK = f"{MOUNTS}/dev/sdb1 /srv/my\\040data ext4 rw 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "folders", "told"),
    [
        (ON_A_DISK, ("/srv/my data/postgis",), False),
        (ON_A_DISK.replace("ext4 rw 0", "ext4 ro 0"), ("/srv/my data/postgis",), True),
        # Newer kernels leave the first option, and add this one.
        (ON_A_DISK.replace("ext4 rw 0", "ext4 rw,emergency_ro 0"), ("/srv/my data/postgis",), True),
        # Another one's name only begins so.
        (ON_A_DISK.replace("ext4 rw 0", "ext4 ro 0"), ("/srv/my database", "/"), False),
        # What was mounted later covers what was there.
        (f"{ON_A_DISK}tmpfs /srv/my\\040data tmpfs ro 0 0\n", ("/srv/my data",), True),
        ("", ("/srv",), False),
    ],
)
def test_the_disk_of_the_data_that_takes_nothing_is_told(mounts: str, folders: tuple[str, ...], told: bool) -> None:
    assert (card.problems("", mounts, "", "", "", folders=folders) == ["read_only"]) is told


@pytest.mark.parametrize(
    ("mounted", "disk"),
    [("/dev/mmcblk0p2", "mmcblk0"), ("/dev/sda2", "sda"), ("/dev/nvme0n1p2", "nvme0n1"), ("overlay", "mmcblk0")],
)
def test_the_disk_of_the_system(mounted: str, disk: str) -> None:
    assert card.root_disk(f"{mounted} / ext4 rw 0 0\n") == disk


def test_a_clock_before_the_deployment_is_wrong() -> None:
    assert program.more_wrong({"wait": False}, 1000.0, 5000.0) == ["clock_before"]
    assert program.more_wrong({"wait": True}, 5000.0, 5000.0) == ["updates"]


# Maps ---------------------------------------------------------------------------------------------------------------

CAPABILITIES = b"""<?xml version="1.0"?><WMS_Capabilities xmlns="http://www.opengis.net/wms"><Service><Title>Fields</Title>
</Service><Capability><Layer><Name>f</Name><Layer queryable="1"><Name>trees</Name><CRS>EPSG:3857</CRS>
<BoundingBox CRS="EPSG:3857" minx="0" miny="0" maxx="10" maxy="10"/></Layer></Layer></Capability></WMS_Capabilities>"""


def png(pixels: bytes, width: int = 16) -> bytes:
    """Give a grey picture."""
    lines = b"".join(b"\0" + pixels[at : at + width] for at in range(0, len(pixels), width))

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, len(pixels) // width, 8, 0, 0, 0, 0)
    return maps.PNG + part(b"IHDR", header) + part(b"IDAT", zlib.compress(lines)) + part(b"IEND", b"")


DRAWN = png(bytes(range(256)))


def server(**answers: SeenAnswer) -> Any:
    """Give what answers by what is asked for."""

    def ask(path: str) -> SeenAnswer:
        asked.append(unquote(path))
        return next(answer for words, answer in answers.items() if words in path)

    asked: list[str] = []
    ask.asked = asked  # type: ignore[attr-defined]
    return ask


GOOD = {"GetCapabilities": SeenAnswer(200, CAPABILITIES), "GetMap": SeenAnswer(200, DRAWN)}


def test_a_map_that_anybody_sees_has_its_title_and_its_picture() -> None:
    ask = server(**GOOD)
    found, picture = maps.seen(None, ask, "fields/meadow", 5.0, WHEN, is_lizmap=True)
    assert found and (found["title"], found["draws"], picture) == ("Fields", True, DRAWN)
    assert all(path.startswith("/index.php/lizmap/service?repository=fields") for path in ask.asked)
    assert found["link"] == "/index.php/view/map?repository=fields&project=meadow"
    ask = server(**GOOD)
    maps.seen(None, ask, "fields/meadow", 5.0, WHEN, is_lizmap=False)
    assert all(path.startswith("/ows/fields/meadow/?") for path in ask.asked)


@pytest.mark.parametrize("answer", [SeenAnswer(401, b""), SeenAnswer(200, b'code="AuthorizationRequired"')])
def test_a_map_that_is_no_longer_for_everybody_is_forgotten(answer: SeenAnswer) -> None:
    assert maps.seen(dict(FRANCE), server(GetCap=answer), "a/b", 5.0, WHEN, is_lizmap=True) == (None, b"")


@pytest.mark.attack(kind="name of a private map", on="Lizmap", proof=None)
@pytest.mark.parametrize("answer", [SeenAnswer(404, b""), SeenAnswer(500, b"")])
def test_a_map_that_fails_is_named_only_if_everybody_may_see_it(answer: SeenAnswer) -> None:
    ask = server(GetCap=answer)
    assert maps.seen(None, ask, "private/map", 5.0, WHEN, is_lizmap=True) == (None, b"")
    # The same without anybody's rights, and for one that everybody saw before.
    assert maps.seen(None, ask, "private/map", 5.0, WHEN, is_lizmap=False)[0]
    known = maps.seen(dict(FRANCE), ask, "a/b", 5.0, WHEN, is_lizmap=True)[0]
    assert known and (known["title"], known["draws"], known["picture"]) == ("France", False, FRANCE["picture"])


def test_a_map_that_is_late_once_is_not_called_broken() -> None:
    """Thirty people may be asking at that moment."""

    def too_late(_: str) -> SeenAnswer:
        raise TimeoutError

    once, _ = maps.seen(dict(FRANCE), too_late, "a/b", 1000.0, WHEN, is_lizmap=False)
    assert once and once["draws"] and once["picture"] == FRANCE["picture"]
    assert maps.is_due(once, 1001.0)
    twice, _ = maps.seen(once, too_late, "a/b", 1040.0, WHEN, is_lizmap=False)
    assert twice and twice["draws"] is False
    again, _ = maps.seen(once, server(**GOOD), "a/b", 1040.0, WHEN, is_lizmap=False)
    assert again and again["draws"] and not maps.is_due(again, 1041.0)
    later, _ = maps.seen(again, too_late, "a/b", 2000.0, WHEN, is_lizmap=False)
    assert later and later["draws"]
    # Of one that never drew, nothing better is known.
    first, _ = maps.seen(None, too_late, "a/b", 1000.0, WHEN, is_lizmap=False)
    assert first and first["draws"] is False


@pytest.mark.parametrize(
    "answer", [SeenAnswer(200, png(b"\7" * 256)), SeenAnswer(200, b"<ServiceException/>"), SeenAnswer(500, DRAWN)]
)
def test_an_answer_without_a_picture_of_something_does_not_draw(answer: SeenAnswer) -> None:
    found, picture = maps.seen(None, server(**{**GOOD, "GetMap": answer}), "a/b", 5.0, WHEN, is_lizmap=False)
    assert found and found["draws"] is False and picture == b""


@pytest.mark.parametrize("body", [b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>", b"\xff\xfe<\0", b"<x>", b"<x/>"])
def test_capabilities_that_are_none_do_not_draw(body: bytes) -> None:
    found, _ = maps.seen(None, server(GetCap=SeenAnswer(200, body)), "a/b", 5.0, WHEN, is_lizmap=False)
    assert found and found["draws"] is False


def test_maps_are_asked_for_now_and_then_whatever_the_clock_does() -> None:
    known = {**FRANCE, "asked": 1000.0}
    due = {later: maps.is_due(known, 1000.0 + later) for later in (0, 599, 600, -5)}
    assert due == {0: False, 599: False, 600: True, -5: True}
    assert maps.is_due(None, 0.0) and maps.is_due({**known, "draws": False}, 1310.0)


def test_levels_are_those_of_the_fleet() -> None:
    assert {found.level for found, _, _ in FAULTS.values()} <= set(rows.LEVELS)
    assert health(more=["updates"]).level == "fine"


@pytest.mark.parametrize(
    ("cfg", "shown"), [('{"options": {"hideProject": "True"}}', []), ("{}", ["a/b"]), ("no", ["a/b"])]
)
def test_a_project_that_lizmap_leaves_out_of_its_list_is_not_shown(tmp_path: Path, cfg: str, shown: list[str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.qgs").touch()
    (tmp_path / "a" / "b.qgs.cfg").write_text(cfg)
    assert maps.names(tmp_path) == shown
