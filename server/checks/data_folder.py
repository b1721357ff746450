"""The data folder and its disk: whose it is, room, whether fsync works and how long it takes, one file system."""

from __future__ import annotations

import os
import stat
import statistics
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from dicom_node.durable import sync_directory
from dicom_node.spool import RECEIVED, RESULTS, TMP, Spool
from server.checks.answer import Answer, fail, ok, warn
from server.compose import inbox_rules
from server.settings import Settings

_GIB = 1024**3
SYNC_TRIES = 7
SYNC_BYTES = 512 * 1024
"""About one CT slice."""
SLOW_SYNC_S = 0.05
"""Twenty instances a second on one association, as each is acknowledged after such a sync; ours."""
NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "9p"})
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})


def check_data_folder(settings: Settings) -> Iterator[Answer]:
    """Every question about the folder; only the first where it cannot be used at all."""
    folder = settings.data_dir.absolute()
    unusable = _unusable(folder)
    if unusable is not None:
        yield unusable
        return
    yield _check_permissions(folder)
    yield _check_room(settings)
    yield _check_sync(folder)
    yield _check_file_systems(settings, folder)


def _unusable(folder: Path) -> Answer | None:
    parent = folder.parent
    if not folder.exists() and os.access(parent, os.W_OK | os.X_OK):
        return ok("data folder", f"{folder} is not there yet: the first start of the node makes it.")
    advice = "Make the folder, and give it to the user that runs the node: install -d -o spine -m 0700 FOLDER."
    if not folder.exists():
        return fail("data folder", f"{folder} is not there.", advice)
    if not folder.is_dir():
        return fail("data folder", f"{folder} is not a folder.", advice)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return fail("data folder", f"{folder} cannot be read and written by user {os.geteuid()}.", advice)
    return None


def _check_permissions(folder: Path) -> Answer:
    status = folder.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        return warn(
            "data folder",
            f"{folder} (mode {mode:04o}) is open to other users of this machine, and holds patients' images.",
            f"chmod 0700 {folder}",
        )
    if os.geteuid() == 0 and status.st_uid != 0:
        return warn(
            "data folder",
            f"{folder} belongs to user {status.st_uid}, and this command runs as root.",
            "Run the node, and this command, as that user: what root writes the node cannot change.",
        )
    return ok("data folder", f"{folder}, user {status.st_uid}, mode {mode:04o}.")


def _check_room(settings: Settings) -> Answer:
    space = Spool(settings.data_dir).free_space()
    rules = inbox_rules(settings)
    reserve = max(rules.min_free_bytes, rules.min_free_fraction * space.total_bytes)
    words = (
        f"{space.free_bytes / _GIB:.1f} GiB ({100 * space.free_bytes / space.total_bytes:.0f} %) free; "
        f"instances are refused below {reserve / _GIB:.1f} GiB."
    )
    if space.free_bytes < reserve:
        return fail("disk", words, "Free space, or lower disk_reserve_gib and disk_reserve_percent; senders wait.")
    if space.free_bytes < 2 * reserve:
        return warn("disk", words, "Free space soon.")
    if reserve == 0:
        return warn("disk", words, "Set disk_reserve_gib: the database needs room when the disk is full of images.")
    return ok("disk", words)


def _check_sync(folder: Path) -> Answer:
    """How long it takes until an instance would survive a power cut."""
    file = folder / f"check-{uuid.uuid4().hex}"
    data = os.urandom(SYNC_BYTES)
    times = []
    try:
        for _ in range(SYNC_TRIES):
            began = time.monotonic()
            with file.open("xb", buffering=0) as opened:
                opened.write(data)
                os.fdatasync(opened.fileno())
            sync_directory(folder)
            times.append(time.monotonic() - began)
            file.unlink()
    except OSError as error:
        file.unlink(missing_ok=True)
        advice = "Nothing is acknowledged while this fails: use a local disk that honours fsync."
        return fail("fsync", f"{folder} cannot be written durably: {error.strerror}.", advice)
    middle = statistics.median(times)
    words = f"Half a megabyte is durable after {1000 * middle:.1f} ms (median; longest {1000 * max(times):.1f} ms)."
    if middle > SLOW_SYNC_S:
        return warn("fsync", words, "Receiving will be slow: use a local SSD, or a controller with a battery.")
    return ok("fsync", words)


def _check_file_systems(settings: Settings, folder: Path) -> Answer:
    parts = [folder / name for name in (TMP, RECEIVED, RESULTS) if (folder / name).is_dir()]
    apart = [part.name for part in parts if part.stat().st_dev != folder.stat().st_dev]
    if apart:
        return fail(
            "file system",
            f"{', '.join(apart)} lies on another file system than {folder}.",
            "Files are moved into place by renaming, which works within one file system: mount the whole folder.",
        )
    kind = file_system_of(folder)
    if kind in NETWORK_FILE_SYSTEMS and settings.resolved_database_url().startswith("sqlite"):
        return fail(
            "file system",
            f"{folder} is on {kind}, and so is the SQLite database.",
            "SQLite over a network is not safe: use a local disk, or PostgreSQL (database_url).",
        )
    if kind in MEMORY_FILE_SYSTEMS:
        return fail("file system", f"{folder} is on {kind}: nothing survives a restart.", "Use a disk.")
    return ok("file system", f"One file system ({kind or 'of unknown kind'}).")


def file_system_of(path: Path) -> str:
    """Kind of the file system that holds a path, as the kernel calls it; empty where it does not say."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    mounts = [line.split(" ")[1:3] for line in lines]
    found = [(point, kind) for point, kind in mounts if path.resolve().is_relative_to(point.replace("\\040", " "))]
    return max(found, key=lambda mount: len(mount[0]), default=("", ""))[1]
