"""The object store of dicom_node.object_store in a bucket of any server that speaks S3.

Each object has the SHA-256 of its bytes beside it, which is compared when it is read: a bucket passes through proxies
and disks of others. Requests are repeated a few times; an upload of the same bytes again is harmless.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout

from dicom_node.object_store import ObjectStoreFailure

CONNECT_S, READ_S = 5.0, 60.0
RETRIES = Retry(total=3, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504), allowed_methods=None)
CONNECTIONS = 8
"""Kept open: uploads and reads at the same time, of one process."""
PART_BYTES = 8 << 20
"""A larger file goes up in parts (multipart upload), one after the other; so much of it is in memory."""
DIGEST = "x-amz-meta-sha256"
ABSENT = frozenset({"NoSuchKey", "NoSuchObject"})
T = TypeVar("T")

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

    def __init__(self, bucket: Bucket) -> None:
        """Connect to nothing yet."""
        self._bucket = bucket.name
        context = ssl.create_default_context(cafile=bucket.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        pool = urllib3.PoolManager(
            timeout=Timeout(connect=CONNECT_S, read=READ_S), retries=RETRIES, maxsize=CONNECTIONS, ssl_context=context
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
            _answered(lambda: self._client.put_object(self._bucket, name, file, length, **how))

    def get(self, name: str, target: Path) -> bool:
        """Write an object to a new file; False where there is none."""
        return _answered(lambda: self._get(name, target), absent=False)

    def has(self, name: str) -> bool:
        """Whether there is such an object."""
        return _answered(lambda: bool(self._client.stat_object(self._bucket, name)), absent=False)

    def remove(self, name: str) -> None:
        """Remove an object; none is no error."""
        _answered(lambda: self._client.remove_object(self._bucket, name), absent=None)

    def names(self, prefix: str) -> Iterator[str]:
        """The names of all objects that begin so."""
        listed = _answered(lambda: list(self._client.list_objects(self._bucket, prefix=prefix, recursive=True)))
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
            raise ObjectStoreFailure("An object of the store is not what was put there: its SHA-256 differs.")
        return True


_ERROR = object()


def _answered(ask: Callable[[], T], *, absent: object = _ERROR) -> T:
    """What the store answers; `absent` where it says that there is no such object.

    Raises:
        ObjectStoreFailure: it does not answer, or refuses; the sentence holds its code, no name of an object.
        OSError: the file of this host cannot be read or written.
    """
    try:
        return ask()
    except S3Error as error:
        if error.code in ABSENT and absent is not _ERROR:
            return absent  # type: ignore[return-value] # of the caller's type
        raise ObjectStoreFailure(f"The object store refuses ({error.code}).") from None
    except (MinioException, HTTPError) as error:
        raise ObjectStoreFailure(f"The object store does not answer ({type(error).__name__}).") from None
