"""The two pages of a Pi, how it fares and its front page, as HTML without a script. Pure.

nginx hands them out by its server-side includes, which say by themselves when a page is old: so whatever somebody else
wrote, as the title of a map, must have passed `escape`, after which it is neither HTML nor an include.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

from ansible.module_utils.poppyfield.containers.services import COMPOSE_FOLDER
from ansible.module_utils.poppyfield.pi_page import orders
from ansible.module_utils.poppyfield.pi_page.judge import OF_A_PLACE, ONLY_WHERE_THERE, PiHealth, sentence
from ansible.module_utils.poppyfield.pi_page.words import FINE, LABELS, ORDERED, SUBJECTS

Json = dict[str, Any]

GOOD_FOR = 300
"""Seconds after which a page is old."""
STEP = 100
"""nginx compares the beginning of the time only, since it knows no greater and no less."""
OTHER = {"en": "fr", "fr": "en"}
OPERATOR = "/operator"
RESTARTABLE = ("stopped", "restarting", "paused", "unhealthy")
"""What may be wrong with a container that is restarted by an order of the operator."""

STYLE = """
body { max-width: 60em; margin: 0 auto; padding: 1em; font: 1.1em/1.5 sans-serif; color: #222; background: #fff; }
a { color: #8a1119; }
.top { float: right; margin: 0; }
.word { padding: .5em 1em; border-left: .4em solid #2e7d32; background: #eef7ee; }
.word.attention { border-color: #b26a00; background: #fff6e5; }
.word.broken, .old { border-color: #a31621; background: #fdf0f0; }
.old { padding: .5em 1em; border-left: .4em solid #a31621; font-weight: bold; }
dt { margin-top: .8em; font-weight: bold; }
dt::before { content: "\\2713\\00a0"; color: #2e7d32; }
dt.attention::before { content: "!\\00a0"; color: #b26a00; }
dt.broken::before { content: "\\2717\\00a0"; color: #a31621; }
dt.unknown::before { content: "?\\00a0"; color: #666; }
dd { margin-left: 1.4em; }
ul { display: flex; flex-wrap: wrap; gap: 1em; padding: 0; list-style: none; }
li { width: 16em; }
li img { display: block; width: 100%; border: 1px solid #ccc; }
.small { color: #555; font-size: .85em; }
label { display: block; margin: .4em 0; }
fieldset { border: 1px solid #ccc; }
input[type=password], button { font: inherit; padding: .3em; }
"""


def status(
    name: str,
    health: PiHealth,
    maps: Sequence[Json],
    language: str,
    when: str,
    *,
    has_operator: bool = False,
    compose: str = "",
) -> str:
    """Give the page that tells how the Pi fares.

    Whether its operator has a page there, too, is said with it, and how it is rebuilt by its command of compose.
    """
    labels = LABELS[language]
    spoken_of = [one for one in SUBJECTS[language] if one in health.known or one not in ONLY_WHERE_THERE]
    subjects = "\n".join(_subject(subject, health, language, has_operator) for subject in spoken_of)
    told = f'<p class="word {health.level}">{labels[health.level]}</p>\n<dl>\n{subjects}\n</dl>\n'
    pictures = f"<h2>{labels['maps']}</h2>\n{_maps(maps, language)}\n" if maps else ""
    operator_link = f' · <a href="{OPERATOR}">{labels["operator"]}</a>' if has_operator else ""
    links = f'<p><a href="/">{labels["to_the_maps"]}</a>{operator_link}</p>\n'
    as_of = f'<p class="small">{labels["as_of"].format(when=_minute(when))}</p>\n'
    rebuild = f'<p class="small">{labels["rebuild"].format(commands=_rebuild(compose))}</p>\n' if compose else ""
    return _page(name, f"/status/{OTHER[language]}", told + pictures + links + rebuild + as_of, language, when)


def _rebuild(compose: str) -> str:
    commands = (f"cd {COMPOSE_FOLDER}", f"sudo {compose} down", f"sudo {compose} up -d")
    return ", ".join(f"<code>{command}</code>" for command in commands)


def front(name: str, health: PiHealth, maps: Sequence[Json], language: str, when: str) -> str:
    """Give the page that `/` shows before Lizmap: who this is, its maps, and a word when something is wrong."""
    labels = LABELS[language]
    word = ""
    if health.level != "fine":
        link = f'<a href="/status">{labels["see_state"]}</a>'
        word = f'<p class="word {health.level}">{labels[health.level]} {link}</p>\n'
    links = (
        f'<p><a href="/index.php/view/">{labels["catalogue"]}</a> · '
        f'<a href="/admin.php/auth/login">{labels["sign_in"]}</a> · <a href="/status">{labels["state"]}</a></p>\n'
    )
    shown = _maps(maps, language) if maps else f"<p>{labels['no_maps']}</p>"
    return _page(name, f"/front/{OTHER[language]}", f"{word}{links}{shown}\n", language, when)


def operator(name: str, said: str, language: str, *, form: bool) -> str:
    """Give the operator's page, with what is said to the order before, by its code."""
    labels = LABELS[language]
    told = f'<p class="word attention">{ORDERED[language][said]}</p>\n' if said else ""
    choices = "".join(
        f'<label><input type="radio" name="order" value="{order}" required> {labels[order]}</label>'
        for order in orders.ORDERS
    )
    asked = (
        f'<form method="post" action="{OPERATOR}"><fieldset><legend>{labels["order"]}</legend>{choices}</fieldset>\n'
        f'<label>{labels["password"]} <input type="password" name="password" required '
        f'autocomplete="current-password"></label>\n<button>{labels["give"]}</button></form>\n'
    )
    links = f'<p><a href="/status">{labels["to_the_state"]}</a> · <a href="{OPERATOR}">{labels["operator"]}</a></p>\n'
    return _document(name, f"{told}{asked if form else ''}{links}", language)


def _subject(subject: str, health: PiHealth, language: str, has_operator: bool) -> str:
    wrong = health.of(subject)
    title = SUBJECTS[language][subject]
    if wrong:
        said = "".join(f"<dd>{escape(sentence(one, language))}</dd>" for one in wrong)
        restartable = subject in OF_A_PLACE.values() and any(one["code"] in RESTARTABLE for one in wrong)
        if has_operator and restartable:
            said += f'<dd><a href="{OPERATOR}">{LABELS[language]["operator_can"]}</a></dd>'
        return f'<dt class="{wrong[0]["level"]}">{title}</dt>{said}'
    if subject not in health.known:
        return f'<dt class="unknown">{title}</dt><dd>{LABELS[language]["not_told"]}</dd>'
    return f"<dt>{title}</dt><dd>{FINE[language][subject]}</dd>"


def _maps(maps: Sequence[Json], language: str) -> str:
    labels = LABELS[language]
    shown = []
    for one in maps:
        title, link = escape(one["title"]), escape(one["link"])
        picture = f'<img src="/status/maps/{one["picture"]}.png" alt="">' if one["picture"] else ""
        when = labels["picture_of"].format(when=_minute(one["pictured"])) if one["picture"] else labels["no_picture"]
        wrong = "" if one["draws"] else f" · {labels['does_not_draw']}"
        shown.append(f'<li><a href="{link}">{picture}{title}</a><span class="small"> {when}{wrong}</span></li>')
    return "<ul>\n" + "\n".join(shown) + "\n</ul>"


def _minute(moment: str) -> str:
    return escape(moment[:16].replace("T", " "))


def fresh(now: int) -> str:
    """Give an expression for nginx that is true until the page is old, of the time in seconds."""
    beginnings = [str((now + later) // STEP) for later in range(-STEP, GOOD_FOR + 1, STEP)]
    return f"$date_gmt = /^({'|'.join(beginnings)})/"


def _page(name: str, other: str, body: str, language: str, when: str) -> str:
    labels, to = LABELS[language], OTHER[language]
    now = int(datetime.fromisoformat(when).timestamp())
    old = f"""<!--# config timefmt="%s" --><!--# if expr="{fresh(now)}" --><!--# else -->
<p class="old">{labels["old"]}</p>
<!--# endif -->
"""
    top = f'<p class="top"><a href="{other}" hreflang="{to}" lang="{to}">{labels["other_language"]}</a></p>\n'
    return _document(name, old + body, language, top)


def _document(name: str, body: str, language: str, top: str = "") -> str:
    title = escape(name)
    return f"""<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
{top}<h1>{title}</h1>
{body}</body>
</html>
"""
