"""The architectures of hosts and images, and what Debian, Docker, the kernel and QEMU call each. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Architecture:
    """One architecture by its names."""

    debian: str
    """What `dpkg --print-architecture` says."""
    platform: str
    """What Docker is asked for."""
    engine: str
    """What Docker Engine says of an image."""
    machine: str
    """What `uname -m` says in a container."""
    emulated_cpu: str = ""
    """The processor that QEMU should emulate where its default is slow: for arm64 that of a Pi 4."""


ARCHITECTURES = (
    Architecture("arm64", "linux/arm64", "arm64", "aarch64", emulated_cpu="cortex-a72"),
    Architecture("armhf", "linux/arm/v7", "arm", "armv7l"),
    Architecture("amd64", "linux/amd64", "amd64", "x86_64"),
)

PLATFORMS = {architecture.debian: architecture.platform for architecture in ARCHITECTURES}
"""Docker's platform by Debian's name."""
ENGINE_NAMES = {architecture.debian: architecture.engine for architecture in ARCHITECTURES}
"""Docker Engine's name by Debian's."""
DEBIAN_NAMES = {architecture.engine: architecture.debian for architecture in ARCHITECTURES}
"""Debian's name by that of Docker Engine."""


def table() -> dict[str, dict[str, str]]:
    """Give all entries as plain dicts, by Debian's name."""
    return {architecture.debian: asdict(architecture) for architecture in ARCHITECTURES}
