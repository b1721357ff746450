"""The object store of dicom_node.object_store in a bucket of any server that speaks S3.

Each object has the SHA-256 of its bytes beside it, which is compared when it is read: a bucket passes through proxies
and disks of others. Requests are repeated a few times; an upload of the same bytes again is harmless.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout

from dicom_node.object_store import ObjectDamaged, ObjectStoreFailure

ANSWER_S = 20.0
"""For a connection, for each part to be sent, and for each piece of an answer."""
AWAY_S = 3.0
"""What is asked so soon after the store did not answer is not asked, and later only by one at a time until it answers:
else all who come wait so long each, and hold every thread of a web role."""
RETRIES = Retry(
    total=3, connect=1, read=1, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504), allowed_methods=None
)
CONNECTIONS = 8
"""Kept open: uploads and reads at the same time, of one process."""
PART_BYTES = 5 << 20
"""A larger file goes up in parts (multipart upload), one after the other; so much of it is in memory. S3's smallest."""
DIGEST = "x-amz-meta-sha256"
ABSENT = frozenset({"NoSuchKey", "NoSuchObject"})
T = TypeVar("T")
_ERROR = object()

logging.getLogger(urllib3.connectionpool.__name__).setLevel(logging.ERROR)  # its warnings quote names of objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Where a bucket is, and who we are there."""

    endpoint: str
    """HOST or HOST:PORT."""
    name: str
    is_tls: bool
    region: str
    access_key: str
    secret_key: str
    ca_file: Path | None = None


class S3Store:
    """See dicom_node.object_store.ObjectStore. Thread-safe."""

    def __init__(self, bucket: Bucket, *, answer_s: float = ANSWER_S) -> None:
        """Connect to nothing yet; ``answer_s``: how long it is waited for."""
        self._bucket = bucket.name
        self._away_until, self._away_because = 0.0, ""
        self._probe = threading.Lock()  # of the one who asks a store that did not answer the last time
        context = ssl.create_default_context(cafile=bucket.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        pool = urllib3.PoolManager(
            timeout=Timeout(connect=answer_s, read=answer_s), retries=RETRIES, maxsize=CONNECTIONS, ssl_context=context
        )
        self._client = Minio(
            bucket.endpoint,
            access_key=bucket.access_key,
            secret_key=bucket.secret_key,
            secure=bucket.is_tls,
            region=bucket.region,
            http_client=pool,
        )

    def put(self, name: str, path: Path) -> None:
        """Make a file an object; durable when the server says so."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            length = file.tell()
            file.seek(0)
            how: Any = {"metadata": {"sha256": digest}, "part_size": PART_BYTES, "num_parallel_uploads": 1}
            self._answered(lambda: self._client.put_object(self._bucket, name, file, length, **how))

    def get(self, name: str, target: Path) -> bool:
        """Write an object to a new file; False where there is none."""
        try:
            return self._answered(lambda: self._get(name, target), absent=False)
        except ObjectDamaged:  # perhaps on the way
            return self._answered(lambda: self._get(name, target), absent=False)

    def has(self, name: str) -> bool:
        """Whether there is such an object."""
        return self._answered(lambda: bool(self._client.stat_object(self._bucket, name)), absent=False)

    def remove(self, name: str) -> None:
        """Remove an object; none is no error."""
        self._answered(lambda: self._client.remove_object(self._bucket, name), absent=None)

    def names(self, prefix: str) -> Iterator[str]:
        """The names of all objects that begin so."""
        listed = self._answered(lambda: list(self._client.list_objects(self._bucket, prefix=prefix, recursive=True)))
        return (str(one.object_name) for one in listed)

    def _get(self, name: str, target: Path) -> bool:
        answer = self._client.get_object(self._bucket, name)
        try:
            digest = hashlib.sha256()
            with target.open("xb") as file:
                for piece in answer.stream(1 << 20):
                    digest.update(piece)
                    file.write(piece)
        finally:
            answer.close()
            answer.release_conn()
        expected = answer.headers.get(DIGEST)
        if expected is None or digest.hexdigest() != expected:
            target.unlink()
            raise ObjectDamaged("An object of the store is not what was put there: its SHA-256 differs.")
        return True

    def _answered(self, ask: Callable[[], T], *, absent: object = _ERROR) -> T:
        """What the store answers; `absent` where it says that there is no such object.

        Raises:
            ObjectStoreFailure: it does not answer, or refuses; the sentence holds its code, no name of an object.
            OSError: the file of this host cannot be read or written.
        """
        if not self._away_because:
            return self._asked(ask, absent)
        if time.monotonic() < self._away_until or not self._probe.acquire(blocking=False):
            raise ObjectStoreFailure(self._away_because)
        try:
            return self._asked(ask, absent)
        finally:
            self._probe.release()

    def _asked(self, ask: Callable[[], T], absent: object) -> T:
        try:
            answer = ask()
        except S3Error as error:
            self._away_because = ""
            if error.code in ABSENT and absent is not _ERROR:
                return absent  # type: ignore[return-value] # of the caller's type
            raise ObjectStoreFailure(f"The object store refuses ({error.code}).") from None
        except (MinioException, HTTPError, ParseError) as error:
            sentence = f"The object store does not answer ({type(error).__name__})."
            if isinstance(error, HTTPError):
                self._away_until, self._away_because = time.monotonic() + AWAY_S, sentence
            raise ObjectStoreFailure(sentence) from None
        self._away_because = ""
        return answer
