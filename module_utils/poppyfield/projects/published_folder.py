"""A repository's folder on the Pi: what arrives is gathered beside it, and takes its place at once when it is whole.

Below the projects' folder, which the container sees, `.poppyfield/<repository>` holds what visitors do not see:

    incoming/   files that arrived, by the SHA-256 of their content; what of one is there so far has a dot before it,
                and an upload that was cut off goes on from there
    staged/     the new folder until it is published; then, for a moment, the old one
    known       the digests of the published files, so that a Pi need not read all of them each time
    lock        held while one run publishes
    basemaps    while projects are staged, a link to the base maps: ../basemaps is the same for them as when published

Power may go at any moment. The published folder is then the old or the new one, whole; what is left beside it is
of use for the next run, which removes the rest.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.poppyfield.host import atomic_file, folder_exchange
from ansible.module_utils.poppyfield.projects.folder_difference import (
    File,
    FolderDifference,
    FolderError,
    FoundFile,
    Known,
    Stamp,
    compare,
    digest,
    format_known,
    is_right,
    parse_known,
    piece_of,
    stamp_of,
)

WORKSHOP = ".poppyfield"
BASEMAPS = "basemaps"
"""The folder beside the repositories that the module delivered_basemaps keeps; no repository may have its name."""
FILE_MODE = 0o644
FOLDER_MODE = 0o755
CLOSED_MODE = 0o700
CHUNK = 1024 * 1024
GROWING = ".growing"


class PublishedFolder:
    """One repository below the projects' folder."""

    def __init__(self, projects_folder: Path, repository: str, owner: int = 0, group: int = 0) -> None:
        self.projects_folder = projects_folder
        self.path = projects_folder / repository
        self.workshop = projects_folder / WORKSHOP / repository
        self.incoming = self.workshop / "incoming"
        self.staged = self.workshop / "staged"
        self.owner = owner
        self.group = group
        self.seen: Known = {}
        """What `found` saw: stamps from before each file was read."""

    # Looking ---------------------------------------------------------------------------------------------------------

    def found(self) -> dict[str, FoundFile]:
        """Give the published files. Only those are read whose digest is not known."""
        known = self._known()
        self.seen = {}
        result = {}
        for name, path, folder_right in self._files():
            state = path.lstat()
            if not stat.S_ISREG(state.st_mode):
                result[name] = FoundFile(0, "", right=False)
                continue
            stamp = stamp_of(state)
            sha256 = known[name][1] if known.get(name, (None,))[0] == stamp else digest(path)
            right = folder_right and is_right(state, self.owner, self.group, FILE_MODE)
            result[name] = FoundFile(state.st_size, sha256, right)
            self.seen[name] = stamp, sha256
        return result

    def _files(self) -> Iterator[tuple[str, Path, bool]]:
        """Give all that is no folder, its relative name, and whether owner and mode of its folder are right."""
        for base, folders, names in os.walk(self.path):
            folder = Path(base)
            state = folder.stat()
            right = (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) == (self.owner, self.group, FOLDER_MODE)
            links = [name for name in folders if (folder / name).is_symlink()]
            for name in (*names, *links):
                yield (folder / name).relative_to(self.path).as_posix(), folder / name, right

    def _known(self) -> Known:
        try:
            return parse_known((self.workshop / "known").read_text(encoding="utf-8"))
        except (OSError, UnicodeError):
            return {}

    def arrived(self) -> list[str]:
        """Name the digests of files that an earlier upload brought."""
        return sorted(path.name for path in _entries(self.incoming) if not path.name.startswith("."))

    def begun(self) -> dict[str, int]:
        """Give by digest how many bytes there are of files of which an earlier upload brought a part."""
        growing = (path for path in _entries(self.incoming) if path.name.endswith(GROWING))
        return {path.name.removeprefix(".").removesuffix(GROWING): path.stat().st_size for path in growing}

    def free_bytes(self) -> int:
        """Tell how much room there is for files."""
        folder = next(path for path in (self.projects_folder, *self.projects_folder.parents) if path.is_dir())
        state = os.statvfs(folder)
        return state.f_bavail * state.f_frsize

    # Changing --------------------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one run at a time publish."""
        self._make_folder(self.workshop.parent)
        self._make_folder(self.workshop)
        with (self.workshop / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise FolderError(f"Another run is publishing {self.path} at this moment: wait for its end.") from error
            yield

    def receive(self, archive: Path) -> int:
        """Unpack an upload; give how many bytes it has. A file is there whole, on the disk, or not at all."""
        self._make_folder(self.incoming)
        total = 0
        try:
            with tarfile.open(archive) as upload:
                for entry in upload:
                    total += self._receive(upload, entry)
        except (tarfile.TarError, EOFError) as error:
            raise FolderError(f"The upload {archive.name} arrived damaged ({error}): run again.") from error
        atomic_file.sync_folder(self.incoming)
        return total

    def _receive(self, upload: tarfile.TarFile, entry: tarfile.TarInfo) -> int:
        """Add a piece to its file, which gets its name when it is whole."""
        content = upload.extractfile(entry)
        if content is None:
            raise FolderError(f"The upload holds {entry.name}, which is no file.")
        piece = piece_of(entry.name, entry.size)
        growing = self.incoming / growing_name(piece.sha256)
        with growing.open("ab" if piece.start else "wb") as stream:
            if stream.tell() < piece.start:
                raise FolderError("A piece of a large file is missing on the Pi: run again.")
            # What a run that was cut off wrote of this piece was not flushed to the disk.
            stream.truncate(piece.start)
            shutil.copyfileobj(content, stream, CHUNK)
            stream.flush()
            os.fsync(stream.fileno())
        if piece.start + piece.size >= piece.whole:
            self._complete(growing, piece.sha256)
        return piece.size

    def _complete(self, growing: Path, sha256: str) -> None:
        if digest(growing) != sha256:
            growing.unlink()
            raise FolderError("A file of the project's folder was changed while it was copied: run again.")
        os.chown(growing, self.owner, self.group)
        growing.chmod(FILE_MODE)
        growing.rename(self.incoming / sha256)

    def publish(
        self,
        wanted: Mapping[str, File],
        *,
        prune: bool,
        check: Callable[[Path], None],
        swapped: Callable[[], None],
    ) -> FolderDifference:
        """Put the new folder together, have it checked, and put it in the old one's place at once.

        `swapped` is called while the old folder is still there for those who read it.
        """
        found = self.found()
        difference = compare(wanted, found, prune=prune)
        _remove(self.staged)
        self._lead_to_basemaps()
        staged = self._stage(wanted, difference)
        try:
            check(self.staged)
        except BaseException:
            # What arrived stays, so that a project that was mended is all that travels next time.
            _remove(self.staged)
            _remove(self.workshop / BASEMAPS)
            raise
        self._make_folder(self.path)
        exchange(self.staged, self.path)
        atomic_file.sync_folder(self.projects_folder)
        if found:
            swapped()
        self.sweep()
        digests = {name: found[name].sha256 for name in difference.left} | {
            name: file.sha256 for name, file in wanted.items()
        }
        self._note({name: entry for name, entry in self._stamps(digests).items() if entry[0][:3] == staged[name][:3]})
        return difference

    def _stage(self, wanted: Mapping[str, File], difference: FolderDifference) -> dict[str, Stamp]:
        """Make the new folder of links, so that what did not change takes no room and no time; give the stamps."""
        self._make_folder(self.staged)
        stamps = {}
        for name in sorted({*wanted, *difference.left}):
            here = self.staged / name
            self._make_folders(here.parent)
            kept = name in difference.kept
            source = self.path / name if kept else self.incoming / wanted[name].sha256
            try:
                os.link(source, here, follow_symlinks=False)
            except FileNotFoundError as error:
                raise FolderError(
                    f"{name} has not arrived on the Pi, or was removed there meanwhile: run again."
                ) from error
            if name in difference.changed:
                _make_newer(here, self.path / name)
            if name in difference.corrected:
                os.chown(here, self.owner, self.group)
                here.chmod(FILE_MODE)
            stamps[name] = self.seen[name][0] if kept and name in self.seen else stamp_of(here.lstat())
        for folder, _, _ in os.walk(self.staged):
            atomic_file.sync_folder(Path(folder))
        atomic_file.sync_folder(self.workshop)
        return stamps

    def _lead_to_basemaps(self) -> None:
        """Let ../basemaps lead to the base maps from a staged project, too; in the container as here."""
        link = self.workshop / BASEMAPS
        if not link.is_symlink() and self.path.name != BASEMAPS and (self.projects_folder / BASEMAPS).is_dir():
            link.symlink_to(Path("..", "..", BASEMAPS))

    def _stamps(self, digests: Mapping[str, str]) -> Known:
        """Give what is to be known of the published files: after the old folder is gone, which changed the times."""
        states = {name: path.lstat() for name, path, _ in self._files()}
        return {name: (stamp_of(states[name]), sha256) for name, sha256 in digests.items() if name in states and sha256}

    def _note(self, known: Known) -> None:
        atomic_file.write(self.workshop / "known", format_known(known).encode())

    def settle(self) -> None:
        """Finish what an earlier run that was cut off did not come to; `found` was asked before."""
        self.sweep()
        if self._known() != self.seen:
            self._note(self.seen)

    def sweep(self) -> None:
        """Remove what an earlier run left behind."""
        atomic_file.sweep(self.workshop, lambda name: name == "known")
        for path in _entries(self.workshop):
            # An earlier release wrote the record as .known.
            if path.name in ("incoming", "staged", BASEMAPS, ".known"):
                _remove(path)

    def is_open(self) -> bool:
        """Tell whether others than the owner can read it."""
        return stat.S_IMODE(self.path.stat().st_mode) != CLOSED_MODE

    def close(self) -> None:
        """Keep the files, and let nobody but their new owner read them: whoever runs this, so never the container."""
        os.chown(self.path, os.geteuid(), os.getegid())
        self.path.chmod(CLOSED_MODE)
        atomic_file.sync_folder(self.path)

    def remove(self) -> None:
        """Take the repository away at once, then remove its files."""
        _remove(self.staged)
        self.path.rename(self.staged)
        atomic_file.sync_folder(self.projects_folder)
        self.sweep()
        (self.workshop / "known").unlink(missing_ok=True)

    def _make_folders(self, folder: Path) -> None:
        if folder != self.staged:
            self._make_folders(folder.parent)
            self._make_folder(folder)

    def _make_folder(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        os.chown(folder, self.owner, self.group)
        folder.chmod(FOLDER_MODE)


def growing_name(sha256: str) -> str:
    """Give the name of what has arrived so far of a file."""
    return f".{sha256}{GROWING}"


def published_repositories(projects_folder: Path) -> list[str]:
    """Name the repositories that were published here; a folder that somebody made by hand is none of them."""
    names = [path.name for path in _entries(projects_folder / WORKSHOP) if path.name != BASEMAPS]
    return [name for name in names if (projects_folder / name).is_dir()]


def _make_newer(path: Path, old: Path) -> None:
    """Date a file after the one that it replaces: Lizmap goes by that, and a Pi's clock may have gone back."""
    least = old.lstat().st_mtime_ns + 10**9
    if path.stat().st_mtime_ns < least:
        os.utime(path, ns=(least, least))


def exchange(one: Path, other: Path) -> None:
    """Exchange two folders in one step: at no moment is there none, or part of one."""
    try:
        folder_exchange.exchange(one, other)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EXDEV):
            raise
        raise FolderError(
            f"The file system of {other.parent} cannot exchange two folders in one step: use ext4, "
            "as Raspberry Pi OS does."
        ) from error


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
