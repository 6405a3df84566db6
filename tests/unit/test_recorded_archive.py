"""An archive stays the one that was seen first."""

from __future__ import annotations

import pytest
from ansible.module_utils.poppyfield.recorded_archive import format_record, parse_record, problem

SEEN, OTHER = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("actual", "given", "recorded", "refused"),
    [
        (SEEN, None, None, False),
        (SEEN, None, SEEN, False),
        (OTHER, None, SEEN, True),
        (OTHER, OTHER, SEEN, False),
        (SEEN, OTHER, SEEN, True),
        (SEEN, SEEN.upper(), None, False),
    ],
)
def test_what_is_demanded_goes_before_what_was_recorded(
    actual: str, given: str | None, recorded: str | None, refused: bool
) -> None:
    said = problem("x.zip", actual, given, recorded, "/inventory/archives.sha256")
    assert (said is not None) is refused
    if said:
        assert actual in said
        assert "x.zip" in said


def test_a_record_reads_back_what_it_wrote_and_what_sha256sum_writes() -> None:
    record = {"b with spaces.zip": SEEN, "a.zip": OTHER}
    assert parse_record(format_record(record)) == record
    assert parse_record(f"# comment\n\n{SEEN.upper()}  x.zip\n") == {"x.zip": SEEN}
