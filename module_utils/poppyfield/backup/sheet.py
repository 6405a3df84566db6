"""The emergency sheet: what to do with the backups of a Pi, for whoever finds the stick. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import segno
from ansible.module_utils.poppyfield.host import printed
from ansible.module_utils.poppyfield.host.printed import MissingLetterError
from jinja2 import Environment, StrictUndefined


class SheetError(Exception):
    """A sheet that cannot be made, in a sentence that holds nothing of the password."""


def as_html(template: str, host: str, targets: Sequence[Mapping[str, str]], password: str) -> str:
    """Give the sheet as one file of HTML that needs no other; the password is on it as text and as a QR code.

    `targets` are those of the inventory, each with a `name` and a `label`, a `folder` or what is reached by `sftp`.
    """
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    # Level M stands a crease or a stain; the picture is made here, so that nothing asks another server for it.
    code = segno.make(password, error="m", micro=False).png_data_uri(scale=4)
    places = [{name: one.get(name) for name in ("name", "label", "folder", "sftp", "port")} for one in targets]
    return page.from_string(template).render(host=host, targets=places, password=password, code=code)


def as_pdf(html: str) -> bytes:
    """Give the sheet of `as_html` as PDF, to print. Raises SheetError for letters that its fonts do not have."""
    try:
        return printed.pdf_of(html)
    except MissingLetterError as error:
        told = f"A PDF has no letter for {error}: give the folder in backup_targets a name without it."
        raise SheetError(told) from error
