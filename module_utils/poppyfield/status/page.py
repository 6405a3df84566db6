"""The page of the fleet: one file of HTML with all that it shows, and no script. Pure."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.poppyfield.projects.map_checks import MapError, open_png
from ansible.module_utils.poppyfield.status.words import Speech, found_earlier
from jinja2 import Environment, StrictUndefined

Json = dict[str, Any]

SIDE = 320
"""Pixels that a picture on the page has at most, across and down."""
COLORS = 128
LARGEST_PICTURE = 8 * 1024**2
"""Bytes of a picture that are read. One of this size has far fewer."""
SPARKLINES = {"cpu": (0.0, 100.0), "memory": (0.0, 100.0), "disk": (0.0, 100.0), "temperature": (20.0, 90.0)}
"""By figure what is at the bottom and at the top, the same for all Pis, so that they can be compared."""
WIDTH, HEIGHT = 120, 24
MOST_SENTENCES = 4
"""Of one Pi at the top of the page; all are further down."""


def render(
    template: str,
    style: str,
    rows: Sequence[Json],
    *,
    points: Mapping[str, Sequence[Json]],
    pictures: Mapping[tuple[str, str], tuple[str, str]],
    language: str,
    now: str,
) -> str:
    """Give the page of rows that are in order.

    `pictures` has by Pi and map the address that `picture` gives, and when the picture was made.
    """
    speech = Speech(language)
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.from_string(template).render(
        pis=[_shown(speech, row, points.get(row["name"], ()), pictures) for row in rows],
        label=speech.label,
        counted=speech.counted(rows),
        language=language,
        now=speech.moment(now),
        style=style,
        # It lets nothing in that is not on the page itself, neither from elsewhere nor from what a Pi says.
        policy=f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; base-uri 'none'; form-action 'none'",
    )


def _digest(style: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode('ascii')}"


def _shown(
    speech: Speech,
    row: Json,
    points: Sequence[Json],
    pictures: Mapping[tuple[str, str], tuple[str, str]],
) -> Json:
    sentences = [speech.sentence(wrong) for wrong in row["wrong"]]
    return {
        "name": row["name"],
        "level": row["level"],
        "seen": speech.seen(row),
        "sentences": sentences,
        "first": sentences[:MOST_SENTENCES],
        "facts": speech.facts(row),
        "maps": [_shown_map(speech, one, pictures.get((row["name"], one["map"]))) for one in row["maps"]],
        "notes": found_earlier(row),
        "sparklines": _sparklines(speech, points),
    }


def _shown_map(speech: Speech, one: Json, picture: tuple[str, str] | None) -> Json:
    return {
        "name": one["map"] or speech.label("catalogue"),
        "drawn": speech.drawn(one),
        "wrong": one["draws"] is False,
        "picture": picture[0] if picture else "",
        "when": speech.label("picture_of", when=speech.moment(picture[1])) if picture else "",
    }


def _sparklines(speech: Speech, points: Sequence[Json]) -> list[Json]:
    found = []
    for figure, (low, high) in SPARKLINES.items():
        values = [point.get(figure) for point in points]
        if line := sparkline(values, low, high):
            last = next(value for value in reversed(values) if value is not None)
            unit = "°C" if figure == "temperature" else "%"
            found.append({"name": speech.label(figure), "line": line, "last": f"{speech.number(last)} {unit}"})
    return found


def sparkline(values: Sequence[float | None], low: float, high: float) -> str:
    """Give the points of a line through values, as SVG wants them; empty for fewer than two."""
    known = [(number, value) for number, value in enumerate(values) if value is not None]
    if len(known) <= 1:
        return ""
    across = WIDTH / (len(values) - 1)
    shares = [(number, min(max((value - low) / (high - low), 0.0), 1.0)) for number, value in known]
    return " ".join(f"{number * across:.1f},{HEIGHT * (1 - share):.1f}" for number, share in shares)


def picture(content: bytes) -> str:
    """Give a small picture as an address that holds it; empty for what is not a picture in PNG.

    It is drawn again point by point, so that nothing else that a Pi has put into the file gets into the page.
    """
    try:
        drawn = open_png(content).convert("RGB")
    except MapError:
        return ""
    drawn.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    drawn.quantize(COLORS).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
