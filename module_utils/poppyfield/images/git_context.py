"""A build context that is a git URL, as `docker build` takes it: URL#ref:subfolder. Pure."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ansible.module_utils.poppyfield.images.context_digest import ContextError

DEFAULT_REF = "HEAD"
ENCODED = "A character such as / # ? or @ in a password or path must be percent-encoded."
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_SSH_SHORT = re.compile(r"[\w.-]+@[\w.-]+:[^\s]+")
SCHEMES = ("https", "http", "ssh", "git", "file")
# Over http(s), docker takes an address without .git for that of an archive.
_WEB_SCHEMES = ("https", "http")


@dataclass(frozen=True)
class GitContext:
    """What to fetch, and from where.

    `url` holds no secret. `credentials` is the URL with its user name and password as git's credential store keeps
    it, or empty. `subfolder` is a path inside the repository, empty for all of it.
    """

    url: str
    ref: str = DEFAULT_REF
    subfolder: str = ""
    credentials: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Give it as a person would write it, without credentials."""
        ref = "" if self.ref == DEFAULT_REF else self.ref
        inside = f":{self.subfolder}" if self.subfolder else ""
        return f"{self.url}#{ref}{inside}" if ref or inside else self.url


def parse(context: str) -> GitContext | None:
    """Read a build context: a git URL, or None for a folder; refuse what is neither."""
    address, _, fragment = context.partition("#")
    scheme = _SCHEME.match(address)
    if not scheme and not _SSH_SHORT.fullmatch(address):
        return None
    ref, _, subfolder = fragment.partition(":")
    if ref.startswith("-") or re.search(r"[\s\x00-\x1f]", ref):
        raise ContextError(f"{ref!r} after the # of a git URL is not the name of a branch, of a tag or of a commit.")
    inside = os.path.normpath(subfolder.lstrip("/")) if subfolder.strip("/") else ""
    if inside == ".." or inside.startswith("../"):
        raise ContextError(f"The subfolder {subfolder!r} of a git URL must be a folder inside the repository.")
    url, credentials = _without_credentials(address) if scheme else (address, "")
    return GitContext(url, ref or DEFAULT_REF, "" if inside == "." else inside, credentials)


def without_credentials(context: str) -> str:
    """Give a build context as it may be shown: a folder as it is, a URL without what may be secret in it."""
    try:
        return str(parse(context) or context)
    except ContextError:
        return re.sub(r"://.*", "://...", context, flags=re.DOTALL)


def _without_credentials(address: str) -> tuple[str, str]:
    """Give a URL without user name and password, and, for http(s), only its host with them."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise ContextError(f"The git URL of the build context cannot be read. {ENCODED}") from error
    scheme = parts.scheme.lower()
    is_web = scheme in _WEB_SCHEMES
    if scheme not in SCHEMES or parts.query or (is_web and not parts.path.endswith(".git")):
        raise ContextError(
            "The build context is neither a folder nor a git URL. One over http or https ends in .git, and then may "
            "come #ref:subfolder; others begin with ssh://, git://, file:// or git@."
        )
    # A slash or # in a password makes what follows look like a path, and that would be shown.
    if "@" in parts.path or not parts.path.strip("/") or not (parts.hostname or scheme == "file"):
        raise ContextError(f"The git URL of the build context names no host and path. {ENCODED}")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    secret = parts.netloc.rpartition("@")[0] if is_web else ""
    # The account that ssh is to use is no secret; a password would not reach ssh.
    account = f"{parts.username}@" if scheme == "ssh" and parts.username else ""
    url = f"{scheme}://{account}{host}{port}{parts.path}"
    return url, f"{scheme}://{_user_and_password(secret)}@{host}{port}" if secret else ""


def _user_and_password(secret: str) -> str:
    """Give both, separated by a colon; a token alone is a user name with an empty password."""
    encoded = secret.replace("@", "%40")
    return encoded if ":" in encoded else f"{encoded}:"
