"""Passwords are not guessed, by any way in, and sessions end: what a visitor sends, with the defence and without it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.images import building
from tests.images.map_server import REQUEST_SECONDS, wait_until
from tests.lizmap.lizmap import ADMIN_PASSWORD, HERE, Lizmap, lizmap

ALLOWED = 5
GUESSES = 200
"""As many as were played against Lizmap itself."""
SERVICE = "/index.php/lizmap/service?repository=fields&project=meadow&SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities"
METADATA = "/index.php/view/app/metadata"
API = "/api.php/admin/repositories"
BEFORE = "images/lizmap/web-client/before-lizmap.php"
DAY = 86400
HOUR = 3600
Somebody = dict[str, str]


def client(number: int) -> Somebody:
    """Give the headers with which the trusted proxy tells of a visitor's address."""
    return {"X-Forwarded-For": f"203.0.113.{number}"}


def running(image: str, network: str, folder: Path, **options: Any) -> Iterator[Lizmap]:
    """Run Lizmap behind a trusted proxy, with a public map, a private one and an editor's account."""
    with lizmap(image, folder, network, environment={"TRUSTED_PROXIES": HERE}, **options) as server:
        server.wait_until_healthy()
        server.publish("fields", "__anonymous", "users")
        server.publish("private", "admins")
        server.console("jcommunity:user:create", "editor", "editor@example.org", ADMIN_PASSWORD)
        yield server


@pytest.fixture(scope="module")
def server(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    """Return Lizmap as it is, but that further attempts come an hour later, so that a slow machine refuses the same."""
    folder = tmp_path_factory.mktemp("defended")
    text = (building.ROOT / BEFORE).read_text("utf-8")
    assert "const PAUSE = 12;" in text
    slower = folder / "before-lizmap.php"
    slower.write_text(text.replace("const PAUSE = 12;", f"const PAUSE = {HOUR};"), "utf-8")
    mounts = {str(slower): "/usr/local/lib/poppyfield/web-client/before-lizmap.php"}
    yield from running(lizmap_image, network, folder, mounts=mounts)


def taken_back(file: str, *words: str) -> str:
    """Give a file of the image without the lines that begin with these words, one for each."""
    text = (building.ROOT / "images" / "lizmap" / file).read_text("utf-8")
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith(words)]
    assert len(lines) == len(text.splitlines()) - len(words)
    return "".join(lines)


