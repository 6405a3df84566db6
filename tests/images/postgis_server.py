"""A container of the PostGIS image, run as the product runs it on a data folder of its own."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.containers.health import HOPELESS
from ansible.module_utils.poppyfield.postgis import postgres

UID = 5432
PATIENCE = 300
PASSWORD = "a password of the tests"
PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
NUMBERS = itertools.count()


class Server:
    """A container of the image on a data folder."""

    def __init__(self, client: Any, image: str, data: Path, *, name: str = "", **options: Any) -> None:
        self.data = data
        self.container = client.containers.create(
            image,
            name=name or f"pf-images-test-postgis-{os.getpid()}-{next(NUMBERS)}",
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            tmpfs={"/tmp": "mode=1777", "/run/postgresql": f"uid={UID},gid={UID},mode=0755"},
            shm_size="128m",
            **options,
        )

    def start(self) -> Server:
        self.container.start()
        return self

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that the container does; it fails at once when the container has ended."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.container.reload()
            assert self.container.status == "running", f"It ended before {what}:\n{self.log()}"
            assert time.monotonic() < deadline, f"No {what}:\n{self.log()}"
            time.sleep(0.05)

    def ready(self) -> Server:
        """Wait until its own health check is content."""
        self.until(lambda: self.execute("healthcheck")[0] == 0, "answer to the health check")
        return self

    def said(self, words: str) -> None:
        """Wait until its log has these words."""
        self.until(lambda: words in self.log(), f"{words!r} in the log")

    def ended(self) -> str:
        """Wait until it ends by itself with an error; give its log."""
        assert self.container.wait(timeout=60)["StatusCode"] == 1, self.log()
        return self.log()

    def failed(self) -> str:
        """Wait until its health check says that its first start has failed for good; give why."""
        self.until(lambda: self.execute("healthcheck")[0] == HOPELESS, "end of the first start")
        return self.execute("healthcheck")[1].decode()

    def log(self, **options: Any) -> str:
        return str(self.container.logs(**options).decode())

    def execute(self, *argv: str, **environment: str) -> tuple[int, bytes]:
        code, output = self.container.exec_run(list(argv), environment=environment)
        return code, output

    def psql(self, sql: str, *options: str, **environment: str) -> tuple[int, str]:
        code, output = self.execute(*PSQL, "--command", sql, *options, **environment)
        return code, output.decode().strip()

    def sql(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the superuser, through the socket; give what it prints."""
        code, output = self.psql(sql, f"--dbname={database}")
        assert code == 0, output
        return output

    def script(self, text: str, argv: Sequence[str] = postgres.SUPERUSER_PSQL) -> str:
        """Run a psql script as the module does, as the superuser; give what it prints."""
        code, output = self.execute("bash", "-c", '"$@" <<< "$SCRIPT"', "bash", *argv, SCRIPT=text)
        assert code == 0, output
        return output.decode()

    def over_network(self, sql: str, user: str, password: str, database: str = "postgres") -> tuple[int, str]:
        """Run SQL over TCP, at the container's own address in its network."""
        self.container.reload()
        (network,) = self.container.attrs["NetworkSettings"]["Networks"].values()
        options = (f"--host={network['IPAddress']}", f"--username={user}", "--no-password", f"--dbname={database}")
        return self.psql(sql, *options, PGPASSWORD=password)

    def setting(self, name: str) -> str:
        return self.sql(f"SHOW {name}")


Start = Callable[..., Server]


def owned_folder(path: Path, uid: int = UID) -> Path:
    path.mkdir(mode=0o700)
    os.chown(path, uid, uid)
    return path


def write(folder: Path, name: str, content: bytes | str) -> None:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    os.chown(file, UID, UID)
    file.chmod(0o400)
