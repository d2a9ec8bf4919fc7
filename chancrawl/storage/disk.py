"""The disk of a folder: syncing, free space, and file systems on which SQLite cannot lock files."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path

NETWORK = frozenset(
    "nfs nfs4 cifs smb smb2 smb3 smbfs 9p afs ncpfs ceph glusterfs lustre davfs fuse.sshfs fuse.davfs fuse.rclone "
    "fuse.s3fs fuse.gcsfuse fuse.glusterfs fuse.goofys fuse.smbnetfs fuse.gvfsd-fuse drvfs".split()
)
"""File systems, as /proc/mounts names them, that other machines can write to, or that do not lock files reliably."""


class DiskFull(Exception):
    """The disk is full, and nothing of the batch was written."""


def sync(file: Path) -> None:
    """Sync a file that is closed."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the file names of a folder. It does nothing on systems that cannot sync a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(file: Path, content: bytes, mode: int = 0o666) -> None:
    """Replace a file, or make it, so that it is never there in part. `mode` is that of a new one, before the umask."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode)
    new.write_bytes(content)
    sync(new)
    new.replace(file)
    sync_folder(file.absolute().parent)


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether an error means that the disk of a folder, or the user's quota on it, is full."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)
        # If SQLite cannot write its WAL or journal file, it reports an input/output error.
        return code == sqlite3.SQLITE_FULL or (code & 0xFF == sqlite3.SQLITE_IOERR and free_space(folder) < 200_000)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def existing(folder: Path) -> Path:
    """The folder, or the nearest of its parents that exists."""
    folder = folder.absolute()
    return next((path for path in (folder, *folder.parents) if path.exists()), Path(folder.anchor))


def space(folder: Path) -> tuple[int, int]:
    """The size of the disk of a folder that may not exist yet, and the free bytes on it."""
    size, _, free = shutil.disk_usage(existing(folder))
    return size, free


def free_space(folder: Path) -> int:
    """Free bytes on the disk of a folder that may not exist yet."""
    return space(folder)[1]


def file_system(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The type of the file system of a folder, as /proc/mounts names it; empty where there is no such file."""
    place = existing(folder).resolve()
    found = [(Path("/"), "")]
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, mount, kind, *_ = line.split()
        path = Path(mount.encode().decode("unicode_escape"))  # a blank is \040
        if path == place or path in place.parents:
            found.append((path, kind))
    return max(enumerate(found), key=lambda each: (len(each[1][0].parts), each[0]))[1][1]
