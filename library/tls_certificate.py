#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the TLS certificate of a server, of its own making, of the fleet's authority, or given."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tls_certificate
short_description: Make, renew and check the TLS certificate of a server
version_added: "0.1.0"
description:
  - Makes a certificate that is signed with its own key, and renews it before it expires or when the names change.
  - Or does the same with one that the authority of M(fleet_authority) signs on the controller.
  - Or checks a certificate and its key that were given.
  - Works with the command C(openssl). The key never leaves the host, and only its owner may read it.
requirements:
  - openssl, 3.0 or later
options:
  certificate:
    description: File of the certificate, in PEM. In one that is given others may follow, which lead to its issuer.
    type: path
    required: true
  key:
    description:
      - File of its key, in PEM and without a passphrase. Unless O(state=checked) its folder is made where it is
        missing, for root only.
      - One that is made holds the certificate as well, after the key. A server that reads both from it never has the
        key of another certificate.
    type: path
    required: true
  names:
    description:
      - Names and IP addresses of the server, as in the address bar of a browser. Empty ones are left out.
      - One that is made is for these and no others. One that is given must be for each of these.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(self_signed) makes the certificate and its key where they are missing or will not do.
      - V(fleet) does so, too, but the authority in O(authority_folder) signs the certificate. It is valid for two years
        by the controller's clock, which alone counts, and dated a day back.
      - V(checked) changes nothing, and fails where they will not do.
    type: str
    choices: [self_signed, fleet, checked]
    default: self_signed
  authority_folder:
    description: Folder on the controller that M(fleet_authority) keeps the authority in, for O(state=fleet).
    type: path
  authority_passphrase:
    description: The passphrase of its key. It stays on the controller, and is needed only when something is signed.
    type: str
    default: ""
  days:
    description: Days for which a certificate that is signed with its own key is valid.
    type: int
    default: 730
  renew_before:
    description: Days before its end in which a certificate that is made is renewed, and one that is given is warned of.
    type: int
    default: 180
  owner:
    description: Number of the user, and group, that the files belong to.
    type: int
    default: 0
attributes:
  action:
    description: With O(state=fleet) an action plugin signs on the controller.
    support: full
  check_mode:
    support: full
    description: Works on a bare host too.
  diff_mode:
    support: none
    description: There is nothing to read in a certificate. The reasons tell what changes.
  idempotent:
    support: full
    description: Renews the certificate only near its end, or when it will not do.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Create a certificate for this Pi
  tls_certificate:
    certificate: /etc/poppyfield/secrets/lizmap_tls_certificate
    key: /etc/poppyfield/secrets/lizmap_tls_key
    names:
      - maps.example.org
      - 192.168.1.20

- name: Create one that the fleet's authority signs
  tls_certificate:
    certificate: /etc/poppyfield/secrets/lizmap_tls_certificate
    key: /etc/poppyfield/secrets/lizmap_tls_key
    names: [pi-orchard, pi-orchard.local]
    state: fleet
    authority_folder: "{{ inventory_dir }}"
    authority_passphrase: "{{ passphrase_of_the_authority }}"

- name: Check that it is valid
  tls_certificate:
    certificate: /etc/poppyfield/secrets/lizmap_tls_certificate
    key: /etc/poppyfield/secrets/lizmap_tls_key
    names: [maps.example.org]
    state: checked
"""

RETURN = r"""
names:
  description: Names that the certificate is for; in check mode those that it would be for.
  returned: success
  type: list
  elements: str
valid_until:
  description: Its last day, empty when it is not made yet.
  returned: success
  type: str
  sample: "2028-11-24"
content:
  description: The certificate in PEM, which is no secret; empty when it is not made yet.
  returned: success
  type: str
reasons:
  description: Why it was made or renewed.
  returned: success
  type: list
  elements: str
