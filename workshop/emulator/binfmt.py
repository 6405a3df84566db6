"""Let this machine's kernel run ARM programs: `python3 workshop/emulator/binfmt.py register|keep|unregister|status`.

It registers QEMU's interpreters with binfmt_misc under names of its own. Debian's qemu-user package registers them,
too, but without the flag C, and then `sudo` in an ARM container fails. Standard library only: it runs before
anything is installed. `keep` registers them at each start of the machine, too. Needs root. On an arm64 machine there is
nothing to do.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/proc/sys/fs/binfmt_misc")
AT_START = Path("/etc/binfmt.d/poppyfield.conf")
"""What systemd-binfmt registers when the machine starts."""
# P: pass the program's own argv[0]; O: open the program for the interpreter; C: its set-user-id bit counts;
# F: open the interpreter now, so that it works in any container.
FLAGS = "POCF"
NEEDED_FLAGS = frozenset("CF")

# An ELF header up to e_machine, and which of its bits count (those of the kernel's and Debian's own entries).
ELF64_MASK = "ffffffffffffff00fffffffffffffffffeffffff"
ELF_MACHINES = {
    "aarch64": ("7f454c460201010000000000000000000200b700", ELF64_MASK),
    "arm": ("7f454c4601010100000000000000000002002800", ELF64_MASK),
}
ELF_INTERPRETER_HEADER = 3  # PT_INTERP
PROGRAM_HEADERS_READ = 4096


@dataclass(frozen=True)
class Entry:
    """One registration of binfmt_misc."""

    name: str
    interpreter: str
    flags: str
    magic: str
    enabled: bool

    def serves(self, machine: str) -> bool:
        """Tell whether it runs this machine's programs in any container, sudo included."""
        return self.enabled and self.magic == ELF_MACHINES[machine][0] and set(self.flags) >= NEEDED_FLAGS


def parse_entry(name: str, text: str) -> Entry:
    """Return what binfmt_misc says of one registration."""
    lines = text.splitlines()
    values = dict(line.split(" ", 1) for line in lines if " " in line)
    return Entry(
        name=name,
        interpreter=values.get("interpreter", ""),
        flags=values.get("flags:", "").strip(),
        magic=values.get("magic", ""),
        enabled=bool(lines) and lines[0] == "enabled",
    )


def own_name(machine: str) -> str:
    """Return the name of our registration."""
    return f"poppyfield-{machine}"


def registration(machine: str, interpreter: str) -> bytes:
    """Return the line that registers the interpreter, as the kernel wants it."""
    magic, mask = (_escaped(text) for text in ELF_MACHINES[machine])
    return f":{own_name(machine)}:M:0:{magic}:{mask}:{interpreter}:{FLAGS}".encode()


def machines_to_serve(host: str) -> tuple[str, ...]:
    """Return what has to be emulated on this host; an arm64 host runs arm64 itself."""
    return () if host in {"aarch64", "arm64"} else tuple(ELF_MACHINES)


def machines_needed_by_pi(host: str) -> tuple[str, ...]:
    """Return what the emulated Pi can't do without: it is a 64-bit one."""
    return tuple(machine for machine in machines_to_serve(host) if machine == "aarch64")


def is_static(elf: bytes) -> bool:
    """Tell whether a 64-bit little-endian ELF program has no dynamic loader, so that it runs in any root."""
    if elf[:6] != b"\x7fELF\x02\x01":
        return False
    offset = int.from_bytes(elf[32:40], "little")
    size, count = (int.from_bytes(elf[at : at + 2], "little") for at in (54, 56))
    headers = (elf[offset + i * size : offset + i * size + 4] for i in range(count))
    return all(int.from_bytes(header, "little") != ELF_INTERPRETER_HEADER for header in headers)


def entries() -> list[Entry]:
    """Return what is registered on this machine."""
    if not FOLDER.is_dir():
        return []
    names = (path.name for path in FOLDER.iterdir() if path.name not in {"register", "status"})
    return [parse_entry(name, (FOLDER / name).read_text(encoding="utf-8")) for name in sorted(names)]


