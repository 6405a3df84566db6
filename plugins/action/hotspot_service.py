"""Action plugin: makes the password of a host's Wi-Fi once, and confirms a switch over the new Wi-Fi."""

from __future__ import annotations

import runpy
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.host.password_file import PasswordFileError  # noqa: E402
from ansible.module_utils.poppyfield.hotspot import password  # noqa: E402
from ansible.module_utils.poppyfield.hotspot.service import LEAD, TAKE_BACK_AFTER  # noqa: E402

Json = dict[str, Any]
PAUSE = 3
"""Seconds between two questions."""
PATIENCE = 10
"""Seconds for one connection, while the laptop goes from one Wi-Fi to the other."""
JOIN = (
    "{host}: it is about to open its own Wi-Fi, {ssid}, on the adapter over which this laptop comes. Join that one "
    "now: unless this run reaches it there within two minutes, the Pi goes back to where it was."
)
LOST = (
    "Nothing was changed. The Pi's Wi-Fi has a password, and this laptop has none in {path} (hotspot_password_folder). "
    "Put there what sudo nmcli --show-secrets --get-values 802-11-wireless-security.psk connection show "
    "poppyfield-hotspot says on the Pi, or give another one in hotspot_password."
)
NOT_REACHED = (
    "The Pi was not reached over its own Wi-Fi within two minutes, and goes back to where it was by itself. Run the "
    "same again and join {ssid} meanwhile; ansible_host must lead to it there, too, as NAME.local does. Or come by a "
    "cable."
)


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/hotspot_service.py."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Find or make the password, run the module with it, and confirm what is on trial."""
        result: Json = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        path = self._password_file(arguments)
        if path:
            if not path.exists() and (refused := self._make(path, arguments, task_vars)):
                return result | refused
            try:
                arguments |= {"password": password.read(path, self._loader) if path.exists() else ""}
            except PasswordFileError as error:
                return {**result, "failed": True, "msg": f"Nothing was changed. {error}"}
        tried = self._module(arguments, task_vars)
        if not tried.get("on_trial") or self._task.check_mode:
            return result | tried
        Display().display(JOIN.format(host=arguments.get("host"), ssid=arguments.get("ssid")))
        return result | tried | self._confirmed(arguments, task_vars)

    def _password_file(self, arguments: Json) -> Path | None:
        """Give where the password is; None where none of the file is needed."""
        folder = arguments.get("password_folder")
        is_absent = arguments.get("state", "present") == "absent"
        is_open = boolean(arguments.get("open", False), strict=False)
        if is_absent or is_open or arguments.get("password") or not folder or not arguments.get("host"):
            return None
        return Path(unfrackpath(folder)) / str(arguments["host"])

    def _make(self, path: Path, arguments: Json, task_vars: Json | None) -> Json:
        """Make a password, unless the host has one that this laptop has lost; give what is wrong then."""
        asked = self._module({**arguments, "_ask": True}, task_vars)
        if asked.get("failed") or asked.get("unreachable"):
            return asked
        if asked["_has_password"]:
            return {"failed": True, "msg": LOST.format(path=path)}
        if not self._task.check_mode:
            try:
                password.make(path)
            except OSError as error:
                why = f"{error.filename}: {error.strerror} (hotspot_password_folder)."
                return {"failed": True, "msg": f"Nothing was changed. {why}"}
        return {}

    def _confirmed(self, arguments: Json, task_vars: Json | None) -> Json:
        """Ask over new connections until the switch is confirmed, or taken back."""
        until = time.monotonic() + TAKE_BACK_AFTER + LEAD
        self._connection.set_option("timeout", PATIENCE)
        while time.monotonic() < until:
            time.sleep(PAUSE)
            try:
                # What is open already is what ends.
                self._connection.reset()
                done = self._module({**arguments, "_confirm": True}, task_vars)
            except AnsibleConnectionFailure:
                continue
            if done.get("failed") or done.get("confirmed"):
                return {name: done[name] for name in ("failed", "msg") if name in done}
        return {"failed": True, "msg": NOT_REACHED.format(ssid=arguments.get("ssid"))}

    def _module(self, arguments: Json, task_vars: Json | None) -> Json:
        done: Json = self._execute_module(
            module_name="hotspot_service", module_args=arguments, task_vars=task_vars or {}
        )
        return done