"""

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.host import atomic_file, certificates
from ansible.module_utils.poppyfield.host.certificates import Certificate, CertificateError, OpenSslError

ARGUMENTS: dict[str, Any] = {
    "certificate": {"type": "path", "required": True},
    "key": {"type": "path", "required": True, "no_log": False},
    "names": {"type": "list", "elements": "str", "default": []},
    "state": {"type": "str", "choices": ["self_signed", "fleet", "checked"], "default": "self_signed"},
    # Both are for the action plugin, which keeps them to itself.
    "authority_folder": {"type": "path"},
    "authority_passphrase": {"type": "str", "default": "", "no_log": True},
    "days": {"type": "int", "default": 730},
    "renew_before": {"type": "int", "default": 180},
    "owner": {"type": "int", "default": 0},
}
# What the action plugin says with state: fleet: the authority's certificate and the time, then also what it signed.
INTERNAL: dict[str, Any] = {"_authority": {"type": "str"}, "_now": {"type": "int"}, "_signed": {"type": "str"}}
READ = "-noout -dates -dateopt iso_8601 -subject -issuer -ext subjectAltName -pubkey"
WORKSHOP = ".tls-"
REQUEST = f"{WORKSHOP}request"
"""The folder of a new key while the authority signs it."""
CERTIFICATE_MODE = 0o444
KEY_MODE = 0o400
FOLDER_MODE = 0o700


class OpenSsl:
    """Runs openssl."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        # On a bare host in check mode an earlier task would have installed it.
        self.program = module.get_bin_path("openssl", required=not module.check_mode)

    def run(self, *arguments: str) -> str:
        """Give what it prints; what it complains of is not shown, since it may be about a key."""
        if not self.program:
            raise CertificateError("There is no openssl on this host yet.")
        code, output, _ = self.module.run_command([self.program, *arguments], umask=0o077)
        if code:
            raise CertificateError(f"openssl {arguments[0]} failed.")
        return str(output)

    def certificate(self, path: str) -> Certificate:
        """Read a certificate."""
        try:
            text = self.run("x509", "-in", path, *READ.split())
        except CertificateError as error:
            raise self._why_unread(path) from error
        found: Certificate = certificates.parse_certificate(text)
        return found

    def _why_unread(self, path: str) -> CertificateError:
        """Tell a certificate that is none from an openssl that does not know how to tell what is in one."""
        try:
            self.run("x509", "-in", path, "-noout")
        except CertificateError:
            return CertificateError(f"{path} is not a certificate in PEM, or cannot be read.")
        return OpenSslError()

    def public_key(self, path: str) -> str:
        """Read the public part of a key."""
        try:
            return str(certificates.public_key(self.run("pkey", "-in", path, "-passin", "pass:", "-pubout")))
        except CertificateError as error:
            raise CertificateError(f"{path} is not a key in PEM, has a passphrase, or cannot be read.") from error

    def make(self, folder: Path, names: list[str], days: int) -> tuple[bytes, bytes]:
        """Make a key and a certificate; give both."""
        with tempfile.TemporaryDirectory(prefix=WORKSHOP, dir=folder) as place:
            key, certificate = Path(place) / "key", Path(place) / "certificate"
            self.run(*certificates.request_arguments(names, days), "-keyout", str(key), "-out", str(certificate))
            return key.read_bytes(), certificate.read_bytes()

    def request(self, folder: Path) -> str:
        """Make a key, which stays in the folder REQUEST, and give the request to sign it."""
        place = folder / REQUEST
        place.mkdir(mode=FOLDER_MODE)
        return self.run(*certificates.signing_request_arguments(), "-keyout", str(place / "key"))

    def is_of(self, authority: str, certificate: str, now: datetime) -> bool:
        """Tell whether an authority issued a certificate."""
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
            file.write(authority)
            file.flush()
            try:
                self.run(*certificates.verify_arguments(file.name, now), certificate)
            except CertificateError:
                return False
        return True


def reason_to_make(ssl: OpenSsl, params: dict[str, Any], names: list[str], now: datetime) -> str:
    """Tell why the certificate is to be made; empty when it is not."""
    if not (Path(params["certificate"]).exists() and Path(params["key"]).exists()):
        return "there is no certificate yet"
    authority, path = params["_authority"], params["certificate"]
    try:
        found, key = ssl.certificate(path), ssl.public_key(params["key"])
    except OpenSslError:
        raise
    except CertificateError as error:
        return str(error)
    of_issuer = ssl.is_of(authority, path, now) if authority else found.self_signed
    return str(certificates.reason_to_renew(found, key, names, now, params["renew_before"], of_issuer=of_issuer))


