"""Lines of ours in config.txt stand at its end, for every model, once; and go as they came."""

from __future__ import annotations

import pytest
from ansible.module_utils.poppyfield.host.firmware_settings import with_block

STOCK = "dtparam=audio=on\n[cm4]\notg_mode=1\n[all]\nenable_uart=1\n"
LINE = "dtoverlay=i2c-rtc,ds3231"
BLOCK = f"# BEGIN Poppyfield: clock\n[all]\n{LINE}\n# END Poppyfield: clock\n"


@pytest.mark.parametrize("text", ["", STOCK, STOCK.removesuffix("\n"), "[pi4]\nx=1\n"])
def test_a_block_comes_to_the_end_and_goes_again(text: str) -> None:
    written = with_block(text, "clock", [LINE])
    whole = text if not text or text.endswith("\n") else f"{text}\n"
    assert written == whole + BLOCK
    assert with_block(written, "clock", [LINE]) == written
    assert with_block(written, "clock", []) == whole


def test_another_line_takes_the_place_of_ours_and_what_others_wrote_stays() -> None:
    text = f"{STOCK}{BLOCK}# somebody's\n"
    assert with_block(text, "clock", ["dtoverlay=i2c-rtc,rv3028"]) == (
        f"{STOCK}# somebody's\n{BLOCK.replace('ds3231', 'rv3028')}"
    )
    assert with_block(text, "another", []) == text


def test_what_somebody_else_has_written_is_not_written_twice() -> None:
    assert with_block(f"{STOCK}{LINE}\n", "clock", [LINE]) == f"{STOCK}{LINE}\n"
    # For one model alone it does not count on this one.
    assert with_block(f"[cm4]\n{LINE}\n", "clock", [LINE]) == f"[cm4]\n{LINE}\n{BLOCK}"
