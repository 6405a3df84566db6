"""What keeps the laptop out of a Pi is told with its remedy."""

from __future__ import annotations

import pytest
from ansible.module_utils.poppyfield.host.ways_in import remedy

# As ssh says it, shortened.
CHANGED = (
    "Failed to connect to the host via ssh: @@@@@@@@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n"
    "Offending ED25519 key in /home/ann/.ssh/known_hosts:3\n  remove with:\n"
    '  ssh-keygen -f "/home/ann/.ssh/known_hosts" -R "[192.168.1.22]:2222"\nHost key verification failed.'
)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Task failed: Missing sudo password", ["nobody gave it", "--ask-become-pass (-K)", "ansible_become_password"]),
        ("Task failed: Incorrect sudo password", ["is wrong", "--ask-become-pass (-K)"]),
        (CHANGED, ['ssh-keygen -f "/home/ann/.ssh/known_hosts" -R "[192.168.1.22]:2222"; then log in once']),
        ("REMOTE HOST IDENTIFICATION HAS CHANGED", ["ssh-keygen -R NAME"]),
    ],
)
def test_the_remedy_is_told(message: str, words: list[str]) -> None:
    assert [word for word in words if word not in remedy(message)] == []


@pytest.mark.parametrize("message", ["", "No route to host", "The host has 700 MB of memory"])
def test_what_says_everything_itself_gets_no_other_word(message: str) -> None:
    assert remedy(message) == ""
