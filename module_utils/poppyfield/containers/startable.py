"""Whether Docker can start containers at all, found out before one is stopped.

`nft flush ruleset`, or a firewall that is set up again, removes Docker's rules with all others. What runs goes on then,
but nothing can be started, neither the new container nor the old one. A network of a moment shows it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.health import once_engine_answers
from ansible.module_utils.poppyfield.containers.plan import Action, Plan
from ansible.module_utils.poppyfield.containers.spec import is_ours, network_body

PROBE = "poppyfield-probe"
OF_FIREWALL = ("iptables", "ip tables", "nftables", "no chain/target/match")
RESTART = ("systemctl", "restart", "docker")
ANSWER_SECONDS = 60
MENDED = (
    "Docker's rules were missing in the firewall of this host, so that it could start no container: something removed "
    "them, such as nft flush ruleset. Docker was restarted, which put them back; what ran went on."
)


def is_asked(plan: Plan) -> bool:
    """Tell whether a plan starts something, so that it must be possible."""
    return plan.otherwise is not None or any(step.action is Action.START for step in plan.steps)


def ensure(
    engine: Engine,
    *,
    restart: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Give a warning where it had to be mended, otherwise nothing; raise EngineError where it can't be."""
    why = _refusal(engine)
    if not why:
        return ""
    if engine.about().get("LiveRestoreEnabled") and (restart or restart_docker)():
        once_engine_answers(engine.about, ANSWER_SECONDS, clock, sleep)
        why = _refusal(engine)
        if not why:
            return MENDED
    raise EngineError(
        f"{why} Nothing was stopped. Docker's rules are missing in the firewall of this host, so that no container can "
        f"be started: something removed them, such as nft flush ruleset. Put them back (sudo systemctl restart "
        f"docker), and run the same again."
    )


def restart_docker() -> bool:
    """Restart it; tell whether that was possible."""
    try:
        return subprocess.run(RESTART, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def _refusal(engine: Engine) -> str:
    """Give what Docker says of its firewall when it makes a network; nothing where it says nothing of that."""
    left = engine.network(PROBE)
    if left is not None and not is_ours(left, PROBE):
        return ""
    if left is not None:
        engine.remove_network(PROBE)
    try:
        engine.create_network(network_body(PROBE, resource=PROBE))
    except EngineError as error:
        return str(error) if any(words in str(error).lower() for words in OF_FIREWALL) else ""
    engine.remove_network(PROBE)
    return ""
