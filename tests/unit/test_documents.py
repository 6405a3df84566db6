"""The French pages hold what the English ones hold, and every link leads somewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.images.profiles import PROFILES, Profile

from docs import variables
from tests.documented import FRENCH, ROOT, blocks, code_lines

PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(FRENCH.glob("*.md")),
]
# Made by `make docs` from what modules and roles say of themselves, in English.
ENGLISH_ONLY = ROOT / "docs" / "modules.md"
GENERATED = {ENGLISH_ONLY, *variables.PAGES.values()}
TRANSLATED = [ROOT / "README.md"] + [page for page in sorted((ROOT / "docs").glob("*.md")) if page != ENGLISH_ONLY]
COMPARED = [page for page in TRANSLATED if page not in GENERATED]
CONTENTS = ROOT / "docs" / "site" / "contents.md"

# What a French page may write in its code: names that people replace by their own, and words that people read.
FRENCH_IN_CODE = {
    "<ce dépôt>": "<this repository>",
    "<couche>": "<layer>",
    "<dépôt>": "<repository>",
    "<projet>": "<project>",
    "BASE": "DATABASE",
    "Champs de la vallée": "Fields of the valley",
    "DÉPÔT": "REPOSITORY",
    "DOSSIER": "FOLDER",
    "FICHIER": "FILE",
    "IMAGE_LIZMAP": "LIZMAP_IMAGE",
    "IMAGE_POSTGIS": "POSTGIS_IMAGE",
    "NOM": "NAME",
    "NOM-DU-PI": "NAME-OF-THE-PI",
    "NOUVEAU": "NEW",
    "NUMÉRO": "NUMBER",
    "Relevés de terrain": "Field mappers",
    "RÔLE": "ROLE",
    "SERVEUR": "SERVER",
    "VALEUR": "VALUE",
    "Vergers": "Orchards",
    "[son adresse]": "[its address]",
    "anne": "ann",
    "cartes": "maps",
    "champs": "fields",
    "nids": "nests",
    "parcelles": "parcels",
    "releveurs": "mappers",
    "une/archive": "some/archive",
}


@dataclass
class Section:
    """A heading with what stands below it, up to the next one."""

    level: int
    title: str
    code: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def prose(self) -> str:
        return re.sub(r"`[^`]*`", "``", self._text)

    @property
    def terms(self) -> set[str]:
        """What is in backticks, its blanks made alike."""
        return {" ".join(term.split()) for term in re.findall(r"`([^`]+)`", self._text)}

    @property
    def _text(self) -> str:
        return re.sub(r"\]\([^)]*\)", "]", "\n".join(self.lines))


def read(text: str) -> list[Section]:
    """Give the page's sections, the code of each apart from its prose."""
    sections = [Section(0, "")]
    for line, is_code in with_code_told(text):
        heading = None if is_code else re.fullmatch(r"(#+) (.*)", line)
        if heading:
            sections.append(Section(len(heading[1]), heading[2]))
        else:
            (sections[-1].code if is_code else sections[-1].lines).append(line)
    return sections[1:]


def with_code_told(text: str) -> Iterator[tuple[str, bool]]:
    """Give each line and whether it is code."""
    code = code_lines(text)
    for number, line in enumerate(text.splitlines()):
        yield line, number in code


def commands(section: Section) -> list[str]:
    """Give the lines of code without their comments and with blanks that do not count made alike."""
    lines = [re.sub(r"(^|\s)#.*", "", line).rstrip() for line in section.code]
    indents = [len(line) - len(line.lstrip()) for line in lines if line]
    return [" " * (len(line) - len(line.lstrip()) - min(indents)) + " ".join(line.split()) for line in lines if line]


def figures(section: Section, *, french: bool) -> Counter[str]:
    """Count the numbers of the prose, written as in English, without the commas of thousands."""
    thousands, decimal = (r"[ \u00a0\u202f]", ",") if french else (",", r"\.")
    prose = re.sub(rf"(?<![\d.,])\d{{1,3}}(?:{thousands}\d{{3}})+(?!\d)", joined, section.prose)
    return Counter(re.sub(decimal, ".", number) for number in re.findall(r"\d+(?:[.,]\d+)*", prose))


