"""Keys of machines: ``spine_ID_SECRET`` in ``Authorization: Bearer``; the table ``api_keys`` holds only the SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Row, insert, select, update

from inference.errors import UsageRefusal
from server.auth.roles import FOR_KEYS, Method, Permission, Principal
from server.auth.tables import api_keys
from server.database import reading

PREFIX = "spine"
_ID_BYTES, _SECRET_BYTES = 6, 32
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key, without the secret."""

    id: str
    name: str
    permissions: frozenset[Permission]
    created_at: float
    expires_at: float | None
    revoked_at: float | None

    def is_valid(self, now: float) -> bool:
        """Whether it still opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def principal(self) -> Principal:
        """The machine that holds it."""
        return Principal(
            subject=f"key:{self.id}",
            display_name=self.name,
            role=None,
            permissions=self.permissions,
            method=Method.KEY,
        )


def create_key(
    connection: Connection, *, name: str, permissions: Collection[Permission], lifetime_s: float | None
) -> tuple[str, str]:
    """Make a key; returns its id, and the key itself, which is kept nowhere.

    Raises:
        UsageRefusal: a permission is not one for machines, or there is none.
    """
    wrong = sorted(set(permissions) - FOR_KEYS)
    if wrong or not permissions:
        raise UsageRefusal(
            f"A key is for one or more of {', '.join(sorted(FOR_KEYS))}; got {', '.join(wrong) or 'none'}."
        )
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise UsageRefusal(f"A key's name has 1 to {_LONGEST_NAME} printable characters.")
    identifier = secrets.token_hex(_ID_BYTES)
    key = f"{PREFIX}_{identifier}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    now = time.time()
    connection.execute(
        insert(api_keys).values(
            id=identifier,
            name=name,
            key_sha256=_sha256(key),
            permissions=" ".join(sorted(permissions)),
            created_at=now,
            expires_at=None if lifetime_s is None else now + lifetime_s,
        )
    )
    return identifier, key


def revoke_key(connection: Connection, identifier: str) -> None:
    """Let a key open nothing any more.

    Raises:
        UsageRefusal: there is no such key.
    """
    where = api_keys.c.id == identifier
    if connection.execute(update(api_keys).where(where).values(revoked_at=time.time())).rowcount != 1:
        raise UsageRefusal(f"There is no key {identifier!r}; `spine-node keys list` shows them.")


def list_keys(connection: Connection) -> list[ApiKey]:
    """Every key, the oldest first."""
    return [_key(row) for row in connection.execute(select(api_keys).order_by(api_keys.c.created_at))]


def find_key(engine: Engine, key: str) -> Principal | None:
    """The machine that holds it; None when it is no key, or one that is over."""
    prefix, _, rest = key.partition("_")
    identifier = rest.partition("_")[0]
    if prefix != PREFIX or not key.isascii():
        return None
    with reading(engine) as connection:
        row = connection.execute(select(api_keys).where(api_keys.c.id == identifier)).one_or_none()
    if row is None or not hmac.compare_digest(row.key_sha256, _sha256(key)):
        return None
    found = _key(row)
    return found.principal if found.is_valid(time.time()) else None


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it begins with an underscore
    del values["key_sha256"]
    names = str(values["permissions"]).split()
    return ApiKey(**(values | {"permissions": frozenset(map(Permission, names))}))


def _sha256(key: str) -> str:
    """Enough for 256 random bits, which cannot be guessed from it (unlike a password)."""
    return hashlib.sha256(key.encode()).hexdigest()
