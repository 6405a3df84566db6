"""What a Pi says reaches the terminal without orders to it, by whatever way of Ansible's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.host.printable import printable

ROOT = Path(__file__).resolve().parents[2]
ORDERS = {
    "title": "\x1b]0;owned\x07",
    "screen": "\x1b[2J\x1b[H",
    "c1": "\x9b2J",
    "answer": "\x1bP$q\x1b\\",
    "clipboard": "\x1b]52;c;aGFybQ==\x07",
    "hidden": "\x1b[8m",
    "direction": "\u202e",
    "back": "\x08\x08",
}
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Hear
      hostile: {}
      register: said
      ignore_errors: true
    - name: Show
      ansible.builtin.debug:
        var: said
    - name: Loop
      ansible.builtin.command: "true"
      loop: ["{{ said.told }}"]
      changed_when: true
      diff: true
"""
MODULE = """#!/usr/bin/python
import json
text = TEXT
print(json.dumps({"changed": False, "msg": text, "warnings": [text], "failed": FAILED, "told": text,
                  "diff": {"before": "a", "after": text + "\\n"}}))
print(text)
"""


def shown(folder: Path, text: str, *, failed: bool, defended: bool) -> str:
    """Run a play against a host that answers this, on a terminal with colours; give what is shown."""
    (folder / "library").mkdir(parents=True)
    module = MODULE.replace("TEXT", repr(text)).replace("FAILED", str(failed))
    (folder / "library/hostile.py").write_text(module)
    (folder / "play.yml").write_text(PLAY)
    (folder / "bare.cfg").write_text("[defaults]\n")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE")},
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg" if defended else folder / "bare.cfg"),
        "ANSIBLE_LIBRARY": str(folder / "library"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_FORCE_COLOR": "1",
        "LANG": "C.UTF-8",
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "--diff", "-c", "local", "-i", "localhost,"]
    done = subprocess.run([*command, "play.yml"], capture_output=True, check=False, env=environment, cwd=folder)
    return (done.stdout + done.stderr).decode()


@pytest.fixture(scope="module", params=[True, False], ids=["failed", "done"])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Give what a run shows of a host whose every word gives orders: without the plugin, and with it."""
    folder, text = tmp_path_factory.mktemp("terminal"), "\n".join(f"BEFORE{order}AFTER" for order in ORDERS.values())
    bare, defended = (
        shown(folder / str(number), text, failed=request.param, defended=defended)
        for number, defended in enumerate((False, True))
    )
    return bare, defended


@pytest.mark.attack(kind="orders to the terminal", on="laptop", proof=None)
@pytest.mark.parametrize("order", ORDERS.values(), ids=list(ORDERS))
def test_no_message_of_a_pi_gives_orders_to_the_terminal(runs: tuple[str, str], order: str) -> None:
    bare, defended = runs
    assert f"BEFORE{order}AFTER" in bare
    assert defended.count("BEFORE") == bare.count("BEFORE")
    assert order not in defended


def test_colours_are_all_that_is_left(runs: tuple[str, str]) -> None:
    _, defended = runs
    assert defended == printable(defended, colours=True)
    assert "\x1b[0;3" in defended


@pytest.mark.attack(kind="template in an answer", on="laptop", proof=None)
def test_what_a_pi_says_is_no_template(tmp_path: Path) -> None:
    order = f"{{{{ lookup('ansible.builtin.pipe', 'touch {tmp_path}/harm') }}}}"
    (tmp_path / "run").mkdir()
    assert json.dumps(order)[1:-1] in shown(tmp_path / "run", order, failed=False, defended=True)
    assert not (tmp_path / "harm").exists()
    # The same text of a playbook is one.
    play = "[{hosts: localhost, gather_facts: false, tasks: [{ansible.builtin.debug: {msg: %s}}]}]"
    (tmp_path / "own.yml").write_text(play % json.dumps(order))
    program = str(Path(sys.executable).parent / "ansible-playbook")
    subprocess.run(
        [program, "-c", "local", "-i", "localhost,", "own.yml"], cwd=tmp_path, capture_output=True, check=True
    )
    assert (tmp_path / "harm").exists()


@pytest.mark.parametrize("colour", ["\x1b[0;31m", "\x1b[1;35m", "\x1b[38;5;208m", "\x1b[0m"])
def test_colours_of_ansible_stay(colour: str) -> None:
    assert printable(f"{colour}text\x1b[0m", colours=True) == f"{colour}text\x1b[0m"
    assert printable(f"{colour}text\x1b[0m") == "text"


def test_colours_that_hide_do_not_stay() -> None:
    assert printable("\x1b[8ma\x1b[30;40mb\x1b[0;31;8mc", colours=True) == "abc"