@pytest.fixture(scope="module")
def open_server(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    """Return Lizmap as it is by itself: nothing of ours runs before it, and nginx refuses no other site."""
    configuration = {
        "php-fpm.conf": taken_back(
            "php-fpm.conf", "php_admin_value[auto_prepend_file]", "php_value[session.use_strict_mode]"
        ),
        "front.conf": taken_back("nginx/front.conf", '    "~^(?:cross|same)-site'),
    }
    yield from running(lizmap_image, network, tmp_path_factory.mktemp("open"), configuration=configuration)


def post(server: Lizmap, page: str, name: str, password: str, somebody: Somebody, **more: str) -> requests.Response:
    """Fill in the form to log in, and send it to a page."""
    with requests.Session() as session:
        session.headers.update(somebody)
        return send(session, server, page, name, password, **more)


def send(
    session: requests.Session, server: Lizmap, page: str, name: str, password: str, **more: str
) -> requests.Response:
    """Send the form to log in with the cookies of a browser."""
    form = session.get(f"{server.url}/admin.php/auth/login", timeout=REQUEST_SECONDS)
    token = re.search(r'name="__JFORMS_TOKEN__" value="([^"]+)"', form.text)
    assert token, form.text[:2000]
    fields = {"__JFORMS_TOKEN__": token[1], "auth_login": name, "auth_password": password, **more}
    return session.post(server.url + page, fields, timeout=REQUEST_SECONDS, allow_redirects=False)


def basic(path: str) -> Callable[[Lizmap, str, str, Somebody], requests.Response]:
    """Give what offers a name and a password by HTTP Basic."""
    return lambda server, name, password, somebody: server.get(path, auth=(name, password), headers=somebody)


WAYS: dict[str, Callable[[Lizmap, str, str, Somebody], requests.Response]] = {
    "services": basic(SERVICE),
    "metadata": basic(METADATA),
    "API": basic(API),
    "form": lambda server, *who: post(server, "/admin.php/auth/login/in", *who),
    # The fields of a POST choose what answers.
    "form at another page": lambda server, *who: post(
        server, "/index.php/view/", *who, module="jcommunity", action="login:in"
    ),
}


@pytest.fixture(params=list(enumerate(WAYS)), ids=list(WAYS))
def way(request: pytest.FixtureRequest) -> tuple[int, str]:
    """Return each way in, with a number for the addresses of its visitors."""
    if request.param[1] == "API" and building.PROFILE == "bookworm":
        pytest.skip("Lizmap 3.7 has no API")
    number, name = request.param
    return number, name


def let_in(server: Lizmap, answer: requests.Response) -> bool:
    """Tell whether this is the answer to the right password of the administrator."""
    if answer.status_code == 303:
        return "/auth/login" not in answer.headers["Location"]
    return answer.ok and '"WRONG_CREDENTIALS"' not in answer.text


def told_times(server: Lizmap, text: str) -> int:
    """Count what the container's log says; it comes a moment after the answer."""
    return server.log().count(text)


@pytest.mark.attack(kind="guessed passwords", on="Lizmap", proof="test_without_the_defence_passwords_are_guessed")
def test_passwords_are_not_guessed_by_any_way(server: Lizmap, way: tuple[int, str]) -> None:
    number, name = way
    somebody = client(number + 1)
    answers = [WAYS[name](server, "admin", f"guess {n}", somebody) for n in range(ALLOWED)]
    assert not any(let_in(server, answer) or answer.status_code == 429 for answer in answers)
    refused = WAYS[name](server, "admin", ADMIN_PASSWORD, somebody)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert "Too many attempts to log in. Wait a minute" in refused.text
    told = f"Failed to log in from 203.0.113.{number + 1} by "
    wait_until(lambda: told_times(server, told) >= ALLOWED, "each of them is told", server.log)
    assert told_times(server, told) == ALLOWED
    assert "guess 1" not in server.log() and ADMIN_PASSWORD not in server.log()


def test_without_the_defence_passwords_are_guessed(open_server: Lizmap, way: tuple[int, str]) -> None:
    number, name = way
    somebody = client(number + 1)
    answers = [WAYS[name](open_server, "admin", f"guess {n}", somebody) for n in range(2 * ALLOWED)]
    assert 429 not in {answer.status_code for answer in answers}
    assert let_in(open_server, WAYS[name](open_server, "admin", ADMIN_PASSWORD, somebody))


@pytest.mark.attack(kind="guessed passwords", on="Lizmap", proof="test_without_the_defence_200_passwords_are_tried")
def test_200_passwords_by_http_basic(server: Lizmap) -> None:
    answers = [server.get(SERVICE, auth=("admin", f"200 {n}"), headers=client(50)) for n in range(GUESSES)]
    assert [answer.status_code for answer in answers] == [401] * ALLOWED + [429] * (GUESSES - ALLOWED)


def test_without_the_defence_200_passwords_are_tried(open_server: Lizmap) -> None:
    """As many as are enough to see that nothing stops them."""
    answers = [open_server.get(SERVICE, auth=("admin", f"200 {n}"), headers=client(50)) for n in range(4 * ALLOWED)]
    assert {answer.status_code for answer in answers} == {401}


def exhaust(server: Lizmap, somebody: Somebody) -> None:
    """Use up what an address may try."""
    for n in range(ALLOWED):
        server.get(SERVICE, auth=("admin", f"wrong {n}"), headers=somebody)
    assert server.get(SERVICE, auth=("admin", "one more"), headers=somebody).status_code == 429


def test_guessing_locks_nobody_out_elsewhere(server: Lizmap) -> None:
    exhaust(server, client(60))
    assert let_in(server, WAYS["form"](server, "admin", ADMIN_PASSWORD, client(61)))
    assert "metadata" in server.get(METADATA, auth=("admin", ADMIN_PASSWORD), headers=client(62)).text


def test_who_is_in_goes_on_beside_somebody_who_guesses_from_the_same_address(server: Lizmap) -> None:
    school = client(63)
    with requests.Session() as browser:
        browser.headers.update(school)
        send(browser, server, "/admin.php/auth/login/in", "editor", ADMIN_PASSWORD)
        assert server.get(SERVICE, auth=("editor", ADMIN_PASSWORD), headers=school).ok
        exhaust(server, school)
        assert server.get(SERVICE, auth=("editor", ADMIN_PASSWORD), headers=school).ok
        assert "editor" in browser.get(f"{server.url}/index.php/view/", timeout=REQUEST_SECONDS).text
    assert server.get(SERVICE, headers=school).ok


def test_programs_that_send_their_password_each_time_go_on(server: Lizmap) -> None:
    answers = [server.get(SERVICE, auth=("editor", ADMIN_PASSWORD), headers=client(64)) for _ in range(20)]
    assert all(answer.ok for answer in answers)


def test_one_old_password_does_not_use_up_the_attempts_of_a_school(server: Lizmap) -> None:
    answers = [server.get(SERVICE, auth=("editor", "of last year"), headers=client(65)) for _ in range(10)]
    assert {answer.status_code for answer in answers} == {401}
    told = "Failed to log in from 203.0.113.65 by HTTP Basic."
    wait_until(lambda: told_times(server, told), "it is told", server.log)
    assert told_times(server, told) == 1
    assert let_in(server, WAYS["form"](server, "admin", ADMIN_PASSWORD, client(65)))


def test_a_class_logs_in_from_one_address(server: Lizmap) -> None:
    """What is right is not counted."""
    pupils = [f"pupil{n}" for n in range(ALLOWED + 2)]
    for name in pupils:
        server.console("jcommunity:user:create", name, f"{name}@example.org", ADMIN_PASSWORD)
    answers = [WAYS[way](server, name, ADMIN_PASSWORD, client(66)) for way in ("metadata", "form") for name in pupils]
    assert all(let_in(server, answer) for answer in answers)


def test_who_has_an_account_guesses_no_other(server: Lizmap) -> None:
    """Being logged in is no sign that a password was right."""
    with requests.Session() as session:
        session.headers.update(client(67))
        send(session, server, "/admin.php/auth/login/in", "editor", ADMIN_PASSWORD)
        for n in range(ALLOWED):
            assert session.get(server.url + METADATA, auth=("admin", f"wrong {n}"), timeout=REQUEST_SECONDS).ok
        last = session.get(server.url + METADATA, auth=("admin", ADMIN_PASSWORD), timeout=REQUEST_SECONDS)
        assert last.status_code == 429


@pytest.mark.parametrize(
    ("method", "content_type", "body"),
    [
        ("PUT", "application/x-www-form-urlencoded", "auth%5Flogin=admin&auth%5Fpassword={}"),
        ("POST", "application/json", '{{"auth_login": "admin", "auth\\u005fpassword": "{}"}}'),
        ("PUT", "multipart/form-data; boundary=x", '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n{}'),
    ],
)
def test_no_other_spelling_of_the_form_is_tried(server: Lizmap, method: str, content_type: str, body: str) -> None:
    """Jelix, which Lizmap is made with, reads fields from each of these."""
    somebody = client(70 + len(body))
    headers = {**somebody, "Content-Type": content_type}
    answers = [
        requests.request(method, server.url + API, data=body.format(n), headers=headers, timeout=REQUEST_SECONDS)
        for n in range(ALLOWED + 1)
    ]
    assert [answer.status_code == 429 for answer in answers] == [False] * ALLOWED + [True]


# Sessions ------------------------------------------------------------------------------------------------------------


def browser_of(server: Lizmap, somebody: Somebody, name: str = "editor") -> requests.Session:
    """Log in, and keep the browser open."""
    session = requests.Session()
    session.headers.update(somebody)
    send(session, server, "/admin.php/auth/login/in", name, ADMIN_PASSWORD)
    assert is_in(server, session, name)
    return session


def is_in(server: Lizmap, session: requests.Session, name: str = "editor") -> bool:
    """Tell whether the list of maps names who is logged in."""
    return name in session.get(f"{server.url}/index.php/view/", timeout=REQUEST_SECONDS).text


def identifier(session: requests.Session) -> str:
    """Give the session's identifier."""
    (value,) = [cookie.value for cookie in session.cookies if cookie.name == "PHPSESSID"]
    assert value
    return value


def shell(server: Lizmap, command: str) -> None:
    """Run a command where sessions are."""
    code, output = server.run("sh", "-ec", f"cd /tmp/sessions; {command}")
    assert code == 0, output


def idle(server: Lizmap, session: requests.Session, seconds: int) -> None:
    """Make it so that nothing was asked in a session for so long."""
    shell(server, f"touch -d '{seconds} seconds ago' sess_{identifier(session)}")


def older(server: Lizmap, session: requests.Session, seconds: int) -> None:
    """Make a session one that began so much earlier."""
    now = identifier(session)
    then = f"{int(time.time()) - seconds:08x}-{'a' * 32}"
    shell(server, f"mv sess_{now} sess_{then}")
    session.cookies.clear()
    session.cookies.set("PHPSESSID", then)


@pytest.mark.attack(kind="session that does not end", on="Lizmap", proof="test_without_the_defence_sessions_go_on")
@pytest.mark.parametrize(("change", "allowed", "ended"), [(idle, 1 * HOUR, 3 * HOUR), (older, 11 * HOUR, 13 * HOUR)])
def test_sessions_end(
    server: Lizmap, change: Callable[[Lizmap, requests.Session, int], None], allowed: int, ended: int
) -> None:
    session = browser_of(server, client(90))
    change(server, session, allowed)
    assert is_in(server, session)
    change(server, session, ended)
    assert not is_in(server, session)


def test_without_the_defence_sessions_go_on(open_server: Lizmap) -> None:
    session = browser_of(open_server, client(90))
    for change in (idle, older):
        change(open_server, session, 3 * DAY)
        assert is_in(open_server, session)


def fixed(server: Lizmap, somebody: Somebody) -> bool:
    """Have somebody log in with an attacker's session; tell whether the attacker is in."""
    with requests.Session() as attacker, requests.Session() as victim:
        attacker.get(f"{server.url}/admin.php/auth/login", timeout=REQUEST_SECONDS)
        victim.headers.update(somebody)
        victim.cookies.set("PHPSESSID", identifier(attacker))
        fields = re.search(
            r'name="__JFORMS_TOKEN__" value="([^"]+)"',
            victim.get(f"{server.url}/admin.php/auth/login", timeout=REQUEST_SECONDS).text,
        )
        assert fields
        form = {"__JFORMS_TOKEN__": fields[1], "auth_login": "editor", "auth_password": ADMIN_PASSWORD}
        let = victim.post(f"{server.url}/admin.php/auth/login/in", form, timeout=REQUEST_SECONDS, allow_redirects=False)
        assert let_in(server, let)
        return is_in(server, attacker)


@pytest.mark.attack(kind="session fixation", on="Lizmap")
def test_a_session_that_somebody_else_began_does_not_become_theirs(server: Lizmap, open_server: Lizmap) -> None:
    assert fixed(open_server, client(91))
    assert not fixed(server, client(91))


@pytest.mark.attack(kind="session fixation", on="Lizmap")
def test_an_identifier_of_somebody_elses_making_is_not_taken(server: Lizmap, open_server: Lizmap) -> None:
    mine = f"{int(time.time()):08x}-{'b' * 32}"
    cookies = {"PHPSESSID": mine}
    assert "Set-Cookie" not in open_server.get("/admin.php/auth/login", cookies=cookies).headers
    assert mine not in server.get("/admin.php/auth/login", cookies=cookies).headers["Set-Cookie"]


def test_cookies_are_kept_from_scripts_and_other_sites(server: Lizmap) -> None:
    cookie = server.get("/admin.php/auth/login").headers["Set-Cookie"].lower()
    assert {"httponly", "samesite=lax"} <= {part.strip() for part in cookie.split(";")}


# Other sites ---------------------------------------------------------------------------------------------------------


def led_by(server: Lizmap, session: requests.Session, site: str) -> requests.Response:
    """Have the administrator's browser follow a link that removes a repository."""
    server.console("repository:create", "victim", "Victim", "/srv/projects/private/")
    return session.get(
        f"{server.url}/admin.php/admin/maps/removeSection?repository=victim",
        headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"},
        timeout=REQUEST_SECONDS,
        allow_redirects=False,
    )


def is_there(server: Lizmap) -> bool:
    """Tell whether the repository is."""
    return server.setting("lizmapConfig", "repository:victim", "label") is not None


@pytest.mark.attack(kind="request forgery", on="Lizmap")
def test_another_site_removes_no_repository(server: Lizmap, open_server: Lizmap) -> None:
    led_by(open_server, browser_of(open_server, client(92), "admin"), "cross-site")
    assert not is_there(open_server)
    admin = browser_of(server, client(92), "admin")
    refused = led_by(server, admin, "cross-site")
    assert refused.status_code == 403 and "Another site led here" in refused.text
    assert is_there(server)


@pytest.mark.parametrize(
    ("path", "site", "refused"),
    [
        ("/index.php/lizmap/edition/deleteFeature", "same-site", True),
        ("/index.php/lizmap/edition/deleteFeature", "same-origin", False),
        ("/admin.php/admin/maps/removeSection", "none", False),
        ("/admin.php/auth/login", "cross-site", False),
        ("/admin.php", "cross-site", False),
        ("/index.php/view/map?repository=fields&project=meadow", "cross-site", False),
    ],
)
def test_links_from_elsewhere_that_change_nothing_are_followed(
    server: Lizmap, path: str, site: str, refused: bool
) -> None:
    answer = server.get(path, headers={"Sec-Fetch-Site": site}, allow_redirects=False)
    assert (answer.status_code == 403) == refused
