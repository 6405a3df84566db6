"""Action plugin: the fleet's authority signs on the controller, which alone has its key."""

from __future__ import annotations

import runpy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.host import fleet_authority  # noqa: E402
from ansible.module_utils.poppyfield.host.certificates import CertificateError, check_names  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding  # noqa: E402

Json = dict[str, Any]


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/tls_certificate.py."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Run the module; with state: fleet, sign what it asks for, and run it once more."""
        result: Json = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        folder, passphrase = arguments.pop("authority_folder", ""), arguments.pop("authority_passphrase", "")
        if arguments.get("state") != "fleet":
            return result | self._module(arguments, task_vars)
        if not folder:
            return {**result, "failed": True, "msg": "state: fleet needs authority_folder."}
        try:
            return result | self._signed(arguments, Path(unfrackpath(folder)), str(passphrase), task_vars)
        except (fleet_authority.AuthorityError, CertificateError) as error:
            return {**result, "failed": True, "msg": f"The fleet's authority: {str(error).rstrip('.')}."}

    def _signed(self, arguments: Json, folder: Path, passphrase: str, task_vars: Json | None) -> Json:
        now, authority = datetime.now(UTC), fleet_authority.read(folder)
        # What is passed on to the Pi: nothing of this is secret.
        told = {
            **arguments,
            "_authority": authority.public_bytes(Encoding.PEM).decode("ascii"),
            "_now": int(now.timestamp()),
        }
        asked = self._module(told, task_vars)
        if (soon := fleet_authority.ends_soon(authority, now)) and not asked.get("failed"):
            asked["warnings"] = [*asked.get("warnings", []), f"{soon}. Renew it: playbooks/authority.yml."]
        if asked.get("failed") or "_request" not in asked:
            return asked
        names = check_names(arguments.get("names", []))
        key = fleet_authority.unlock(folder, passphrase)
        signer = fleet_authority.Authority(key, authority)
        signed = fleet_authority.sign(signer, str(asked.pop("_request")), names, now)
        taken = self._module({**told, "_signed": signed}, task_vars)
        return taken if taken.get("failed") else {**asked, **taken, "reasons": asked["reasons"]}

    def _module(self, arguments: Json, task_vars: Json | None) -> Json:
        """Run the module on the host."""
        done: Json = self._execute_module(
            module_name="tls_certificate", module_args=arguments, task_vars=task_vars or {}
        )
        return done
