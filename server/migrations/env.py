"""How Alembic reaches the database: through the connection that server.database hands over, in its transaction."""

from __future__ import annotations

from typing import Any

from alembic import context

from server.database import DBOS_TABLES
from server.tables import ALL_METADATA


def include_object(_object: Any, name: str | None, type_: str, _reflected: bool, _compare_to: Any) -> bool:  # noqa: FBT001
    """Leave DBOS's tables alone."""
    return not (type_ == "table" and name in DBOS_TABLES)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=list(ALL_METADATA),
    include_object=include_object,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
