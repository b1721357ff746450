"""A folder on an ext4 file system whose disk loses power when a test says so."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builders.peers import wait_until

PROGRAM = Path(__file__).with_name("power_disk.py")
IMAGE_MIB = 512
MOUNTS = Path("/proc/mounts")


def why_not() -> str | None:
    """Why this machine cannot lose power; None where it can."""
    if os.geteuid() != 0:
        return "mounting a file system needs root"
    for device in (Path("/dev/fuse"), Path("/dev/loop-control")):
        if not device.exists():
            return f"there is no {device}"
    return None


def make_image(path: Path) -> None:
    """An empty ext4 file system."""
    with path.open("wb") as file:
        file.truncate(IMAGE_MIB << 20)
    _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoweredFolder:
    """A mounted file system on a disk that has power."""

    folder: Path
    control: Path

    def cut(self, seed: int, share: float) -> None:
        """Cut the power now; of the blocks that were not flushed, this share survives."""
        self.control.write_text(f"{seed} {share}")


@contextmanager
def powered(image: Path, work: Path) -> Iterator[PoweredFolder]:
    """Mount the image through a disk that can lose power; everything that uses it must have ended with the block."""
    disk, folder = work / "disk", work / "mounted"
    for path in (disk, folder):
        path.mkdir(exist_ok=True)
    process = subprocess.Popen([sys.executable, str(PROGRAM), str(image), str(disk)])
    try:
        wait_until((disk / "disk").exists, timeout_s=30, what="the disk to be there")
        loop = _run("losetup", "--find", "--show", str(disk / "disk"))
        try:
            _run("mount", "-t", "ext4", loop, str(folder))
            try:
                yield PoweredFolder(folder=folder, control=disk / "control")
            finally:
                _unmount(folder)
        finally:
            _run("losetup", "--detach", loop)
    finally:
        _unmount(disk)
        process.wait(20)


def _unmount(folder: Path) -> None:
    for _ in range(50):
        done = subprocess.run(["umount", str(folder)], capture_output=True, text=True, check=False)
        if done.returncode == 0 or f" {folder} " not in MOUNTS.read_text():
            return
        time.sleep(0.1)  # the last user has not quite ended
    raise RuntimeError(f"{folder} cannot be unmounted: {done.stderr}")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout.strip()
