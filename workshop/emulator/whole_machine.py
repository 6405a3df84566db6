"""The emulated Pi that is a whole machine: the same commands as the container's, on QEMU; see machine_options.py.

Each has a folder in the cache: its card, its console, and the lock that the loader holds while it has power.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from workshop.emulator import card, card_cache, loader, login, options, ports, rootfs, usb_stick
from workshop.emulator import machine_options as o
from workshop.emulator.card_cache import Loss
from workshop.emulator.options import EmulatorError, Pi

ROOT = Path(__file__).resolve().parents[2]
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {}\n"
# The folder of the cards that kept_machine.py keeps.
KEPT = "kept"
POLL_SECONDS = 1.0
STOP_SECONDS = 300
# To wait for a write that is not flushed yet, and between two looks.
WRITING_SECONDS = 30
MOMENT_SECONDS = 0.01
LAST_LINES = 30
CARD_ERROR = "I/O error, dev vda"
"""What the kernel says on its console of a card that fails."""
SETTLED = {"running", "degraded"}
PROGRAMS = {
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "mcopy": "mtools",
    "fakeroot": "fakeroot",
    "/sbin/mkfs.vfat": "dosfstools",
    "/sbin/mkfs.ext4": "e2fsprogs",
    "/sbin/sfdisk": "fdisk",
}


class Images(Protocol):
    """Who makes the image of the card, and says what else is in the way of a Pi."""

    def export_machine(self, target: Path) -> None:
        """Write the image's file system."""

    def machine_key(self) -> str:
        """Name all that the image is made of."""


