"""What Lizmap keeps over restarts, upgrades, failures and losses of power; and whose settings hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.images.map_server import START_SECONDS, wait_until
from tests.lizmap.conftest import Query, Start
from tests.lizmap.lizmap import ADMIN_PASSWORD, SETTINGS, STATE, Lizmap, other_version

INSTALLER = "/usr/share/lizmap/lizmap/install/installer.php"
NEWER, NEWEST = "98.0.0-rc.1", "98.0.0"
ACCOUNTS = ("sqlite", "postgis")
OTHER_PASSWORD = "a password of somebody"
BREAKS_OFF = f"<?php touch('{SETTINGS}/half-made.ini.php'); echo 'half', 'way', PHP_EOL; sleep(600);"
FAILS = f"<?php foreach (glob('{SETTINGS}/*') as $file) {{ unlink($file); }} exit(1);"


# New Pis keep accounts in PostGIS; where older ones have them is tried less often.
@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.long), "postgis"])
def accounts(request: pytest.FixtureRequest, query: Query) -> dict[str, str]:
    """Return the environment that says where the accounts are; there are none yet."""
    query("DROP SCHEMA IF EXISTS lizmap CASCADE")
    query("DROP SCHEMA IF EXISTS lizmap_installing CASCADE")
    return {"LIZMAP_ACCOUNTS": request.param}


def fill(server: Lizmap) -> None:
    """Publish a map, and make an account and a setting, as people do."""
    server.wait_until_healthy()
    server.publish("fields", "__anonymous", "users")
    server.console("jcommunity:user:create", "--admin", "somebody", "somebody@example.org", OTHER_PASSWORD)
    set_name(server, "Orchard")


def set_name(server: Lizmap, name: str) -> None:
    """Give Lizmap another name, as its administration pages do."""
    change = ("-e", "/^appName=/d", "-e", f"s|^\\[services\\]|&\\nappName={name}|")
    assert server.run("sed", "--in-place", *change, f"{SETTINGS}/lizmapConfig.ini.php")[0] == 0


def is_filled(server: Lizmap) -> bool:
    """Tell whether all of this is there."""
    server.wait_until_healthy()
    return (
        server.page().status_code == 200
        and server.knows("somebody", OTHER_PASSWORD)
        and server.knows("admin", ADMIN_PASSWORD)
        and server.setting("lizmapConfig", "services", "appName") == "Orchard"
    )


def ended(server: Lizmap) -> str:
    """Wait until the container has ended because it could not be set up; give its log."""
    assert server.container.wait(timeout=2 * START_SECONDS)["StatusCode"] == 1
    return server.log()


def versions(folder: Path) -> list[str]:
    """Name the versions that have a state."""
    return sorted(path.name for path in (folder / "state").iterdir() if path.name[0].isdigit())


def script(folder: Path, text: str, target: str = INSTALLER) -> dict[str, str]:
    """Give a mount that puts this PHP in the place of a script of the image."""
    (folder / "script.php").write_text(text, "utf-8")
    (folder / "script.php").chmod(0o644)
    return {str(folder / "script.php"): target}


# Installations -------------------------------------------------------------------------------------------------------


def test_a_restart_finds_everything_and_installs_nothing(
    start: Start, tmp_path: Path, accounts: dict[str, str]
) -> None:
    with start(environment=accounts) as server:
        fill(server)
        assert "Installing Lizmap Web Client" in server.log()
    with start(environment=accounts, mounts=script(tmp_path, "<?php exit(1);")) as server:
        assert is_filled(server)
        assert "Installing" not in server.log()


def test_an_installation_that_was_cut_off_is_done_again(
    start: Start, tmp_path: Path, accounts: dict[str, str], query: Query
) -> None:
    mounts = script(tmp_path, BREAKS_OFF)
    with start(environment=accounts, mounts=mounts) as server:
        wait_until(lambda: "halfway" in server.log(), "the installer runs", server.log)
        server.container.kill()
    if accounts["LIZMAP_ACCOUNTS"] == "postgis":
        query("CREATE TABLE lizmap_installing.jlx_user (half_made int)")
    with start(environment=accounts) as server:
        fill(server)
        assert is_filled(server)
        assert server.run("ls", f"{SETTINGS}/half-made.ini.php")[0] != 0


def test_an_installation_that_is_done_is_not_done_again_when_only_its_name_is_missing(
    start: Start, tmp_path: Path, accounts: dict[str, str], query: Query
) -> None:
    with start(environment=accounts) as server:
        fill(server)
        server.container.stop()
        (version,) = versions(tmp_path)
    # As a loss of power at the last moment leaves it.
    state = tmp_path / "state"
    (state / version).rename(state / ".new")
    (state / ".new-is-ready").write_text(f"{version}\n")
    if accounts["LIZMAP_ACCOUNTS"] == "postgis":
        query("ALTER SCHEMA lizmap RENAME TO lizmap_installing")
    with start(environment=accounts, mounts=script(tmp_path, "<?php exit(1);")) as server:
        assert is_filled(server)


def test_an_installation_that_fails_ends_the_container(start: Start, tmp_path: Path) -> None:
    with start(mounts=script(tmp_path, FAILS)) as server:
        ended(server)
    assert versions(tmp_path) == []
    with start() as server:
        server.wait_until_healthy()


def test_accounts_in_a_database_that_does_not_answer(start: Start, tmp_path: Path) -> None:
    with start(environment={"LIZMAP_ACCOUNTS": "postgis", "POSTGIS_PORT": "1"}) as server:
        assert "the database for Lizmap's accounts cannot be reached" in ended(server)
    assert versions(tmp_path) == []


def test_accounts_whose_settings_are_lost_are_not_overwritten(start: Start, query: Query) -> None:
    query("DROP SCHEMA IF EXISTS lizmap CASCADE")
    query("CREATE SCHEMA lizmap AUTHORIZATION lizmap")
    with start(environment={"LIZMAP_ACCOUNTS": "postgis"}) as server:
        assert "the database has accounts already" in ended(server)
    assert query("SELECT count(*) FROM pg_namespace WHERE nspname = 'lizmap'") == "1"


def test_accounts_do_not_move(start: Start, query: Query) -> None:
    query("DROP SCHEMA IF EXISTS lizmap CASCADE")
    with start() as server:
        fill(server)
    with start(environment={"LIZMAP_ACCOUNTS": "postgis"}) as server:
        assert "the accounts of this Lizmap are in SQLite" in ended(server)
    with start() as server:
        assert is_filled(server)


def test_nothing_stays_that_lizmap_derived_from_settings_before_they_were_final(start: Start) -> None:
    with start() as server:
        server.wait_until_healthy()
        assert server.page().status_code == 303
        code, derived = server.run("sh", "-c", f"find /tmp/lizmap -type f ! -newer {STATE}/*/container")
        assert (code, derived) == (0, "")


# Upgrades ------------------------------------------------------------------------------------------------------------


def test_an_upgrade_keeps_what_people_made(
    start: Start, tmp_path: Path, accounts: dict[str, str], project_xml: str
) -> None:
    with start(environment=accounts) as server:
        fill(server)
    (first,) = versions(tmp_path)
    for version, before in ((NEWER, first), (NEWEST, NEWER)):
        with start(environment=accounts, mounts=other_version(tmp_path, version, project_xml)) as server:
            assert is_filled(server)
            assert f"Upgrading Lizmap Web Client from {before} to {version}" in server.log()
        # That before the upgrade stays, older ones do not.
        assert versions(tmp_path) == sorted([before, version])


@pytest.mark.parametrize("installer", [FAILS, BREAKS_OFF])
def test_an_upgrade_that_fails_or_is_cut_off_harms_nothing(
    start: Start, tmp_path: Path, accounts: dict[str, str], project_xml: str, installer: str
) -> None:
    with start(environment=accounts) as server:
        fill(server)
    newer = other_version(tmp_path, NEWER, project_xml)
    with start(environment=accounts, mounts={**newer, **script(tmp_path, installer)}) as server:
        if installer == FAILS:
            ended(server)
        else:
            wait_until(lambda: "halfway" in server.log(), "the installer runs", server.log)
            server.container.kill()
    with start(environment=accounts) as server:
        assert is_filled(server)
    with start(environment=accounts, mounts=newer) as server:
        assert is_filled(server)
        assert server.run("ls", f"{SETTINGS}/half-made.ini.php")[0] != 0


def test_an_older_version_is_refused_and_nothing_is_lost(
    start: Start, tmp_path: Path, accounts: dict[str, str], project_xml: str
) -> None:
    newer = other_version(tmp_path, NEWER, project_xml)
    with start(environment=accounts, mounts=newer) as server:
        fill(server)
    with start(environment=accounts) as server:
        assert f"Deploy {NEWER} again" in ended(server)
    with start(environment=accounts, mounts=newer) as server:
        assert is_filled(server)


def test_the_container_of_before_goes_on_when_an_upgrade_is_put_back(
    start: Start, tmp_path: Path, accounts: dict[str, str], project_xml: str
) -> None:
    newer = other_version(tmp_path, NEWER, project_xml)
    with start(environment=accounts) as old:
        fill(old)
        old.container.stop()
        with start(environment=accounts, mounts=newer) as new:
            assert is_filled(new)
        old.container.start()
        assert is_filled(Lizmap(old.container))
        # What it does from now on is not lost at the next attempt.
        old.console("jcommunity:user:create", "--admin", "later", "later@example.org", OTHER_PASSWORD)
        old.container.stop()
        with start(environment=accounts, mounts=newer) as new:
            assert is_filled(new)
            assert new.knows("later", OTHER_PASSWORD)


# Settings ------------------------------------------------------------------------------------------------------------


def test_the_operators_settings_hold_and_those_of_before_come_back(start: Start) -> None:
    settings = {
        "lizmapConfig": {"services": {"appName": "Vineyard", "wmsMaxWidth": "2000"}},
        "localconfig": {"mailer": {"webmasterEmail": "vineyard@example.org"}, "global": {"timeZone": "UTC"}},
        "profiles": {"smtp:mailer": {"host": "mail.example.org"}},
    }
    wanted = [
        (file, section, name, value)
        for file, sections in settings.items()
        for section, values in sections.items()
        for name, value in values.items()
    ]
    with start() as server:
        fill(server)
        before = [server.setting(*where) for *where, _ in wanted]
    with start(settings=settings) as server:
        server.wait_until_healthy()
        assert [server.setting(*where) for *where, _ in wanted] == [value for *_, value in wanted]
        assert "Vineyard" in server.get("/index.php/view/").text
        assert server.setting("lizmapConfig", "repository:fields", "label") == "Fields"
    settings["lizmapConfig"]["services"]["appName"] = "Cellar"
    with start(settings=settings) as server:
        server.wait_until_healthy()
        assert server.setting("lizmapConfig", "services", "appName") == "Cellar"
    with start() as server:
        server.wait_until_healthy()
        assert [server.setting(*where) for *where, _ in wanted] == before
        # From now on it is the administrators' again.
        set_name(server, "Barn")
    with start() as server:
        server.wait_until_healthy()
        assert server.setting("lizmapConfig", "services", "appName") == "Barn"


def test_what_was_set_in_the_administration_pages_yields_to_the_operator(start: Start) -> None:
    with start() as server:
        server.wait_until_healthy()
        write = f"printf '[mailer]\\nwebmasterEmail=pages@example.org\\n' >> {SETTINGS}/liveconfig.ini.php"
        assert server.run("sh", "-c", write)[0] == 0
    with start(settings={"localconfig": {"mailer": {"webmasterEmail": "operator@example.org"}}}) as server:
        server.wait_until_healthy()
        assert server.setting("localconfig", "mailer", "webmasterEmail") == "operator@example.org"
        assert server.setting("liveconfig", "mailer", "webmasterEmail") is None


def test_what_the_container_depends_on_is_set_at_each_start(start: Start) -> None:
    with start() as server:
        server.wait_until_healthy()
        change = "s|127.0.0.1:8081|127.0.0.1:1|"
        assert server.run("sed", "--in-place", change, f"{SETTINGS}/lizmapConfig.ini.php")[0] == 0
        assert server.setting("lizmapConfig", "services", "wmsServerURL") == "http://127.0.0.1:1/ows/"
    with start() as server:
        server.wait_until_healthy()
        assert server.setting("lizmapConfig", "services", "wmsServerURL") == "http://127.0.0.1:8081/ows/"
