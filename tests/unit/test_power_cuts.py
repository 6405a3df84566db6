"""What a disk holds after a cut of power, by the log of its writes; and what counts as a loss."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from tests.power_cuts import __main__ as program
from tests.power_cuts import machine, real_cuts
from tests.power_cuts.cutting import Row
from tests.unit.write_logs import log_of
from workshop.emulator import write_log
from workshop.emulator.write_log import SECTOR, Flag

DISK_SECTORS = 64


def sectors(letter: str, count: int = 1) -> bytes:
    return letter.encode() * SECTOR * count


def disk_of(folder: Path) -> Path:
    path = folder / "disk.img"
    path.write_bytes(bytes(DISK_SECTORS * SECTOR))
    return path


def read(log: Path) -> list[write_log.Entry]:
    with log.open("rb") as source:
        return list(write_log.entries(source))


FLUSH = (0, b"", Flag.FLUSH)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of two writes that were flushed, then three that were not, one of them forced."""
    written = [(0, sectors("a", 2), 0), (1, sectors("b"), 0), FLUSH]
    written += [(4, sectors("c", 8), 0), (20, sectors("f"), Flag.FUA), (30, sectors("d"), 0)]
    return log_of(tmp_path, *written)


def test_what_was_flushed_is_kept_in_its_order(log: Path, tmp_path: Path) -> None:
    found, disk = read(log), disk_of(tmp_path)
    flushed = write_log.flushed_before(found, 5)
    write_log.Replay(log, disk).forward(found, flushed)
    assert disk.read_bytes()[: 3 * SECTOR] == sectors("a") + sectors("b") + bytes(SECTOR)
    assert not any(disk.read_bytes()[3 * SECTOR :])


