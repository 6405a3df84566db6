"""What is answered, and the inventory that follows from it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NAME = re.compile(r"[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
ADDRESS = re.compile(r"[0-9A-Za-z.:%_-]+")
USER = re.compile(r"[a-z_][a-z0-9_-]*")
TRUTH_NAMES = frozenset({"on", "off", "yes", "no", "y", "n", "true", "false"})
"""What YAML takes for a truth value."""
MOST_ARCHIVES = 2
ARCHIVE = re.compile(r"(?m)^lizmap_archive: .*$")
PLUGIN = re.compile(r"(?m)^lizmap_server_plugin: .*$")
WEB_CLIENT = re.compile(r"(?m)^# lizmap_web_client: archive$")
PROFILE = re.compile(r"(?m)^# arm_images_profile: trixie$")


class AnswerError(ValueError):
    """An answer that makes no inventory, with what to write instead."""


@dataclass(frozen=True)
class Answers:
    """What a person said."""

    pis: dict[str, str]
    """Addresses by name."""
    user: str
    sudo_asks: bool
    archives: tuple[str, str] | None
    """Lizmap's and its plugin's; none for the map page."""
    has_32_bit: bool


def pis(text: str) -> dict[str, str]:
    """Read `pi-orchard, pi-marsh=192.168.1.22`; without an address a Pi is found by its name in the local network."""
    found: dict[str, str] = {}
    for one in _items(text):
        name, _, address = (part.strip() for part in one.partition("="))
        if not NAME.fullmatch(name) or name.lower() in TRUTH_NAMES:
            raise AnswerError(
                f"{name!r} is no name for a Pi: letters, digits and -, with a letter first, such as pi-orchard."
            )
        if name in found:
            raise AnswerError(f"{name} stands there twice.")
        if "=" in one and not ADDRESS.fullmatch(address):
            raise AnswerError(f"{address!r} is no address of {name}: write {name}=192.168.1.22, or {name} alone.")
        found[name] = address or f"{name}.local"
    if not found:
        raise AnswerError("Name one Pi at least.")
    return found


def user(text: str) -> str:
    """Read the name of the user on the Pis."""
    if not USER.fullmatch(text.strip()):
        raise AnswerError(
            f"{text.strip()!r} is no user's name: small letters and digits, as in Raspberry Pi Imager's settings."
        )
    return text.strip()


def archives(text: str) -> tuple[str, str] | None:
    """Read the files, or addresses, of Lizmap Web Client and of its plugin, in any order; nothing is the map page."""
    named = list(_items(text))
    if not named:
        return None
    plugins = [one for one in named if "lizmap_server" in one.rpartition("/")[2]]
    others = [one for one in named if one not in plugins]
    if len(named) != MOST_ARCHIVES or len(plugins) != 1 or not all(one.endswith(".zip") for one in named):
        raise AnswerError(
            "Name both archives, with a comma between: lizmap-web-client-VERSION.zip, lizmap_server.VERSION.zip; "
            "or nothing."
        )
    return others[0], plugins[0]


def hosts(answers: Answers) -> dict[str, Any]:
    """Give the content of hosts.yml."""
    named = {name: {"ansible_host": address} for name, address in answers.pis.items()}
    return {"pis": {"hosts": named, "vars": {"ansible_user": answers.user}}}


def settings(answers: Answers, example: str) -> str:
    """Give the content of group_vars/pis.yml: the example's with what was answered, so that all else is found there."""
    text = example
    if answers.archives:
        client, plugin = (_quoted(one) for one in answers.archives)
        text = _once(ARCHIVE, f"lizmap_archive: {client}", text)
        text = _once(PLUGIN, f"lizmap_server_plugin: {plugin}", text)
    else:
        text = _once(ARCHIVE, "# lizmap_archive: ~/Downloads/lizmap-web-client-VERSION.zip", text)
        text = _once(PLUGIN, "# lizmap_server_plugin: ~/Downloads/lizmap_server.VERSION.zip", text)
        text = _once(WEB_CLIENT, "lizmap_web_client: none", text)
    return _once(PROFILE, "arm_images_profile: bookworm", text) if answers.has_32_bit else text


def next_steps(answers: Answers) -> str:
    """Say what to type next."""
    password = " --ask-become-pass" if answers.sudo_asks else ""
    logins = "\n".join(f"    ssh {answers.user}@{address}" for address in answers.pis.values())
    return (
        f"Log in to each Pi once, so that this laptop knows its key:\n{logins}\n"
        f"Then see what is wrong, and provision:\n    ansible-playbook playbooks/preflight.yml{password}\n"
        f"    ansible-playbook site.yml{password}"
    )


def _items(text: str) -> Iterator[str]:
    return (one.strip() for one in text.split(",") if one.strip())


def _quoted(text: str) -> str:
    """As YAML, whatever is in it."""
    return "'" + text.replace("'", "''") + "'"


def _once(pattern: re.Pattern[str], line: str, text: str) -> str:
    changed, count = pattern.subn(lambda _: line, text)
    if count != 1:
        raise LookupError(f"inventory/example/group_vars/pis.yml has {count} lines like {pattern.pattern}, not one.")
    return changed
