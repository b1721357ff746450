"""The settings of the object store that hosts share instead of a folder (dicom_node.object_store), together."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from inference.errors import SettingRefusal
from server.exposure import is_loopback

if TYPE_CHECKING:
    from dicom_node.object_store import ObjectStore
    from server.settings import Settings  # which calls check_object_store


def check_object_store(settings: Settings) -> None:
    """Refuse what does not go together.

    Raises:
        SettingRefusal: the address is not one that may be used, or there is no file of keys.
    """
    if not settings.object_store:
        return
    parts = urlsplit(settings.object_store)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not is_safe or parts.username or parts.password or parts.query:
        raise SettingRefusal("object_store begins with https://, or http:// on loopback, and holds no password.")
    bucket = parts.path.strip("/")
    if not bucket or "/" in bucket:
        raise SettingRefusal(f"object_store ends with the name of one bucket, https://HOST/BUCKET, got {parts.path!r}.")
    if settings.object_store_key_file is None:
        raise SettingRefusal("object_store needs object_store_key_file: access key and secret key, a line each.")


def object_store(settings: Settings) -> ObjectStore | None:
    """The store; None where hosts share the data folder, or there is one host. Nothing is connected to.

    Raises:
        SettingRefusal: the client is not installed, or a file cannot be used.
    """
    if not settings.object_store:
        return None
    try:
        from server.s3 import Bucket, S3Store  # noqa: PLC0415 - the client is an extra, and not needed without
    except ModuleNotFoundError as error:
        raise SettingRefusal(f"object_store needs {error.name}: pip install 'spine-node[s3]'.") from None
    authorities = settings.object_store_ca_file
    if authorities is not None and not authorities.is_file():
        raise SettingRefusal(f"object_store_ca_file {authorities} is not a file.")
    parts = urlsplit(settings.object_store)
    access_key, secret_key = _keys(settings)
    return S3Store(
        Bucket(
            endpoint=parts.netloc,
            name=parts.path.strip("/"),
            is_tls=parts.scheme == "https",
            region=settings.object_store_region,
            access_key=access_key,
            secret_key=secret_key,
            ca_file=authorities,
        )
    )


def _keys(settings: Settings) -> tuple[str, str]:
    file = settings.object_store_key_file
    try:
        lines = [] if file is None else file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        raise SettingRefusal(f"object_store_key_file {file} cannot be read.") from None
    if len(lines) != len(("access key", "secret key")):
        raise SettingRefusal(f"object_store_key_file {file} holds two lines: the access key, and the secret key.")
    return lines[0], lines[1]
