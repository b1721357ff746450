"""OHIF, the viewer that this node can serve: fetched once, at installation, by pinned version and digest.

``npm pack`` fetches the published package from whichever registry npm is configured for; a tarball that was carried
over by hand is as good, because only its SHA-512 counts. Nothing of it is in this project, nothing is fetched later.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from inference.errors import Failure, Refusal

PACKAGE, VERSION = "@ohif/app", "3.13.2"
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
"""Of the package's tarball, as ``npm view @ohif/app@3.13.2 dist.integrity`` says it."""
INDEX = "index.html"
LICENCE = "package/LICENSE"
VERSION_FILE = "version.txt"
UNUSED: frozenset[str] = frozenset(
    {
        "ort",  # models for drawing aids, 136 MB
        "dicom-microscopy-viewer",  # 20 MB
        "_headers",  # of hosting services
        "_redirects",
        "serve.json",
        "google.js",  # signing in elsewhere
        "oidc-client.min.js",
        "silent-refresh.html",
        "polyfill.min.js",  # for browsers of ten years ago
        "es6-shim.min.js",
        "app-config.js",  # ours instead (server/pages/ohif)
        "sw.js",  # a service worker whose library would be loaded from elsewhere
        "init-service-worker.js",
    }
)
"""Top-level names of the package's ``dist`` that are left out: what is shown needs none of them."""
FETCH_WITHIN_S = 600


class ViewerFailure(Failure):
    """The viewer could not be fetched or written."""


def installed_version(folder: Path) -> str | None:
    """The version that lies in a folder, None where there is none."""
    file = folder / VERSION_FILE
    return file.read_text(encoding="utf-8").strip() if file.is_file() and (folder / INDEX).is_file() else None


def install(folder: Path, tarball: Path | None = None) -> int:
    """Put OHIF into a folder, in place of what lies there; returns its size in bytes.

    Args:
        folder: Holds the viewer alone; its parent is made.
        tarball: The package as npm publishes it; None: fetched with npm.

    Raises:
        Refusal: npm is not installed, the tarball is not there, its digest is not the pinned one, or the folder holds
            something else; nothing was changed.
        ViewerFailure: it cannot be fetched or written.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / VERSION_FILE).is_file():
        raise Refusal(f"{folder} holds something else than a viewer; name an empty folder (viewer_dir).")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            file = tarball if tarball is not None else _fetch(Path(scratch))
            _check(file)
            made = Path(scratch) / "made"
            _unpack(file, made)
            _replace(folder, made)
    except (OSError, tarfile.TarError) as error:
        raise ViewerFailure(f"The viewer cannot be written to {folder}: {type(error).__name__}: {error}.") from error
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _fetch(scratch: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise Refusal(
            f"npm fetches the viewer and is not installed; install it, or carry over the tarball of "
            f"{PACKAGE} {VERSION} and name it with --from."
        )
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--pack-destination", str(scratch)]
    try:
        done = subprocess.run(  # noqa: S603 - npm with words of our own
            command, cwd=scratch, capture_output=True, text=True, timeout=FETCH_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ViewerFailure(f"npm did not fetch {PACKAGE} {VERSION} within {FETCH_WITHIN_S} s.") from None
    found = sorted(scratch.glob("*.tgz"))
    if done.returncode or not found:
        said = (done.stderr.strip().splitlines() or ["nothing"])[0]
        raise ViewerFailure(f"npm could not fetch {PACKAGE} {VERSION}; it said: {said}")
    return found[0]


def _check(file: Path) -> None:
    if not file.is_file():
        raise Refusal(f"There is no tarball {file}.")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha512").digest()
    integrity = f"sha512-{base64.b64encode(digest).decode()}"
    if integrity != INTEGRITY:
        raise Refusal(f"The tarball is not {PACKAGE} {VERSION}: its digest is {integrity}, {INTEGRITY} is expected.")


def _unpack(file: Path, target: Path) -> None:
    with tarfile.open(file) as archive:
        for member in _wanted(archive):
            archive.extract(member, target, filter="data")
    (target / VERSION_FILE).write_text(f"{VERSION}\n", encoding="utf-8")


def _wanted(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Files of ``package/dist`` without what is unused, and the licence, each by its name below the target.

    They get the time of unpacking instead of the package's, which is 1985 for all: browsers ask with it what is new.
    """
    now = time.time()
    for member in archive:
        parts = PurePosixPath(member.name).parts
        if not member.isfile():
            continue
        if member.name == LICENCE:
            yield member.replace(name=parts[-1], mtime=now)
        elif parts[:2] == ("package", "dist") and parts[2] not in UNUSED:
            yield member.replace(name=str(PurePosixPath(*parts[2:])), mtime=now)


def _replace(folder: Path, made: Path) -> None:
    """Put the new folder where the old one was; the old one is gone when this returns."""
    old = made.with_name("old")
    if folder.exists():
        folder.rename(old)
    made.rename(folder)