class WholeMachines:
    """The commands."""

    def __init__(self, images: Images, folder: Path | None = None) -> None:
        self.images = images
        # Not in the cache of what is downloaded, which `forget` removes.
        self.cache = folder or rootfs.cache_folder().parent / "machines"

    def build(self) -> Path:
        """Return the card of a Pi that nobody has used yet, made if it is not there."""
        blank = self.cache / f"{self.images.machine_key()}.img"
        if blank.exists():
            say(f"{blank} is there")
            return blank
        if missing := {package for program, package in PROGRAMS.items() if not shutil.which(program)}:
            raise EmulatorError(f"This machine lacks programs: sudo apt-get install {' '.join(sorted(missing))}")
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache, prefix="root-") as name:
            root = Path(name) / "root.tar"
            self.images.export_machine(root)
            say(f"making {blank}")
            with rootfs.made_whole(blank) as partial:
                card.make(root, partial)
        return blank

    def start(self, pi: Pi, timeout: float) -> None:
        """Start the Pi, made if it does not exist, and wait until it can be logged in to."""
        folder = self.cache / pi.name
        if folder.exists():
            found = self._read(folder)
            running = has_power(folder)
            options.check_reuse(pi, options.Existing(running=running, ports=found.ports, state_dir=found.state_dir))
        else:
            blank = self.build()
            with whole_folder(folder) as partial:
                copy_sparse(blank, partial / o.CARD)
                flash(pi, partial / o.CARD)
                (partial / loader.LOCK).touch()
                (partial / loader.DESCRIPTION).write_text(json.dumps(asdict(pi)), encoding="utf-8")
            say(f"made {pi.name}")
        self.power_on(pi.name, timeout)

    def power_on(self, name: str, timeout: float, *, settled: bool = True) -> None:
        """Start a Pi that exists, after `stop` or `kill`, and wait until it can be logged in to, and has settled."""
        folder = self._get(name)
        pi = self._read(folder)
        if not has_power(folder):
            ports.check_ports(options.by_option(pi.ports))
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            with (folder / "loader.log").open("ab") as log:
                subprocess.Popen(
                    [sys.executable, "-m", "workshop.emulator.loader"],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        files = login.StateFiles(Path(pi.state_dir))
        deadline = time.monotonic() + timeout
        wait_until(lambda: None if has_power(folder) else "its loader has not begun", deadline, folder)
        wait_until(lambda: unready(folder, files, pi.ssh_port, settled=settled), deadline, folder)
        if failed := run_in(files, pi.ssh_port, "systemctl", "--failed", "--plain", "--no-legend", "--no-pager"):
            say(f"units of {name} that failed:\n{failed}")
        say(f"{name} answers: {' '.join(login.command(files, pi.ssh_port))}")

    def stop(self, name: str) -> None:
        """Press the Pi's power button, and wait until it is off. One that does not exist is stopped already."""
        folder = self.cache / name
        if folder.exists() and has_power(folder):
            os.kill(loader_of(folder), signal.SIGTERM)
            wait_until(lambda: "it is still on" if has_power(folder) else None, time.monotonic() + STOP_SECONDS, folder)
            check_card(folder)
        say(f"{name} is stopped")

    def kill(self, name: str, seed: int | None = None) -> Loss:
        """Cut the Pi's power: every process ends at once.

        With a seed it is while something was written and not flushed yet; the seed says what of it the card has.
        """
        folder = self._get(name)
        if seed is not None and has_power(folder):
            stop_while_writing(folder)
        end_all(folder)
        check_card(folder)
        loss = card_cache.cut(folder, seed)
        say(f"{name} has no power; of its last writes {loss.dropped} are lost and {loss.kept} on the card")
        return loss

    def plug_in(self, name: str, image: Path) -> None:
        """Plug a stick in."""
        usb_stick.plug_in(self._get(name), image)
        say(f"{image} is in {name}")

    def pull_out(self, name: str) -> None:
        """Pull the stick out, whatever is written to it."""
        usb_stick.pull_out(self._get(name))
        say(f"the stick is out of {name}")

    def restart(self, name: str, timeout: float) -> None:
        """Shut the Pi down cleanly and start it again."""
        self._get(name)
        self.stop(name)
        self.power_on(name, timeout)

    def destroy(self, name: str) -> None:
        """Remove the Pi and its card, nothing else."""
        folder = self.cache / name
        if folder.exists():
            end_all(folder)
            shutil.rmtree(folder)
        say(f"{name} is removed")

    def status(self, name: str) -> str:
        """Say in a word how the Pi is."""
        folder = self.cache / name
        if not folder.exists():
            return "absent"
        return "running" if has_power(folder) else "exited"

    def names(self) -> list[str]:
        """Name every Pi."""
        return sorted(note.parent.name for note in self.cache.glob(f"*/{loader.DESCRIPTION}"))

    def forget(self) -> None:
        """Remove the cards that `build` made and those that were kept, not those of Pis."""
        for blank in self.cache.glob("*.img"):
            blank.unlink()
        shutil.rmtree(self.cache / KEPT, ignore_errors=True)

    def _get(self, name: str) -> Path:
        folder = self.cache / name
        if not folder.exists():
            raise EmulatorError(
                f"There is no whole machine named {name}: make it with `start --kind machine --name {name} ...`"
            )
        return folder

    def _read(self, folder: Path) -> Pi:
        return Pi(**json.loads((folder / loader.DESCRIPTION).read_text(encoding="utf-8")))


def flash(pi: Pi, path: Path) -> None:
    """Put on a card's boot partition what its owner chose: name, keys, and the password of the user."""
    files = login.StateFiles(Path(pi.state_dir))
    login.make_key(files.key)
    login.make_password(files.password)
    with tempfile.TemporaryDirectory() as name:
        host_key = Path(name) / "key"
        login.make_key(host_key)
        public = host_key.with_suffix(".pub").read_bytes()
        chosen = login.archive(
            {
                login.AUTHORIZED_KEYS: (files.key.with_suffix(".pub").read_bytes(), 0o600, login.USER_ID),
                HOST_KEY: (host_key.read_bytes(), 0o600, 0),
                f"{HOST_KEY}.pub": (public, 0o644, 0),
                "/etc/hostname": (f"{pi.name}\n".encode(), 0o644, 0),
                # Without it sudo asks the network for the Pi's own name, each time.
                "/etc/hosts": (HOSTS.format(pi.name).encode(), 0o644, 0),
            }
        )
    files.known_hosts.write_text(options.known_hosts_line(pi.ssh_port, public.decode()), encoding="utf-8")
    card.write(path, "userconf.txt", f"{login.USER}:{login.password_hash(files.password)}\n".encode())
    card.write(path, "first-boot.tar", chosen)


def check_card(folder: Path) -> None:
    """Raise EmulatorError where the Pi's kernel saw an error of its card: only the emulator can have made it."""
    console = folder / o.CONSOLE
    if console.exists() and CARD_ERROR in console.read_text(encoding="utf-8", errors="replace"):
        raise EmulatorError(f"The card of {folder.name} has failed, which is an error of the emulator: {console}")


def has_power(folder: Path) -> bool:
    """Tell whether the Pi's loader, or what it has started, holds the lock of its folder."""
    with (folder / loader.LOCK).open("r+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def stop_while_writing(folder: Path) -> None:
    """Stop the Pi's time at a moment when writes wait for a flush; where none comes, it stands still all the same."""
    group, deadline = loader_of(folder), time.monotonic() + WRITING_SECONDS
    os.killpg(group, signal.SIGSTOP)
    while not card_cache.waiting(folder) and time.monotonic() < deadline:
        os.killpg(group, signal.SIGCONT)
        time.sleep(MOMENT_SECONDS)
        os.killpg(group, signal.SIGSTOP)


def end_all(folder: Path) -> None:
    """End the Pi's loader and its QEMU at once, where it has power."""
    if has_power(folder):
        os.killpg(loader_of(folder), signal.SIGKILL)
        wait_until(lambda: "it is still on" if has_power(folder) else None, time.monotonic() + STOP_SECONDS, folder)


def loader_of(folder: Path) -> int:
    """Return the process of a loader that holds its lock; its QEMU is of the same group."""
    return int((folder / loader.LOCK).read_text(encoding="utf-8"))


def wait_until(waiting: Callable[[], str | None], deadline: float, folder: Path) -> None:
    """Ask until there is no reason left to wait; at the deadline, give the last reason and the console."""
    while reason := waiting():
        if time.monotonic() > deadline:
            raise EmulatorError(f"{folder.name} did not get there in time: {reason}\n{last_words(folder)}")
        time.sleep(POLL_SECONDS)


def unready(folder: Path, files: login.StateFiles, port: int, *, settled: bool) -> str | None:
    """Say why the Pi can't be logged in to, or has not settled yet where that matters; None otherwise."""
    if not has_power(folder):
        raise EmulatorError(f"{folder.name} ended while it booted:\n{last_words(folder)}")
    if (reason := login.attempt(files, port)) or not settled:
        return reason
    state = run_in(files, port, "systemctl", "is-system-running")
    return None if state in SETTLED else f"systemd says: {state or 'nothing'}"


def run_in(files: login.StateFiles, port: int, *command: str) -> str:
    """Return what a command prints that is run over SSH."""
    done = subprocess.run(
        login.command(files, port, *command), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    return done.stdout.strip()


def last_words(folder: Path) -> str:
    """Return the last lines of the Pi's console and of its loader."""
    logs = [folder / name for name in (o.CONSOLE, "loader.log")]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in logs if path.exists()]
    return "\n".join(line for text in texts for line in text.splitlines()[-LAST_LINES:])


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file without its holes."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)], check=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a folder to fill, which takes its place only when it is whole."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="new-") as name:
        folder = Path(name) / "pi"
        folder.mkdir(mode=0o700)
        yield folder
        folder.rename(target)


def say(text: str) -> None:
    """Tell what has been done."""
    print(text, flush=True)
