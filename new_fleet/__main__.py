"""`python -m new_fleet`: asks five questions, and writes inventory/fleet. What is there already stays."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml
from rich.prompt import Confirm, Prompt

from new_fleet import answers
from new_fleet.answers import AnswerError, Answers

INVENTORY = Path("inventory")
EXAMPLE = INVENTORY / "example" / "group_vars" / "pis.yml"
FLEET = INVENTORY / "fleet"
Answer = TypeVar("Answer")


def main() -> int:
    """Ask, write, and say what to type next; give the exit status."""
    if FLEET.exists():
        print(
            f"{FLEET} is there already, and stays as it is. Change it with an editor, or move it away.", file=sys.stderr
        )
        return 1
    try:
        given = ask_all()
    except (EOFError, KeyboardInterrupt):
        print("\nNothing was written.", file=sys.stderr)
        return 1
    write(given)
    print(f"\nWritten: {FLEET}/hosts.yml, and {FLEET}/group_vars/pis.yml, where each variable is explained.")
    print(answers.next_steps(given))
    return 0


def ask_all() -> Answers:
    """Ask the five questions."""
    return Answers(
        pis=ask("1. The Pis, with a comma between them, as NAME or NAME=ADDRESS", answers.pis),
        user=ask("2. The user that you gave them in Raspberry Pi Imager", answers.user),
        sudo_asks=Confirm.ask("3. Does sudo ask for a password on them? (usual since April 2026)", default=True),
        archives=ask(
            "4. Lizmap's two archives, with a comma between them; nothing for a small map page", answers.archives
        ),
        has_32_bit=Confirm.ask("5. Has one of them a 32-bit system?", default=False),
    )


def ask(question: str, read: Callable[[str], Answer]) -> Answer:
    """Ask until the answer can be read."""
    while True:
        try:
            return read(Prompt.ask(question, default="", show_default=False))
        except AnswerError as wrong:
            print(wrong)


def write(given: Answers) -> None:
    """Write the inventory beside its place, then put it there at once."""
    settings = answers.settings(given, EXAMPLE.read_text("utf-8"))
    hosts = yaml.safe_dump(answers.hosts(given), sort_keys=False, allow_unicode=True)
    with tempfile.TemporaryDirectory(dir=INVENTORY, prefix=".fleet-") as made:
        fleet = Path(made) / "fleet"
        (fleet / "group_vars").mkdir(parents=True)
        (fleet / "hosts.yml").write_text(f"---\n{hosts}", encoding="utf-8")
        (fleet / "group_vars" / "pis.yml").write_text(settings, encoding="utf-8")
        fleet.rename(FLEET)


if __name__ == "__main__":
    sys.exit(main())
