"""A page of HTML as PDF, to print."""

from __future__ import annotations

from fpdf import FPDF
from fpdf.errors import FPDFUnicodeEncodingException

POINTS = 10
"""Of the text on paper."""
FOOT = 12
"""Millimetres below the text, so few that a sheet is one page."""


class MissingLetterError(Exception):
    """A letter that the fonts of a PDF do not have, which is the message."""


def pdf_of(html: str) -> bytes:
    """Give the body of a page, of what fpdf2 knows of HTML, as PDF. Raises MissingLetterError."""
    document = FPDF()
    document.set_auto_page_break(True, margin=FOOT)
    document.add_page()
    document.set_font("Helvetica", size=POINTS)
    try:
        document.write_html(html[html.index("<body>") + len("<body>") : html.index("</body>")])
    except FPDFUnicodeEncodingException as error:
        raise MissingLetterError(error.character) from error
    return bytes(document.output())