def test_what_was_not_flushed_is_lost_in_parts_and_what_was_forced_never(log: Path, tmp_path: Path) -> None:
    window = read(log)[3:]
    left = set()
    for seed in range(200):
        disk = disk_of(tmp_path)
        kept = write_log.survivors(window, seed)
        assert write_log.survivors(window, seed) == kept
        write_log.write(log, disk, kept)
        content = disk.read_bytes()
        assert content[20 * SECTOR : 21 * SECTOR] == sectors("f")
        left.add((content.count(b"c") // SECTOR, content.count(b"d") // SECTOR))
    assert (8, 1) not in left, "a cut that lost nothing"
    assert {(0, 0), (8, 0), (0, 1)} <= left
    assert any(0 < of_c < 8 for of_c, _ in left), "no write was torn"


def test_a_cut_is_where_something_can_be_lost(log: Path) -> None:
    found = read(log)
    chances = write_log.moments(found, found[2].end, found[-1].end)
    assert {write_log.choose(chances, seed).last for seed in range(50)} == {3, 4, 5}
    assert [number for number, _ in write_log.moments(found, found[0].end, found[2].end)] == [1]
    assert write_log.moments(found, found[1].end, found[2].end) == []


def test_the_end_of_a_log_that_is_being_written_is_not_read(log: Path) -> None:
    log.write_bytes(log.read_bytes()[: -SECTOR // 2])
    assert len(read(log)) == 5


def test_what_is_no_log_is_told(tmp_path: Path) -> None:
    path = tmp_path / "writes.log"
    path.write_bytes(bytes(4 * SECTOR))
    with pytest.raises(ValueError, match="not a log of writes"):
        read(path)


def row(name: str, *, lost: int = 0, up: bool = True, damage: str = "") -> Row:
    return Row(name, 1, 2, 3, 10, lost, up, damage, 0.5)


GOOD = [row("commits"), row("first-start"), row("control", lost=4)]


@pytest.mark.parametrize(
    ("rows", "is_wrong"),
    [
        (GOOD, False),
        ([*GOOD, row("commits", lost=1)], True),
        ([*GOOD, row("first-start", up=False)], True),
        ([*GOOD, row("commits", damage="damaged: 1/2")], True),
        ([row("commits"), row("control")], True),
    ],
    ids=["good", "lost", "not up", "damaged", "the control lost nothing"],
)
def test_a_loss_is_a_failure_and_so_is_a_control_without_one(rows: list[Row], *, is_wrong: bool) -> None:
    assert program.wrong(rows, {one.name for one in rows}) == is_wrong


def test_each_class_has_a_share_of_all_cuts() -> None:
    assert [kind.name for kind in program.CLASSES] == list(program.SHARES)
    assert sum(program.SHARES.values()) == pytest.approx(1)


def test_the_control_counts_for_itself_alone() -> None:
    found = program.report([*GOOD, row("control", lost=6, up=False)])
    assert (found["cuts"], found["acknowledged"], found["lost"], found["not_up_again"]) == (2, 20, 0, 0)
    assert found["control_lost"] == 10


def test_real_cuts_count_and_are_not_taken_from_an_old_report(tmp_path: Path) -> None:
    found = program.report([*GOOD, row("machine"), row("machine", lost=1)])
    assert (found["cuts"], found["real_cuts"], found["lost"]) == (4, 2, 1)
    path = tmp_path / "power-cuts.json"
    path.write_text(json.dumps(found))
    assert program.others(path) == GOOD
    assert program.others(tmp_path / "none.json") == []


class Plugged:
    """A machine whose cuts are told beforehand."""

    def __init__(self) -> None:
        self.stopped = 0

    def stop(self) -> None:
        self.stopped += 1


def test_a_later_run_goes_on_with_the_cuts_that_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = "this one"
    monkeypatch.setattr(real_cuts, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(real_cuts.Results, "state", property(lambda _: state))
    plugged = Plugged()
    monkeypatch.setattr(machine, "running", lambda _: plugged)
    dropped = iter([3, 0, 1, 2, 5])
    monkeypatch.setattr(
        machine, "cuts", lambda *_: (replace(row("machine"), seed=number, dropped=number) for number in dropped)
    )
    for count, counting in ((2, [3, 1]), (3, [3, 1, 2]), (3, [3, 1, 2])):
        machine.play(count, 0)
        assert [one.dropped for one in machine.RESULTS.counting] == counting
    # The machine is not even started where all have been played.
    assert plugged.stopped == 2
    state = "another"
    assert machine.RESULTS.rows == []


def test_machines_side_by_side_share_the_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_cuts, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(real_cuts.Results, "state", property(lambda _: "this one"))
    plugged = [Plugged(), Plugged()]
    monkeypatch.setattr(machine, "running", lambda place: plugged[machine.PLACES.index(place)])
    both_play = Barrier(2, timeout=60)

    def cuts(one: Plugged, _: int) -> Iterator[Row]:
        both_play.wait()
        for _ in range(4):
            yield replace(row("machine"), seed=plugged.index(one))

    monkeypatch.setattr(machine, "cuts", cuts)
    machine.play(4, 0, machines=2)
    # Each of the two may have had a cut under way when the last one was noted.
    assert 4 <= len(machine.RESULTS.counting) <= 5
    assert [one.stopped for one in plugged] == [1, 1]


def test_what_was_acknowledged_is_known_after_this_machine_ended_in_the_middle(tmp_path: Path) -> None:
    ledger = real_cuts.Ledger(tmp_path)
    assert (ledger.rows, ledger.walks) == ([], 0)
    for name in ("0/0", "4/0", "4/1", "7/0"):
        ledger.note(name)
    with (tmp_path / "acknowledged").open("a") as file:
        file.write("8/")
    again = real_cuts.Ledger(tmp_path)
    assert again.rows == ["0/0", "4/0", "4/1", "7/0"]
    assert again.walks == 2
    again.note("9/0")
    assert again.rows[-2:] == ["7/0", "9/0"]
    assert again.is_as_before(b"picture") and again.is_as_before(b"picture") and not again.is_as_before(b"other")
