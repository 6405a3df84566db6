"""Whether Lizmap has a front page that its operator made: the Pi's own does not take its place."""

from __future__ import annotations

import re
from html import unescape

from ansible.module_utils.poppyfield.host import beneath
from ansible.module_utils.poppyfield.host.beneath import BeneathError

CONTENT = (
    *("landing_page_content.html", "landing_page_content_bottom.html"),
    *("authed_landing_page_top_content.html", "authed_landing_page_bottom_content.html"),
)
"""What an administrator writes in Lizmap for its landing page; the latter is for those who have signed in."""
MOST_BYTES = 1024**2
ONLY_MAPS = re.compile(r"""^\s*onlyMaps\s*=\s*["']?(?:on|true|yes|1)["']?\s*$""", re.IGNORECASE | re.MULTILINE)
"""Lizmap leads from its first page to the project that is named beside it."""
SEEN_WITHOUT_A_WORD = re.compile(r"<(?:img|iframe|video|object|svg)\b", re.IGNORECASE)


def is_there(states: str, version: str) -> bool:
    """Tell whether the state of this version of Lizmap has one; whoever took Lizmap over may put anything there."""
    try:
        with beneath.opened(states, (version, "lizmap", "var", "config")) as folder:
            settings = b"" if folder is None else beneath.beginning(folder, "lizmapConfig.ini.php", MOST_BYTES)
        with beneath.opened(states, (version, "lizmap", "var", "lizmap-theme-config")) as folder:
            written = [] if folder is None else [beneath.beginning(folder, name, MOST_BYTES) for name in CONTENT]
    except (OSError, BeneathError):
        return False
    return is_only_maps(_text(settings)) or any(has_something_to_see(_text(one)) for one in written)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def is_only_maps(settings: str) -> bool:
    """Tell by Lizmap's settings whether its first page leads to a map."""
    return ONLY_MAPS.search(settings) is not None


def has_something_to_see(content: str) -> bool:
    """Tell whether HTML shows anything: an editor leaves empty paragraphs behind."""
    return bool(SEEN_WITHOUT_A_WORD.search(content) or unescape(re.sub(r"<[^>]*>", "", content)).strip())
