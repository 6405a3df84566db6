"""Large files travel to a Pi in pieces, and go on where an earlier run was cut off. Used by action plugins."""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.projects.folder_difference import FolderError, Piece, still_to_send, uploads

Json = dict[str, Any]


class SendsFiles:
    """For an action plugin whose module receives what `PublishedFolder.receive` unpacks."""

    _connection: Any
    _make_tmp_path: Callable[[], str]
    _transfer_file: Callable[[str, str], Any]

    def send_files(
        self,
        sources: Mapping[str, Path],
        sizes: Mapping[str, int],
        begun: Any,
        receive: Callable[[str], Json],
        tell: Callable[[str], Any],
    ) -> tuple[Json, int]:
        """Send files by their digests a batch at a time, but for what the host says that it has begun to have.

        `sources` and `sizes` are by digest; `receive` is called with each archive's path there. Give its answer where
        that is a failure, else nothing, and how many bytes were sent. Raises FolderError where a file can't be read.
        """
        all_parts = uploads(sizes)
        parts = still_to_send(all_parts, begun if is_of_sizes(begun) else {})
        sent = 0
        for number, part in enumerate(parts, start=len(all_parts) - len(parts) + 1):
            size = sum(piece.size for piece in part) / 1e6
            tell(f"part {number} of {len(all_parts)} ({size:.1f} MB)")
            received, packed = self._send({piece: sources[piece.sha256] for piece in part}, receive)
            if received.get("failed"):
                return received, sent
            sent += packed
        return {}, sent

    def _send(self, pieces: Mapping[Piece, Path], receive: Callable[[str], Json]) -> tuple[Json, int]:
        """Pack pieces of files, upload them, and have them unpacked; give the answer and how much was sent."""
        with tempfile.TemporaryDirectory(prefix="poppyfield-") as folder:
            archive = Path(folder) / "files.tar.gz"
            try:
                pack(archive, pieces)
            except OSError as error:
                raise FolderError(f"A file could not be read, or was changed meanwhile: {error}.") from error
            # The task's own temporary folder: on disk (a Pi's /tmp may be in memory), nobody else's, and Ansible
            # removes it when the task is over, whether it failed or not.
            shell = self._connection._shell
            remote = shell.join_path(shell.tmpdir or self._make_tmp_path(), archive.name)
            self._transfer_file(os.fspath(archive), remote)
            size = archive.stat().st_size
        return receive(remote), size


def is_of_sizes(begun: Any) -> bool:
    """Tell whether it is what a host says of files by their digests: how many bytes it has."""
    return isinstance(begun, Mapping) and all(isinstance(size, int) for size in begun.values())


def pack(archive: Path, pieces: Mapping[Piece, Path]) -> None:
    """Pack pieces of files. Lightly: a Pi's wireless network is slow, but so is its processor."""
    with tarfile.open(archive, "w:gz", compresslevel=3) as upload:
        for piece, path in pieces.items():
            entry = tarfile.TarInfo(piece.entry)
            entry.size = piece.size
            with path.open("rb") as stream:
                stream.seek(piece.start)
                upload.addfile(entry, stream)
