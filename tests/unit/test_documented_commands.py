"""Every command that the pages show can be typed, or its block says what it needs; README has all of them."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.cli.playbook import PlaybookCLI
from ansible.module_utils.poppyfield.containers.services import SERVICES
from ansible.module_utils.poppyfield.inventory import chores
from ansible.module_utils.poppyfield.runs import lock

from tests.documented import ROOT, Block, blocks, code_in_sentences, commands
from tests.pages.steps import STEPS, THE_TESTS, block_of

NAMES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/fr/*.md")
PAGES = [path for name in NAMES for path in sorted(ROOT.glob(name))]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
EXPLAINED_TARGETS = set(re.findall(r"^([a-z][a-z-]*):.*##", MAKEFILE, re.MULTILINE))
PLAYBOOKS = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
COMMANDS_HEADING = {"README.md": "## Every command", "docs/fr/README.md": "## Toutes les commandes"}
# In sentences these stand for what the reader puts there.
PLACEHOLDER = re.compile(r"…|\.\.\.|\b(NAME|NOM)\.yml")


@cache
def role_variables() -> set[str]:
    specs = [yaml.safe_load(path.read_text("utf-8")) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    return {name for spec in specs for name in spec["argument_specs"]["main"]["options"]}


@cache
def on_the_pi() -> str:
    """Give all that says what is installed on a Pi."""
    files = [*ROOT.glob("roles/**/*.yml"), *ROOT.glob("module_utils/**/*.py"), *ROOT.glob("playbooks/*.yml")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def options_of(arguments: Sequence[str]) -> Any:
    """Give what ansible-playbook makes of its arguments; ValueError with its own words where it refuses them."""
    cli = PlaybookCLI(["ansible-playbook", *arguments])
    cli.init_parser()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return cli.parser.parse_args(list(arguments))
    except SystemExit:
        raise ValueError(said.getvalue().strip().splitlines()[-1]) from None


def of_a_playbook(arguments: Sequence[str], *, whole: bool = True) -> Iterator[str]:
    try:
        options = options_of(arguments)
    except ValueError as refused:
        yield str(refused)
        return
    given = dict(text.partition("=")[::2] for text in options.extra_vars)
    for name in options.args:
        if (ROOT / name).is_file():
            yield from of_its_variables(ROOT / name, given, whole)
        else:
            yield f"there is no {name}"


def of_its_variables(playbook: Path, given: dict[str, str], whole: bool) -> Iterator[str]:
    text = playbook.read_text(encoding="utf-8")
    known = role_variables() | {"service", lock.TAKE_OVER} | set(re.findall(r"\w+", text))
    yield from (f"{playbook.name} takes no {name}" for name in set(given) - known)
    tasks = [task for play in yaml.safe_load(text) for task in play.get("tasks", [])]
    taken = [task["vars"]["chore_arguments"] for task in tasks if "chore_arguments" in task.get("vars", {})]
    if whole and taken:
        yield from chores.problems(taken[0], given)


def of_make(arguments: Sequence[str]) -> Iterator[str]:
    names = {word for word in arguments if "=" not in word and not word.startswith("-")}
    settings = {word.partition("=")[0] for word in arguments if "=" in word}
    yield from (f"there is no target {name}" for name in names - TARGETS)
    yield from (f"the Makefile reads no {name}" for name in settings - set(re.findall(r"[A-Z_]+", MAKEFILE)))


def of_python(arguments: Sequence[str]) -> Iterator[str]:
    if arguments[:1] == ["-m"]:
        if importlib.util.find_spec(arguments[1]) is None:
            yield f"there is no module {arguments[1]}"
    elif not (ROOT / arguments[0]).is_file():
        yield f"there is no {arguments[0]}"


def of_copying(arguments: Sequence[str]) -> Iterator[str]:
    *sources, _ = [word for word in arguments if not word.startswith("-")]
    yield from (f"there is no {source}" for source in sources if not (ROOT / source).exists())


def of_removing(arguments: Sequence[str]) -> Iterator[str]:
    # A fleet begins as a copy of the example.
    names = [word.replace("inventory/fleet", "inventory/example") for word in arguments if not word.startswith("-")]
    yield from (f"there is no {name}" for name in names if not (ROOT / name).exists())


def of_docker(arguments: Sequence[str]) -> Iterator[str]:
    named = {word for word in arguments if word.startswith("websig-")}
    ours = {f"{service.container}{end}" for service in SERVICES for end in ("", "-previous")}
    yield from (f"no container of ours is {name}" for name in named - ours)


def of_pytest(arguments: Sequence[str]) -> Iterator[str]:
    yield from (f"there is no {name}" for name in arguments if not (ROOT / name).exists())


def of_entering(arguments: Sequence[str]) -> Iterator[str]:
    if not (ROOT / arguments[0]).is_dir() and arguments[0] not in on_the_pi():
        yield f"there is no folder {arguments[0]}"


Judge = Callable[[Sequence[str]], Iterator[str]]
JUDGES: dict[str, Judge] = {
    "ansible-playbook": of_a_playbook,
    "cd": of_entering,
    "cp": of_copying,
    "docker": of_docker,
    "docker-compose": of_docker,
    "make": of_make,
    "pytest": of_pytest,
    "python": of_python,
    "python3": of_python,
    "rm": of_removing,
}
OF_FILES = {"cd", "cp", "rm"}
"""These may be of files that only the reader has."""


def problems(command: Sequence[str], *, marked: bool = False) -> list[str]:
    """Tell why a command can't be typed as it stands; in a marked block an unknown program is none."""
    while command and (command[0] == "sudo" or re.match(r"[A-Z_]+=", command[0])):
        command = command[1:]
    if not command:
        return []
    program, *arguments = command
    program = re.sub("^build/venv[a-z-]*/bin/", "", program)
    if program in JUDGES:
        return [] if marked and program in OF_FILES else list(JUDGES[program](arguments))
    if marked:
        return []
    if program.startswith("/"):
        return [] if str(Path(program).parent) in on_the_pi() else [f"no role installs {program}"]
    known = ", ".join(sorted(JUDGES))
    return [f"no test knows {program}, only {known}: say above the block <!-- needs: … --> what it needs"]