def serving(machine: str) -> Entry | None:
    """Return the registration that already does what we need, if there is one."""
    return next((entry for entry in entries() if entry.serves(machine)), None)


def _own_entries() -> dict[str, Entry]:
    return {machine: entry for machine in ELF_MACHINES for entry in entries() if entry.name == own_name(machine)}


def find_interpreter(machine: str) -> str | None:
    """Return the statically linked QEMU for a machine: Debian 13 has it without `-static` in its name."""
    for name in (f"qemu-{machine}-static", f"qemu-{machine}"):
        path = shutil.which(name)
        if path and _is_static_file(Path(path)):
            return path
    return None


def register() -> None:
    """Register what is missing. Nothing changes on an arm64 machine or where it's done already."""
    for machine in machines_to_serve(platform.machine()):
        if serving(machine) is None:
            _register(machine)


def keep() -> None:
    """Register what is missing, now and at each start of this machine."""
    register()
    lines = [registration(machine, serves.interpreter) for machine, serves in _own_entries().items()]
    if lines:
        _need_root()
        AT_START.parent.mkdir(exist_ok=True)
        AT_START.write_bytes(b"\n".join([*lines, b""]))


def unregister() -> None:
    """Remove our own registrations, no others."""
    if AT_START.exists():
        _need_root()
        AT_START.unlink()
    for machine in ELF_MACHINES:
        entry = FOLDER / own_name(machine)
        if entry.exists():
            _need_root()
            entry.write_text("-1", encoding="ascii")


def status() -> str:
    """Say in a line each what runs the ARM programs."""
    machines = machines_to_serve(platform.machine())
    if not machines:
        return "This machine is arm64: nothing is emulated."
    return "\n".join(f"{machine}: {_describe(serving(machine))}" for machine in machines)


def main() -> int:
    """Run the command line; return the exit status: of `status`, 1 when something is missing."""
    parser = argparse.ArgumentParser(prog="binfmt", description=__doc__)
    parser.add_argument("command", choices=["register", "keep", "unregister", "status"])
    command = parser.parse_args().command
    if command == "status":
        print(status())
        return int(any(serving(machine) is None for machine in machines_to_serve(platform.machine())))
    {"register": register, "keep": keep, "unregister": unregister}[command]()
    return 0


def _register(machine: str) -> None:
    _need_root()
    interpreter = find_interpreter(machine)
    if interpreter is None:
        raise SystemExit(
            f"No statically linked qemu-{machine} on PATH: install the package qemu-user-static (Debian 13: qemu-user)."
        )
    if not (FOLDER / "register").exists():
        _mount()
    own = FOLDER / own_name(machine)
    if own.exists():
        own.write_text("-1", encoding="ascii")
    (FOLDER / "register").write_bytes(registration(machine, interpreter))


def _mount() -> None:
    # Where binfmt_misc is a module, mounting it may not be enough to load it.
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "--quiet", "binfmt_misc"], check=False)
    command = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(FOLDER)]
    if subprocess.run(command, check=False).returncode != 0:
        raise SystemExit("binfmt_misc can't be mounted: this kernel can't run programs of another architecture.")


def _need_root() -> None:
    if os.geteuid() != 0:
        raise SystemExit("Registering the ARM interpreters needs root: run this with sudo.")


def _is_static_file(path: Path) -> bool:
    with path.open("rb") as program:
        return is_static(program.read(PROGRAM_HEADERS_READ))


def _escaped(digits: str) -> str:
    return "".join(f"\\x{digits[i : i + 2]}" for i in range(0, len(digits), 2))


def _describe(entry: Entry | None) -> str:
    return f"{entry.name} -> {entry.interpreter} ({entry.flags})" if entry else "not registered"


if __name__ == "__main__":
    sys.exit(main())