def joined(number: re.Match[str]) -> str:
    return re.sub(r"\D", "", number[0])


def in_english(code: str) -> str:
    """Put the English words for the French ones that code may have."""
    for french in sorted(FRENCH_IN_CODE, key=len, reverse=True):
        code = re.sub(rf"(?<!\w){re.escape(french)}(?!\w)", FRENCH_IN_CODE[french], code)
    return code


def differences(english: str, french: str) -> list[str]:
    """Tell in what the French page is not the English one."""
    pairs = list(zip(read(english), read(french), strict=False))
    ours, theirs = ([section.level for section in read(text)] for text in (english, french))
    if ours != theirs:
        apart = next((a.title for a, b in pairs if a.level != b.level), "the last that both have")
        return [f"headings: {len(ours)} and {len(theirs)}, their levels differ from '{apart}' on"]
    return [f"{theirs.title}: {problem}" for ours, theirs in pairs for problem in section_differences(ours, theirs)]


def section_differences(english: Section, french: Section) -> Iterator[str]:
    ours, theirs = commands(english), [in_english(line) for line in commands(french)]
    if ours != theirs:
        line = next((pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]), "one is longer")
        yield f"commands: {line}"
    theirs_said = {in_english(term) for term in french.terms}
    if english.terms != theirs_said:
        yield f"in backticks, only here or there: {sorted(english.terms ^ theirs_said)}"
    counted, counted_there = figures(english, french=False), figures(french, french=True)
    if counted != counted_there:
        yield f"figures: missing {dict(counted - counted_there)}, too many {dict(counted_there - counted)}"


def anchors(text: str) -> set[str]:
    """Give the anchors that GitHub makes for the headings of a page."""
    found: Counter[str] = Counter()
    result = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for section in read(text):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", section.title)
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        result.add(f"{anchor}-{found[anchor]}" if found[anchor] else anchor)
        found[anchor] += 1
    return result


def broken_links(page: Path, text: str) -> list[str]:
    """Tell which relative links of the page lead nowhere, or from French to English where there is French."""
    prose = "\n".join(line for line, is_code in with_code_told(text) if not is_code)
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose))
    return [f"{page.name}: {target}" for target in targets if not leads_somewhere(page, target)]


def leads_somewhere(page: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.exists():
        return False
    return not anchor or anchor in anchors(path.read_text(encoding="utf-8"))


def english_in_french(page: Path, text: str) -> list[str]:
    """Tell which links of a French page lead to an English page that there is in French."""
    own = ROOT / "README.md" if page.name == "README.md" else ROOT / "docs" / page.name
    paths = {(page.parent / link).resolve() for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text)}
    return sorted(path.name for path in paths if path in TRANSLATED and path != own)


def french_of(page: Path) -> Path:
    return FRENCH / page.name


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_every_page_is_there_in_both_languages() -> None:
    assert {page.name for page in TRANSLATED} == {page.name for page in FRENCH.glob("*.md")}


