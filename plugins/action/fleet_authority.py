"""Action plugin: makes and renews a fleet's certificate authority, in the process that knows its passphrase."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.host import fleet_authority  # noqa: E402
from ansible.module_utils.poppyfield.host.certificates import CertificateError, check_names  # noqa: E402

Json = dict[str, Any]


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/fleet_authority.py."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"folder", "passphrase", "names"})

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Make or renew the authority where that is needed."""
        result: Json = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {
                "folder": {"type": "path", "required": True},
                "passphrase": {"type": "str", "required": True, "no_log": True},
                "names": {"type": "list", "elements": "str", "required": True},
            }
        )
        folder = Path(unfrackpath(arguments["folder"]))
        try:
            names = check_names(arguments["names"])
            if not names:
                raise CertificateError("names has no name for the authority")
            return result | self._ensured(folder, arguments["passphrase"], names)
        except (fleet_authority.AuthorityError, CertificateError) as error:
            return {**result, "failed": True, "msg": f"Nothing was changed: {str(error).rstrip('.')}."}
        except OSError as error:
            return {**result, "failed": True, "msg": f"{error.filename or folder}: {error.strerror or error}."}

    def _ensured(self, folder: Path, passphrase: str, names: Sequence[str]) -> Json:
        # Opened in any case: a passphrase that was forgotten is told before it is needed.
        key = fleet_authority.earlier_key(folder, passphrase)
        certificate = fleet_authority.read_if_there(folder)
        if key and certificate:
            fleet_authority.check_pair(certificate, key)
        reason = fleet_authority.reason_to_make(certificate, names, datetime.now(UTC))
        if certificate is None or reason:
            fleet_authority.check_passphrase(passphrase)
            authority = fleet_authority.make(names, datetime.now(UTC), key)
            certificate = authority.certificate
            if not self._task.check_mode:
                if not key:
                    fleet_authority.write_key(folder, authority.key, passphrase)
                fleet_authority.publish(folder, certificate)
        return {
            "changed": bool(reason),
            "renewed": bool(reason and key),
            "reasons": [reason] if reason else [],
            "valid_until": f"{certificate.not_valid_after_utc:%Y-%m-%d}",
            "fingerprint": fleet_authority.fingerprint(certificate),
        }
