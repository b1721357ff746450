"""Local users, for a practice without an identity provider: kept in the table ``users``, made on the command line."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from inference.errors import UsageRefusal
from server.auth.passwords import check_policy, hash_password, verify_password
from server.auth.roles import Method, Principal, Role, person
from server.auth.tables import users
from server.database import reading

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?")
_LONGEST_DISPLAY_NAME = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One local user, without the password."""

    name: str
    display_name: str
    role: Role
    generation: int
    """Grows with each new password and each disabling: sessions of an older one are over."""
    created_at: float
    disabled_at: float | None

    @property
    def principal(self) -> Principal:
        """Who they are once they have proved it."""
        return person(self.name, self.display_name, self.role, Method.PASSWORD)


def add_user(connection: Connection, *, name: str, display_name: str, role: Role, password: str) -> None:
    """Make one.

    Raises:
        UsageRefusal: the name is not one, or is taken; the password is not accepted.
    """
    if not NAME.fullmatch(name):
        raise UsageRefusal(f"A user's name is 1 to 64 of a-z, 0-9 and . _ @ - between letters or digits, got {name!r}.")
    if not 0 < len(display_name) <= _LONGEST_DISPLAY_NAME or not display_name.isprintable():
        raise UsageRefusal(f"The name that is shown has 1 to {_LONGEST_DISPLAY_NAME} printable characters.")
    check_policy(password, name)
    if find_user(connection, name) is not None:
        raise UsageRefusal(f"There is a user {name} already.")
    connection.execute(
        insert(users).values(
            name=name,
            display_name=display_name,
            role=role.value,
            password_hash=hash_password(password),
            generation=1,
            created_at=time.time(),
        )
    )


def set_password(connection: Connection, *, name: str, password: str) -> None:
    """Replace the password, enable the user again, and end their sessions.

    Raises:
        UsageRefusal: there is no such user, or the password is not accepted.
    """
    check_policy(password, name)
    _change(connection, name, password_hash=hash_password(password), disabled_at=None)


def disable_user(connection: Connection, *, name: str) -> None:
    """Let the user in no more, and end their sessions; a new password enables them again.

    Raises:
        UsageRefusal: there is no such user.
    """
    _change(connection, name, disabled_at=time.time())


def _change(connection: Connection, name: str, **values: object) -> None:
    changed = connection.execute(
        update(users).where(users.c.name == name).values(**values, generation=users.c.generation + 1)
    )
    if changed.rowcount != 1:
        raise UsageRefusal(f"There is no user {name!r}.")


def list_users(connection: Connection) -> list[User]:
    """Every user by name."""
    return [_user(row) for row in connection.execute(select(users).order_by(users.c.name))]


def find_user(connection: Connection, name: str) -> User | None:
    """The user of that name, enabled or not."""
    row = _row(connection, name)
    return None if row is None else _user(row)


def verify_user(engine: Engine, name: str, password: str) -> User | None:
    """The user whose password that is; None, after the same time, for a wrong one, no user, and a disabled user."""
    with reading(engine) as connection:
        row = _row(connection, name)
    is_right = verify_password(password, None if row is None else row.password_hash)
    return _user(row) if row is not None and is_right and row.disabled_at is None else None


def _row(connection: Connection, name: str) -> Row[Any] | None:
    """What is no name is not looked up: PostgreSQL takes no text with a zero character."""
    if not NAME.fullmatch(name):
        return None
    return connection.execute(select(users).where(users.c.name == name)).one_or_none()


def _user(row: Row[Any]) -> User:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it begins with an underscore
    del values["password_hash"]
    return User(**(values | {"role": Role(values["role"])}))
