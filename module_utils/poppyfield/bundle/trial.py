"""Whether a Pi could install from a bundle's index, asked of its own apt before anything is changed."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ansible.module_utils.poppyfield.bundle.apt import Apt, install, lacks, last_words, local_source
from ansible.module_utils.poppyfield.bundle.manifest import INDEX, BundleError


def problems(index: str, packages: Sequence[str], *, architecture: str = "", status: Path | None = None) -> list[str]:
    """Give what a bundle lacks for these packages, in sentences.

    Only the index has to be here: apt simulates, and reads no package.
    """
    if not packages:
        return []
    with tempfile.TemporaryDirectory(prefix="poppyfield-bundle-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)  # apt reads as a user of its own
        (folder / INDEX).write_text(index, "utf-8")
        apt = Apt(folder / "apt", architecture, status)
        apt.prepare([local_source(folder)])
        try:
            for arguments in (["update"], install(packages, "--simulate")):
                done = apt.run(*arguments, lock_free=arguments != ["update"])
                if done.returncode:
                    missing = lacks(done.stdout + done.stderr) or [last_words(done)]
                    return [_sentence(missing)]
        except BundleError as error:
            return [f"{error}."]
    return []


def _sentence(missing: Sequence[str]) -> str:
    return (
        f"The bundle does not hold all that this Pi has to install: {'; '.join(missing)}. Make it again where the "
        f"internet is, with bundle_stock_status as it is on this Pi, or name what is missing in bundle_packages."
    )
