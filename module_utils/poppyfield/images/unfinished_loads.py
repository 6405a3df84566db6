"""Which images were being loaded when the power went: Docker does not flush what it unpacks, and takes it for whole."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from ansible.module_utils.poppyfield.host import atomic_file

FOLDER = Path("/var/lib/poppyfield/unfinished-loads")


class UnfinishedLoads:
    """Notes on a disk, one for each image that is being loaded; they outlast a loss of power."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or FOLDER

    def has(self, reference: str) -> bool:
        """Tell whether this image was being loaded when the power went, or is."""
        return self._note(reference).exists()

    def begin(self, reference: str) -> None:
        """Write down that it is being loaded."""
        self._folder.mkdir(parents=True, exist_ok=True)
        atomic_file.write(self._note(reference), reference.encode())
        atomic_file.sync_folder(self._folder)

    def end(self, reference: str) -> None:
        """Take that back: it is on the disk."""
        self._note(reference).unlink(missing_ok=True)
        atomic_file.sync_folder(self._folder)

    def _note(self, reference: str) -> Path:
        return self._folder / quote(reference, safe="")
