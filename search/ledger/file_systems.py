"""On which file system a file lies, and on which SQLite is not to be relied on."""

from __future__ import annotations

import os
from pathlib import Path

NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "fuse.glusterfs",
        "lustre",
        "gpfs",
        "beegfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "davfs",
        "fuse.davfs2",
        "ncpfs",
        "orangefs",
        "pvfs2",
    ]
)
"""File systems on which SQLite's locks and its shared memory (WAL) are not to be relied on."""


def file_system_of(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The type of the file system ``path`` lies on, or ``unknown`` where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    target = os.path.realpath(path)
    kind, longest = "unknown", -1
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        # Of several mounts on one point the last one counts.
        if inside and len(point) >= longest:
            kind, longest = fields[2], len(point)
    return kind
