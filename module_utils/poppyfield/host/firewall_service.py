"""Keeps our rules in the firewall of a host: files of the policy, and a unit of systemd that puts the rules back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.poppyfield.host import atomic_file, firewall, systemd
from ansible.module_utils.poppyfield.host.firewall import Json
from ansible.module_utils.poppyfield.host.host_files import HostFileAction, HostFileChange

UNIT = "poppyfield-firewall.service"
TAKE_BACK = "poppyfield-firewall-take-back"
POLICY = "policy.json"
RULES = {4: "rules.v4", 6: "rules.v6"}
BEFORE = ".before"
"""How the names of files end that were in force before a change that nobody has confirmed."""

SCRIPT = r"""#!/bin/sh
# Managed by Poppyfield. Puts the rules beside this file into the firewall, with the iptables that Docker uses.
set -eu
cd "$(dirname "$0")"

jumps() { "$1" -w -S | sed -n 's/^-A \(\(INPUT\|FORWARD\|DOCKER-USER\) .*-j POPPYFIELD-\)/-D \1/p'; }

chains() { "$1" -w -S | sed -n 's/^-N \(POPPYFIELD-.*\)/-F \1\n-X \1/p'; }

# All in one step: there is no moment without rules. Everything is read before, since restoring locks out who reads.
put() {
    "$1" -w -N DOCKER-USER 2>/dev/null || true
    text=$(echo '*filter' && jumps "$1" && chains "$1" && cat "$2" && echo COMMIT)
    echo "$text" | "$1-restore" -w --noflush
}

is_whole() {
    there=$("$1" -w -S)
    [ "$(echo "$there" | grep -c '^-A .*POPPYFIELD-')" = "$(grep -c '^-[AI]' "$2")" ] && leads
}

# A Docker that is restarted while containers run puts its own rules on top of all that passes through.
leads() {
    passing=$(echo "$there" | grep '^-A FORWARD ' | grep -v -e '-j DOCKER-USER$' || true)
    first=$(echo "$passing" | sed '/-j POPPYFIELD-/!q' | grep -c -e '-j POPPYFIELD-' || true)
    [ "$first" = "$(echo "$passing" | grep -c -e '-j POPPYFIELD-' || true)" ]
}

keep() { is_whole "$@" || put "$@"; }

each() {
    "$1" iptables rules.v4
    [ ! -e /proc/net/if_inet6 ] || "$1" ip6tables rules.v6
}

take_back() {
    [ -e policy.json.before ] || return 0
    for file in rules.v4 rules.v6 policy.json; do [ ! -e "$file.before" ] || mv "$file.before" "$file"; done
}

case $1 in
    # What nobody has confirmed before the power went is not kept.
    start) take_back && each put ;;
    apply) each put ;;
    keep) each keep ;;
    watch) while sleep 20; do each keep; done ;;
    take-back) take_back && each put ;;
esac
"""

UNIT_TEXT = """# Managed by Poppyfield.
[Unit]
Description=What Poppyfield's containers may reach, and who may reach this host
# Before Docker, so that no container runs a moment without; after what sets up the rest of the firewall.
Before=docker.service
After=nftables.service ufw.service firewalld.service netfilter-persistent.service
ReloadPropagatedFrom=nftables.service ufw.service firewalld.service netfilter-persistent.service

[Service]
ExecStartPre=/bin/sh {folder}/firewall start
# Whoever sets up the firewall again, or empties it, tells nobody.
ExecStart=/bin/sh {folder}/firewall watch
ExecReload=/bin/sh {folder}/firewall apply
Restart=always
RestartSec=10

[Install]
WantedBy=docker.service multi-user.target
"""


class FirewallError(Exception):
    """The rules are not in force, in a sentence."""


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command of the host; one that is missing fails."""
    try:
        return systemd.run(command)
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]}: {error.strerror}")


