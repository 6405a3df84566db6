"""How large a picture, a legend, a print or a drawing for CAD may be, decided from a request's parameters alone.

What bounds them is the memory that a worker of QGIS Server may use; one picture for each layer lies in it at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from .judgement import PRINTS, Refused, spellings

BYTES_OF_A_PIXEL = 4
MB = 1024 * 1024
PART_FOR_PICTURES = 0.5
"""Of a worker's memory; data and answers need the rest."""
PART_FOR_A_PRINT = 0.5
"""Of that: beside the page lie the maps in it."""
MM_OF_AN_INCH = 25.4
MOST_DPI = 600
"""Of maps and legends, whose symbols grow with it."""
LARGEST_MM = 30
SIZES_OF_LEGENDS = (
    *("BOXSPACE", "LAYERSPACE", "LAYERTITLESPACE", "SYMBOLSPACE", "ICONLABELSPACE", "SYMBOLWIDTH", "SYMBOLHEIGHT"),
    *("LAYERFONTSIZE", "ITEMFONTSIZE"),
)
LEAST_SCALE = 500
"""Of a drawing for CAD, which holds each symbol along a line, however long it is at that scale."""

Page = tuple[float, float]
"""Width and height in mm."""
Layouts = Callable[[], Mapping[str, Iterable[Page]]]
"""Gives the pages of each layout of the project, which is read for prints only."""


def judge_sizes(sent: Mapping[str, str], layouts: Layouts, worker_mb: int) -> None:
    """Raise Refused for what would take more memory than a worker with so many MB has."""
    # What QGIS decodes once less is no number.
    parameters = {name: list(spellings(value))[-1] for name, value in sent.items()}
    pixels = int(worker_mb * MB * PART_FOR_PICTURES / BYTES_OF_A_PIXEL)
    if parameters.get("REQUEST", "").upper() in PRINTS or parameters.get("SERVICE", "").upper() == "ATLAS":
        known = layouts()
        pages = known.get(parameters.get("TEMPLATE", ""), chain.from_iterable(known.values()))
        _judge_print(parameters, pages, pixels)
        return
    _judge_picture(parameters, pixels)
    _must_be_at_most(parameters, ("DPI", "MAP_RESOLUTION"), MOST_DPI, "dots per inch")
    _must_be_at_most(parameters, SIZES_OF_LEGENDS, LARGEST_MM, "mm or points")
    _judge_drawing(parameters)


def number(text: str) -> float:
    """Give a number; 0 where there is none, as QGIS takes its own value then."""
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return math.inf if math.isnan(found) else abs(found)


def _judge_picture(parameters: Mapping[str, str], pixels: int) -> None:
    names = parameters.get("LAYERS") or parameters.get("LAYER", "")
    layers = names.count(",") + 1
    if number(parameters.get("WIDTH", "")) * number(parameters.get("HEIGHT", "")) * layers > pixels:
        raise Refused(
            "WIDTH",
            f"for {layers} layers this server has memory for {pixels // layers} pixels, as of a picture of "
            f"{math.isqrt(pixels // layers)} x {math.isqrt(pixels // layers)}. Ask for less, or for fewer layers.",
        )


def _judge_print(parameters: Mapping[str, str], pages: Iterable[Page], pixels: int) -> None:
    most = pixels * PART_FOR_A_PRINT
    for width, height in pages:
        dpi = math.floor(math.sqrt(most / (width * height)) * MM_OF_AN_INCH)
        if number(parameters.get("DPI", "")) > dpi:
            raise Refused(
                "DPI",
                f"for a page of {width:g} x {height:g} mm this server has memory for {dpi} dots per inch. "
                "Ask for less, or for a smaller page.",
            )
        # Where one of both is missing, it follows from the page.
        wide, high = (number(parameters.get(name, "")) for name in ("WIDTH", "HEIGHT"))
        if (wide or high * width / height) * (high or wide * height / width) > most:
            raise Refused("WIDTH", f"this server has memory for prints of {int(most)} pixels. Ask for less.")


def _must_be_at_most(parameters: Mapping[str, str], names: Iterable[str], most: int, unit: str) -> None:
    for name in names:
        if number(parameters.get(name, "")) > most:
            raise Refused(name, f"it is more than {most} {unit}.")


def _judge_drawing(parameters: Mapping[str, str]) -> None:
    if not parameters.get("FORMAT", "").lower().startswith("application/dxf"):
        return
    pairs = (option.partition(":")[::2] for option in parameters.get("FORMAT_OPTIONS", "").split(";"))
    options = [(name.strip().upper(), value.strip().upper()) for name, value in pairs]
    scales = [number(value) for name, value in options if name == "SCALE"]
    has_symbols = any(name == "MODE" and value != "NOSYMBOLOGY" for name, value in options)
    if has_symbols and min(scales, default=0) < LEAST_SCALE:
        raise Refused("FORMAT_OPTIONS", f"a drawing with symbols needs SCALE, of {LEAST_SCALE} at least.")
