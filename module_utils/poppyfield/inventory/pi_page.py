"""The operator's page of a Pi: its password, and how it travels. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible.module_utils.poppyfield.inventory.problems import Finding, Host
from ansible.module_utils.poppyfield.pi_page.operator_login import LEAST_LENGTH, LONGEST

PASSWORD = "pi_page_operator_password"  # noqa: S105 - the name of a variable


def findings(host: Host) -> Iterator[Finding]:
    """Give what is wrong."""
    values = host.values
    password = values[PASSWORD]
    if not password:
        return
    if not LEAST_LENGTH <= len(password) <= LONGEST or not password.isprintable():
        yield Finding(
            PASSWORD,
            "it is too short or too long, or has characters that nobody can type",
            f"Give {LEAST_LENGTH} to {LONGEST} characters, and encrypt them: ansible-vault encrypt_string",
        )
    if not values["pi_page_enabled"]:
        yield Finding(PASSWORD, "the operator's page needs pi_page_enabled", "Set that to true, or remove the password")
    # Behind a proxy it may come by HTTPS; the page looks at each request.
    in_clear = values["lizmap_tls"] == "none" and not values["lizmap_trusted_proxies"]
    if in_clear and not values["pi_page_operator_over_http"]:
        yield Finding(
            PASSWORD,
            "without HTTPS (lizmap_tls: none) others in the Pi's network could read it, so the page takes no order",
            "Choose another lizmap_tls, or set pi_page_operator_over_http to true if you trust that network",
        )
