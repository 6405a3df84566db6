"""A Debian package and what it needs, unpacked in a root of its own: made once, and kept outside the checkout."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from workshop.laptop.prepare import cache_folder

OPTIONS = ("--variant=extract", "--dpkgopt=path-exclude=/usr/share/*", '--aptopt=Acquire::Languages "none"')


def make(package: str, suite: str, kind: str) -> Path:
    """Return the root of a release, made if it isn't cached, in the folder for this kind."""
    folder = cache_folder() / kind / hashlib.sha256(" ".join((package, *OPTIONS)).encode()).hexdigest()[:16]
    root = folder / suite
    if root.exists():
        return root
    print(f"{package} of Debian {suite} ...", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{suite}.", suffix=".partial", dir=folder))
    try:
        command = ["mmdebstrap", "--quiet", f"--include={package}", *OPTIONS, suite, str(partial / "root")]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        (partial / "root").rename(root)
    finally:
        shutil.rmtree(partial)
    return root
