"""The object store that hosts share, where they share one."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from dicom_node.object_store import ObjectStoreFailure
from inference.errors import SettingRefusal
from server.checks.answer import Answer, fail, ok
from server.object_store import object_store
from server.settings import Settings

NAME = "object store"
PROBE = "no-such-object"


def check_objects(settings: Settings) -> Iterator[Answer]:
    """Reached, and asked whether there is an object, with our keys; nothing is written."""
    place = urlsplit(settings.object_store).netloc
    try:
        store = object_store(settings)
        if store is None:
            return
        store.has(PROBE)
    except SettingRefusal as refusal:
        yield fail(NAME, str(refusal), "Correct the settings object_store_*.")
    except ObjectStoreFailure as failure:
        yield fail(
            NAME,
            f"{place}: {failure}",
            "Is the address right, the bucket there, its certificate of object_store_ca_file, and the keys its own?",
        )
    else:
        yield ok(NAME, f"{place} answers to our keys; whether they may write shows with the first instance.")