def is_settings(text: str) -> bool:
    """Tell whether a block without a language is a piece of YAML, as for the inventory."""
    try:
        return isinstance(yaml.safe_load(text), dict | list)
    except yaml.YAMLError:
        return False


def has_commands(block: Block) -> bool:
    """Tell whether a block is of what somebody types into a shell."""
    return block.language in {"", "sh"} and not is_settings(block.text)


def problems_of(block: Block) -> list[str]:
    """Tell what is wrong with the commands of a block; none where it has no commands."""
    if not has_commands(block):
        return []
    try:
        typed = list(commands(block.text))
    except ValueError:
        return [f"{block}: no shell can read it; if it is none, give it a fence with its language"]
    return [f"{block}: {said}" for command in typed for said in problems(command, marked=bool(block.needs))]


def problems_in_sentences(page: Path) -> list[str]:
    """The same for what stands in sentences, where a chore need not be given all that it needs."""
    typed = [code for code in code_in_sentences(page) if re.match(r"(ansible-playbook|make) \S", code)]
    judges: dict[str, Judge] = {**JUDGES, "ansible-playbook": partial(of_a_playbook, whole=False)}
    return [
        f"{page.relative_to(ROOT)}: {code}: {said}"
        for code in typed
        if not PLACEHOLDER.search(code)
        for program, *arguments in commands(code)
        for said in judges[program](arguments)
    ]


def named_in_the_table(page: Path, program: str) -> set[str]:
    """Give the playbooks, or the targets, that the page's table of commands names."""
    table = page.read_text(encoding="utf-8").split(COMMANDS_HEADING[str(page.relative_to(ROOT))])[1].split("\n## ")[0]
    cells = "\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith(f"| `{program} "))
    return set(re.findall(rf"`(?:{program} )?(?:playbooks/)?([a-z_-]+)", cells))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_can_be_typed_or_its_block_says_what_it_needs(page: Path) -> None:
    assert not [said for block in blocks(page) for said in problems_of(block)]
    assert not problems_in_sentences(page)


@pytest.mark.parametrize("name", COMMANDS_HEADING)
def test_one_table_has_every_playbook_and_every_target(name: str) -> None:
    playbooks, targets = (named_in_the_table(ROOT / name, program) for program in ("ansible-playbook", "make"))
    assert not PLAYBOOKS - playbooks, f"add them to the table of {name}"
    assert not EXPLAINED_TARGETS - targets, f"add them to the table of {name}"


def test_what_make_test_docs_plays_is_on_the_pages() -> None:
    assert not [f"{step}: {block_of(step)} is marked" for step in STEPS if block_of(step).needs]


def test_each_block_of_commands_is_played_or_says_what_it_needs() -> None:
    played = {block_of(step).text for step in (*STEPS, *THE_TESTS)}
    french = [block for page in PAGES if page.parent.name == "fr" for block in blocks(page) if has_commands(block)]
    assert not [f"{block} is played by no test" for block in french if not block.needs and block.text not in played]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ansible-playbook playbooks/nowhere.yml", "there is no playbooks/nowhere.yml"),
        ("ansible-playbook site.yml --limits pi-orchard", "ansible-playbook: error: unrecognized arguments"),
        ("ansible-playbook site.yml -e lizmap_prot=80", "site.yml takes no lizmap_prot"),
        ("ansible-playbook playbooks/service.yml", "Add -e state=started|stopped|restarted."),
        ("ansible-playbook playbooks/exec.yml -e service=lizmpa -e command=ls", "service can be postgis or lizmap"),
        ("sudo make dmeo", "there is no target dmeo"),
        ("make shell HOTS=pi-orchard", "the Makefile reads no HOTS"),
        ("make shell HOST=pi-orchard && make nothing", "there is no target nothing"),
        ("python3 -m pi_terminals", "there is no module pi_terminals"),
        ("python3 workshop/pi.py build", "there is no workshop/pi.py"),
        ("rm -r inventory/fleet/host_vasr", "there is no inventory/example/host_vasr"),
        ("cp -r inventory/examples inventory/fleet", "there is no inventory/examples"),
        ("sudo docker logs websig-lizmpa", "no container of ours is websig-lizmpa"),
        ("sudo /usr/local/bin/nothing", "no role installs /usr/local/bin/nothing"),
        ("cd /srv/poppyfields", "there is no folder /srv/poppyfields"),
        ("rsync a b", "no test knows rsync"),
        ("it's text", "no shell can read it"),
    ],
)
def test_a_command_that_fails_is_told(text: str, said: str) -> None:
    found = problems_of(Block(ROOT / "planted.md", 1, "", text, ""))
    assert len(found) == 1 and said in found[0], found


def test_a_mark_excuses_only_what_no_test_can_know() -> None:
    block = Block(ROOT / "planted.md", 1, "", "rsync a b\nmake dmeo\n", "a second machine")
    assert problems_of(block) == ["planted.md:1: there is no target dmeo"]


def test_the_mark_belongs_to_the_next_block(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- needs: a Pi -->\n\n    reboot\n\nThen:\n\n    make demo\n\n1. A list:\n\n       make test\n")
    assert [(block.line, block.text, block.needs) for block in blocks(page)] == [
        (3, "reboot\n", "a Pi"),
        (7, "make demo\n", ""),
        (11, "make test\n", ""),
    ]