@pytest.mark.parametrize("page", COMPARED, ids=name_of)
def test_the_french_page_holds_what_the_english_one_holds(page: Path) -> None:
    english, french = page.read_text(encoding="utf-8"), french_of(page).read_text(encoding="utf-8")
    assert not differences(english, french)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert not broken_links(page, page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", sorted(FRENCH.glob("*.md")), ids=name_of)
def test_a_french_page_leads_to_french_pages(page: Path) -> None:
    assert not english_in_french(page, page.read_text(encoding="utf-8"))


def contents() -> dict[str, list[str]]:
    """Give the pages that the site lists, by language."""
    listed = [block.text.splitlines() for block in blocks(CONTENTS)]
    return {caption.removeprefix(":caption: "): list(filter(None, names)) for caption, _, *names in listed}


def test_the_site_lists_every_page() -> None:
    listed = {ROOT / f"{name}.md" for names in contents().values() for name in names}
    missing = sorted(name_of(page) for page in set(PAGES) - listed - {ROOT / "README.md"})
    assert not missing, f"add them to {name_of(CONTENTS)}, in both languages"
    assert not [name_of(page) for page in listed if not page.is_file()]


def test_the_site_lists_the_pages_in_one_order() -> None:
    english = [Path(name).name for name in contents()["English"]]
    french = [Path(name).name for name in contents()["Français"]]
    assert french[1:] == [name for name in english if name in french[1:]]


@pytest.mark.parametrize("language", variables.PAGES)
def test_the_page_of_variables_is_what_the_roles_say(language: str) -> None:
    page = variables.PAGES[language]
    assert variables.page(language) == page.read_text(encoding="utf-8"), f"{name_of(page)} is old: make docs"


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_page_of_versions_says_what_a_profile_has(profile: Profile) -> None:
    rows = [line.split("|") for line in (ROOT / "docs" / "versions.md").read_text(encoding="utf-8").splitlines()]
    column = 2 + PROFILES.index(profile)
    said = {row[1].strip(): row[column].strip() for row in rows if len(row) == 5}
    assert said["Debian"] == profile.release
    assert said["Pis"].split(", ") == list(profile.of_pis)
    assert said["PostgreSQL"] == profile.postgresql
    assert said["PostGIS"] == profile.postgis
    assert said["QGIS Server"] == profile.qgis_server
    assert said["QGIS Desktop on your laptop"] == f"{profile.qgis_server} or older"
    assert said["PHP"] == profile.php
    assert said["its plugin `lizmap_server`"] == profile.lizmap_server
    assert said["of it tested"] == profile.lizmap_tested
    before = f", before {profile.lizmap_before}" if profile.lizmap_before else ""
    assert said["Lizmap Web Client"] == f"{profile.lizmap_from} or later{before}"


ENGLISH_SAMPLE = """# Title

Set `lizmap_port` to 8080: 1.5 s of 2,397, on `NAME`.

## One

    make demo FILE     # a comment

- An item.

      setting: {a: 1}

```sh
ls
```

## Two

Text.
"""
FRENCH_SAMPLE = """# Titre

Sur `NOM`, en 1,5 s sur 2 397, mettez `lizmap_port` à 8080.

## Un

    make demo FICHIER    # un commentaire

- Un point.

      setting: {a: 1}

```sh
ls
```

## Deux

Du texte.
"""


def test_a_faithful_translation_is_one() -> None:
    assert not differences(ENGLISH_SAMPLE, FRENCH_SAMPLE)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("## Deux\n", "", "headings"),
        ("## Deux", "### Deux", "headings"),
        ("make demo FICHIER", "make demo", "commands"),
        ("make demo FICHIER", "make demo ARCHIVE", "commands"),
        ("setting: {a: 1}", "setting: {a: 2}", "commands"),
        ("ls\n", "ls\nls\n", "commands"),
        ("`lizmap_port`", "`lizmap_ports`", "in backticks"),
        ("`lizmap_port`", "le port", "in backticks"),
        ("8080", "8081", "figures"),
        ("1,5 s", "1,6 s", "figures"),
        ("2 397", "2 398", "figures"),
        ("Du texte", "Du texte de 2026", "figures"),
    ],
)
def test_a_difference_is_told(old: str, new: str, kind: str) -> None:
    found = differences(ENGLISH_SAMPLE, FRENCH_SAMPLE.replace(old, new))
    assert len(found) == 1 and kind in found[0]


@pytest.mark.parametrize("target", ["nowhere.md", "docs/nowhere.md#a", "#nowhere", "README.md#nowhere"])
def test_a_link_to_nowhere_is_told(target: str) -> None:
    text = f"# Here\n\n[a](README.md), [b](https://example.org/#x), [c](#here)\n\n    [code](x.md)\n\n[d]({target})\n"
    assert broken_links(ROOT / "planted.md", "# Here\n") == []
    assert broken_links(ROOT / "README.md", text.replace("[c](#here)", "")) == [f"README.md: {target}"]


def test_an_english_link_in_a_french_page_is_told() -> None:
    text = "*In English: [https.md](../https.md).* [a](lizmap.md) [b](../modules.md) [c](../lizmap.md#archives)"
    assert english_in_french(FRENCH / "https.md", text) == ["lizmap.md"]
