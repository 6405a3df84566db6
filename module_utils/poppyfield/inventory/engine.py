"""Docker Engine: where its packages come from, and its logs. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown


def findings(host: Host) -> Iterator[Finding]:
    """Give what is wrong."""
    values = host.values
    if values["docker_engine_source"] == "docker":
        for variable, what in (
            ("docker_engine_repository", "the address of Docker's apt repository"),
            ("docker_engine_repository_key", "the URL of that repository's key, or its file on the Pi"),
        ):
            if not values[variable]:
                yield Finding(
                    variable,
                    "docker_engine_source is docker, which needs it, but it is empty",
                    f"Give {what}, or set docker_engine_source to distribution",
                )
    if values["raspberry_pi_apt_timeout"] < 0:
        yield Finding(
            "raspberry_pi_apt_timeout",
            "it is how many seconds to wait for apt",
            "Give 0 or more",
            shown(values["raspberry_pi_apt_timeout"]),
        )
    if values["docker_engine_log_max_files"] < 1:
        yield Finding(
            "docker_engine_log_max_files",
            "Docker keeps one log file at least",
            "Give 1 or more",
            shown(values["docker_engine_log_max_files"]),
        )
