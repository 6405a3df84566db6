"""What is wrong in how people are to reach the map, told before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

DOCUMENTATION = r"""
name: lizmap_front_problems
short_description: What is wrong in how people are to reach the map
version_added: "0.1.0"
description:
  - Gives a sentence for each thing. The options are the variables of the role lizmap.
positional: ""
options:
  _input:
    description: The name of the server, C(lizmap_server_name).
    type: str
    required: true
  tls:
    description: C(lizmap_tls).
    type: str
    required: true
  ports:
    description: C(lizmap_port) and C(lizmap_https_port).
    type: list
    elements: int
    required: true
  files:
    description: C(lizmap_tls_certificate) and C(lizmap_tls_key).
    type: list
    elements: str
    required: true
  hsts_seconds:
    description: C(lizmap_hsts_seconds).
    type: int
    required: true
  proxies:
    description: C(lizmap_trusted_proxies).
    type: list
    elements: str
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
problems: >-
  {{ 'maps.example.org' | lizmap_front_problems(tls='none', ports=[80, 443], files=['', ''], hsts_seconds=0,
                                                proxies=[]) }}
"""

RETURN = r"""
_value:
  description: The sentences.
  type: list
  elements: str
"""

SERVER_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
PROXY = re.compile(r"[0-9a-fA-F.:]+(/[0-9]+)?")


def front_problems(
    server_name: str, *, tls: str, ports: Sequence[int], files: Sequence[str], hsts_seconds: int, proxies: Sequence[str]
) -> list[str]:
    """Give a sentence for each thing that is wrong."""
    problems = []
    if server_name and not SERVER_NAME.fullmatch(server_name):
        problems.append(
            f"lizmap_server_name: {server_name} is no name of a server: give one as in maps.example.org, without "
            "http:// and without a port."
        )
    if tls != "none" and ports[0] == ports[1]:
        problems.append(f"lizmap_port and lizmap_https_port are both {ports[0]}: give each its own.")
    if tls == "files" and not all(files):
        problems.append("lizmap_tls is files, so name your files in lizmap_tls_certificate and lizmap_tls_key.")
    if tls != "files" and hsts_seconds > 0:
        problems.append(
            "lizmap_hsts_seconds is for a certificate that browsers trust: with lizmap_tls other than files, browsers "
            "would refuse the map. Set it to 0."
        )
    problems += [
        f"lizmap_trusted_proxies: {proxy} is no IP address, and no network as 10.0.0.0/8."
        for proxy in proxies
        if not PROXY.fullmatch(proxy)
    ]
    return problems


class FilterModule:
    """The filter lizmap_front_problems."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"lizmap_front_problems": front_problems}
