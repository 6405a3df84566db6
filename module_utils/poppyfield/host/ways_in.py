"""What keeps this laptop out of a Pi, and what to do about it: a message of Ansible or ssh -> a sentence. Pure."""

from __future__ import annotations

import re

ASKED_BY_SUDO = (
    "sudo asks for a password there, and {which}. Add --ask-become-pass (-K), which asks you for one password for all "
    "Pis, or give each Pi its own as ansible_become_password, encrypted by ansible-vault: docs/fleet.md."
)
HOST_KEY = (
    "it shows another host key than the one that this laptop knows. If its card was replaced, forget the old key: "
    "{command}; then log in once by ssh, and the laptop knows the new one. If nobody replaced the card, something else "
    "answers in its place: find out what before you log in."
)
FORGET = re.compile(r"ssh-keygen -f \S+ -R (\"[^\"]+\"|\S+)")


def remedy(message: str) -> str:
    """Give the sentence for a message; empty for one that says all that there is to say."""
    if "Missing sudo password" in message:
        return ASKED_BY_SUDO.format(which="nobody gave it")
    if "Incorrect sudo password" in message:
        return ASKED_BY_SUDO.format(which="the one that was given is wrong")
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in message:
        found = FORGET.search(message)
        return HOST_KEY.format(command=found[0] if found else "ssh-keygen -R NAME")
    return ""
