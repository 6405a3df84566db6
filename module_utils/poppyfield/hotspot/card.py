"""The card of a Pi's own Wi-Fi, to print: how people join it, and what they open then. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import segno
from ansible.module_utils.poppyfield.host import printed
from ansible.module_utils.poppyfield.host.printed import MissingLetterError
from ansible.module_utils.poppyfield.hotspot import names
from jinja2 import Environment, StrictUndefined
from segno import QRCode, helpers

ADDRESS = f"http://{names.MAP}/"
SCALE = 4


class CardError(Exception):
    """A card that cannot be made, in a sentence that holds nothing of the password."""


@dataclass(frozen=True)
class JoiningCard:
    """What a card says."""

    host: str
    ssid: str
    password: str = field(default="", repr=False)
    """Empty, the Wi-Fi is open."""

    @property
    def wifi(self) -> str:
        """Give what telephones join a Wi-Fi by, in which some characters have a backslash before them."""
        kind = "WPA" if self.password else "nopass"
        # The comma is one of them, and segno leaves it as it is.
        return str(helpers.make_wifi_data(self.ssid, self.password or None, kind)).replace(",", "\\,")


def as_html(template: str, card: JoiningCard) -> str:
    """Give the card as one file of HTML that needs no other."""
    return _page(template, card, *(_code(text).svg_data_uri(scale=SCALE) for text in (card.wifi, ADDRESS)))


def as_pdf(template: str, card: JoiningCard) -> bytes:
    """Give the card as PDF. Raises CardError for letters that its fonts do not have."""
    # fpdf2 takes no SVG from a page.
    page = _page(template, card, *(_code(text).png_data_uri(scale=SCALE) for text in (card.wifi, ADDRESS)))
    try:
        return printed.pdf_of(page)
    except MissingLetterError as error:
        raise CardError(f"A PDF has no letter for {error}: give hotspot_ssid a name without it.") from error


def _code(text: str) -> QRCode:
    # Level M stands a crease or a stain.
    return segno.make(text, error="m", micro=False)


def _page(template: str, card: JoiningCard, wifi_code: str, address_code: str) -> str:
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.from_string(template).render(
        host=card.host,
        ssid=card.ssid,
        password=card.password,
        address=ADDRESS,
        wifi_code=wifi_code,
        address_code=address_code,
    )