def ensure(module: AnsibleModule, ssl: OpenSsl, names: list[str]) -> dict[str, Any]:
    """Make the certificate, or what is needed to sign it, where it is missing or will not do."""
    params = module.params
    if not names:
        raise CertificateError("names has no name for the certificate.")
    now = datetime.fromtimestamp(params["_now"], UTC) if params["_now"] else datetime.now(UTC)
    if params["_signed"]:
        return take(ssl, params, names, now)
    reason = reason_to_make(ssl, params, names, now)
    if reason and not module.check_mode:
        folder = prepared(params)
        if params["_authority"]:
            return {"changed": True, "reasons": [reason], "_request": ssl.request(folder)}
        write(params, *ssl.make(folder, names, params["days"]))
    there = not (reason and module.check_mode)
    return {"changed": bool(reason), "reasons": [reason] if reason else [], **outcome(ssl, params, names, there)}


def take(ssl: OpenSsl, params: dict[str, Any], names: list[str], now: datetime) -> dict[str, Any]:
    """Put what the authority has signed, and its key, in the place of those before."""
    place, signed = Path(params["key"]).parent / REQUEST, params["_signed"].encode("ascii")
    (place / "certificate").write_bytes(signed)
    found, key = ssl.certificate(str(place / "certificate")), ssl.public_key(str(place / "key"))
    wrong = certificates.problems(found, key, names, now)
    if wrong:
        raise CertificateError(f"What the authority signed will not do: {'; '.join(wrong)}.")
    write(params, (place / "key").read_bytes(), signed)
    shutil.rmtree(place)
    return {"changed": True, "reasons": [], **outcome(ssl, params, names, there=True)}


def prepared(params: dict[str, Any]) -> Path:
    """Make the folders of both files; give that of the key, without a key that a run which was cut off left there."""
    for path in (params["certificate"], params["key"]):
        make_folder(Path(path).parent)
    folder = Path(params["key"]).parent
    for left in folder.glob(f"{WORKSHOP}*"):
        shutil.rmtree(left)
    return folder


def write(params: dict[str, Any], key: bytes, certificate: bytes) -> None:
    """Write both files.

    The key's holds both, so that a server never has one of each pair. If the power fails before the other is written,
    the two do not belong together, and the next run makes them again.
    """
    whose = {"owner": params["owner"], "group": params["owner"]}
    atomic_file.write(Path(params["key"]), key + certificate, mode=KEY_MODE, **whose)
    atomic_file.write(Path(params["certificate"]), certificate, mode=CERTIFICATE_MODE, **whose)


def outcome(ssl: OpenSsl, params: dict[str, Any], names: list[str], there: bool) -> dict[str, Any]:
    """Give what is known of the certificate, if it is there."""
    return {
        "names": names,
        "valid_until": f"{ssl.certificate(params['certificate']).ends:%Y-%m-%d}" if there else "",
        "content": text_of(params["certificate"]) if there else "",
    }


def make_folder(folder: Path) -> None:
    """Make a folder for keys where there is none; the one above it must be there."""
    try:
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    except OSError as error:
        raise CertificateError(f"The folder {folder} does not exist and cannot be made: {error.strerror}.") from error


def text_of(path: str) -> str:
    """Give a certificate as it stands in its file."""
    return Path(path).read_text("ascii", "replace")


def check(module: AnsibleModule, ssl: OpenSsl, names: list[str]) -> dict[str, Any]:
    """Fail where a given certificate will not do."""
    params, now = module.params, datetime.now(UTC)
    found, key = ssl.certificate(params["certificate"]), ssl.public_key(params["key"])
    wrong = certificates.problems(found, key, names, now)
    if wrong:
        raise CertificateError(f"{params['certificate']}: {'; '.join(wrong)}.")
    if found.ends - now <= timedelta(days=params["renew_before"]):
        module.warn(f"{params['certificate']} expires on {found.ends:%Y-%m-%d}. Get a new one in time.")
    return {
        "changed": False,
        "names": list(found.names),
        "valid_until": f"{found.ends:%Y-%m-%d}",
        "content": text_of(params["certificate"]),
        "reasons": [],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS | INTERNAL, supports_check_mode=True)
    ssl = OpenSsl(module)
    try:
        names = certificates.check_names(module.params["names"])
        given = module.params["state"] == "checked"
        result = check(module, ssl, names) if given else ensure(module, ssl, names)
    except CertificateError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['key']}: {error.strerror or error}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
