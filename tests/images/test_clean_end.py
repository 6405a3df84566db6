"""How PostgreSQL ends when the Pi is shut down: it writes down what it has in memory, and has nothing to recover."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.images.postgis_server import Server, Start, owned_folder

CLEAN, CUT = "database system was shut down at", "database system was interrupted"


def by_systemd(server: Server) -> None:
    """End it as systemd ends the scope of a container that Docker leaves running: a signal to each of its processes."""
    server.execute("sh", "-c", "kill -TERM 1; kill -TERM -1")


def by_docker(server: Server) -> None:
    """End it as Docker does, also when its daemon is ended without live-restore, and the operator's page."""
    server.container.stop(timeout=120)


def by_power(server: Server) -> None:
    """End it at once: the control."""
    server.container.kill()


@pytest.fixture(scope="module")
def server(starter: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    found = starter(owned_folder(tmp_path_factory.mktemp("end") / "data")).ready()
    found.sql("CREATE TABLE kept (n int)")
    return found


@pytest.mark.parametrize(("end", "said"), [(by_systemd, CLEAN), (by_docker, CLEAN), (by_power, CUT)])
def test_a_shutdown_ends_postgresql_cleanly_whoever_is_connected(
    server: Server, end: Callable[[Server], None], said: str
) -> None:
    server.sql("INSERT INTO kept SELECT n FROM generate_series(1, 20000) n")
    rows = server.sql("SELECT count(*) FROM kept")
    # Somebody is in the middle of a change, and waits.
    server.container.exec_run(["psql", "-U", "postgres", "-c", "DELETE FROM kept; SELECT pg_sleep(600)"], detach=True)
    server.until(lambda: server.sql("SELECT count(*) FROM pg_stat_activity WHERE query ~ '^DELETE'") == "1", "change")
    before = len(server.log())
    end(server)
    server.container.wait(timeout=120)
    server.start().ready()
    assert said in server.log()[before:]
    assert server.sql("SELECT count(*) FROM kept") == rows