@dataclass(frozen=True)
class FirewallService:
    """Where the files are, and how commands are run."""

    folder: Path = Path("/etc/poppyfield/firewall")
    units: Path = Path("/etc/systemd/system")
    booted: Path = Path("/run/systemd/system")
    """Is there where systemd runs."""
    run: systemd.Run = run

    def is_possible(self) -> bool:
        """Tell a host on which systemd can keep the rules."""
        return self.booted.is_dir()

    def policy(self) -> Json:
        """Read the policy; one that is not there, or that a failing card has damaged, has no entries."""
        try:
            found = json.loads((self.folder / POLICY).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def files(self, policy: Json) -> dict[Path, str]:
        """Give the files of a policy."""
        return {
            self.folder / POLICY: json.dumps(policy, indent=1, sort_keys=True) + "\n",
            **{self.folder / name: firewall.rules(policy, version) for version, name in RULES.items()},
            self.folder / "firewall": SCRIPT,
            self.units / UNIT: UNIT_TEXT.format(folder=self.folder),
        }

    def changes(self, policy: Json) -> list[HostFileChange]:
        """Say which files are not those of the policy."""
        return [
            HostFileChange(path, HostFileAction.RENEW if path.exists() else HostFileAction.CREATE, "firewall")
            for path, text in self.files(policy).items()
            if not path.is_file() or path.read_bytes() != text.encode()
        ]

    def runs(self) -> bool:
        """Tell whether the rules were put in force, and are kept there."""
        return systemd.is_active(self.run, UNIT)

    def write(self, policy: Json) -> None:
        """Write the files."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, text in self.files(policy).items():
            atomic_file.write(path, text.encode(), mode=0o644 if path.parent == self.units else 0o600)

    def apply(self, how: str = "apply") -> None:
        """Put the rules in force at once. Raises FirewallError where the kernel or its tools cannot."""
        self._do(["/bin/sh", str(self.folder / "firewall"), how])

    def start(self) -> None:
        """Have the rules put in force now, at every boot, and again where they are lost."""
        for command in systemd.starting(UNIT):
            self._do(command)

    def converge(self, policy: Json, *, check_mode: bool) -> list[HostFileChange]:
        """Bring a policy about; say what was done. Raises FirewallError where it is not in force then."""
        changes = self.changes(policy)
        if check_mode or (not changes and self.runs()):
            return changes
        self.write(policy)
        self.apply()
        self.start()
        return changes

    def try_out(self, policy: Json, seconds: int) -> None:
        """Put a policy in force that is taken back after so many seconds, and at the next boot, unless confirmed."""
        self._keep_before()
        self._do(
            [
                *["systemd-run", "--quiet", f"--unit={TAKE_BACK}", f"--on-active={seconds}"],
                *["/bin/sh", str(self.folder / "firewall"), "take-back"],
            ]
        )
        try:
            self.write(policy)
            self.apply()
        except (OSError, FirewallError):
            self.run(["systemctl", "stop", f"{TAKE_BACK}.timer"])
            self.apply("take-back")
            raise

    def confirm(self) -> bool:
        """Keep what is tried out; False where it was taken back already."""
        self.run(["systemctl", "stop", f"{TAKE_BACK}.timer"])
        if not (self.folder / f"{POLICY}{BEFORE}").exists():
            return False
        for name in (POLICY, *RULES.values()):
            (self.folder / f"{name}{BEFORE}").unlink(missing_ok=True)
        self.start()
        return True

    def _keep_before(self) -> None:
        """Keep the files in force; the script goes by the policy's, so it is written last."""
        before = self.policy()
        self.write(before)
        for name in (*RULES.values(), POLICY):
            path = self.folder / name
            atomic_file.write(path.with_name(f"{name}{BEFORE}"), path.read_bytes(), mode=0o600)

    def _do(self, command: Sequence[str]) -> None:
        done = self.run(command)
        if done.returncode:
            raise FirewallError(
                f"The rules of the firewall could not be put in force ({command[0]}: {systemd.what_failed(done)})"
            )
