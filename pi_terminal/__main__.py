"""`python3 -m pi_terminal shell|logs|watch HOST [SERVICE] [AS_ROOT]`: what `make shell`, `logs` and `watch` run.

The program `askpass` beside this runs `python3 -m pi_terminal password HOST` where ssh asks for the Pi's password.
"""

from __future__ import annotations

import codecs
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

runpy.run_path(str(Path(__file__).resolve().parents[1] / "plugins" / "project_imports.py"))

from ansible.module_utils.poppyfield.containers import services  # noqa: E402
from ansible.module_utils.poppyfield.host.printable import printable  # noqa: E402

from pi_terminal import scripts  # noqa: E402
from pi_terminal.ssh import Pi, UnknownPiError  # noqa: E402

PART = 64 * 1024
CLEARED = "\x1b[H\x1b[2J"


def main(arguments: Sequence[str]) -> int:
    """Do what was asked for; give the exit status."""
    chore, host, service, as_root = (*arguments, "", "", "")[:4]
    known = {entry["name"]: entry for entry in services.of_host({})}
    if (service or services.LIZMAP.name) not in known:
        print(f"SERVICE can be {' or '.join(known)}, not {service}.", file=sys.stderr)
        return 1
    try:
        pi = Pi(host)
    except UnknownPiError as error:
        print(error, file=sys.stderr)
        return 1
    if chore == "password":
        print(pi.password)
        return 0
    names = {entry["name"]: entry for entry in services.of_host(pi.values(sorted(services.variables_of_names())))}
    chosen = names[service or services.LIZMAP.name]
    docker = "docker" if pi.user == "root" else "sudo docker"
    if chore == "watch":
        return follow(pi, scripts.watch(docker), looks=True)
    if chore == "logs":
        return follow(pi, scripts.logs(chosen, docker))
    command = pi.command(scripts.shell(chosen, docker, as_root=as_root == "true"), terminal=True)
    os.execvpe(command[0], command, {**os.environ, **pi.environment()})  # noqa: S606 - it is a list
    return 1


def follow(pi: Pi, script: str, *, looks: bool = False) -> int:
    """Run a script on a Pi and show what it says, without what gives this terminal orders, until it ends or Ctrl-C.

    With `looks`, each look of `scripts.watch` takes the place of the one before on a terminal.
    """
    between = CLEARED if sys.stdout.isatty() else "\n"
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    command, environment = pi.command(script, terminal=sys.stdin.isatty()), {**os.environ, **pi.environment()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            while process.stdout is not None and (part := os.read(process.stdout.fileno(), PART)):
                text = decoder.decode(part)
                parts = text.split(scripts.END_OF_LOOK) if looks else [text]
                print(between.join(printable(one) for one in parts), end="", flush=True)
        except KeyboardInterrupt:
            process.terminate()
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
