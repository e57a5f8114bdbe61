"""A disk of a test's own, small enough to be filled: a tmpfs, mounted by root or by whoever may use sudo."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoDisk(Exception):
    """Nothing can be mounted here; the message says why."""


class Disk:
    """A mounted tmpfs at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free(self) -> int:
        """Bytes that can still be written."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Take the space there is, but ``leave`` bytes."""
        self._ballast.mkdir(exist_ok=True)
        with (self._ballast / "bytes").open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12):
                try:
                    while self.free - leave >= size:
                        file.write(bytes(size))
                except OSError:
                    continue

    def take_every_inode(self) -> None:
        """Make files until no further one can be made."""
        self._ballast.mkdir(exist_ok=True)
        number = 0
        try:
            while True:
                (self._ballast / str(number)).touch()
                number += 1
        except OSError:
            return

    def empty(self) -> None:
        """Give back what was taken."""
        shutil.rmtree(self._ballast)

    def remount(self, how: str) -> None:
        """Make it read-only (``ro``) or writable again (``rw``); nobody may have a file open for writing."""
        _as_root("mount", "-o", f"remount,{how}", str(self.path))


@contextmanager
def small_disk(path: Path, mebibytes: int, inodes: int = 0) -> Iterator[Disk]:
    """Yield a disk of this size at ``path``. Raises NoDisk."""
    path.mkdir()
    options = f"size={mebibytes}m,mode=0755,uid={os.getuid()},gid={os.getgid()}"
    try:
        _as_root("mount", "-t", "tmpfs", "-o", f"{options},nr_inodes={inodes}", "tmpfs", str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise NoDisk(f"mounting a tmpfs failed: {said.strip()}") from error
    try:
        yield Disk(path)
    finally:
        _as_root("umount", "--lazy", str(path))


def _as_root(*command: str) -> None:
    before = () if os.getuid() == 0 else ("sudo", "-n")
    subprocess.run([*before, *command], check=True, capture_output=True, text=True)
