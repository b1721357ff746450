"""Which hands a piece of work is in: a number on its row that grows each time somebody takes it up.

Whoever took it up earlier holds a smaller number, and is refused wherever the number is asked for: before each object
that is sent, and in the transaction that records what became of it. The number belongs to the work and not to the
worker: work goes from any worker to any other, so that no order of workers would grow with each change of hands.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, select, update

from inference.errors import Failure


class Overtaken(Failure):
    """The work was taken up again by another, or a person has begun it anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """One taking up of one row's work."""

    table: Table
    """Has an integer column ``fence``."""
    row: tuple[ColumnElement[bool], ...]
    """What names the row, and what must still be true of it."""
    token: int

    def check(self, connection: Connection) -> None:
        """Keep the row as it is until the transaction ends.

        Raises:
            Overtaken: the work is in other hands.
        """
        query = select(self.table.c.fence).where(*self.row).with_for_update()
        if connection.execute(query).scalar_one_or_none() != self.token:
            raise Overtaken("This piece of work was taken up by another meanwhile.")


def take_up(connection: Connection, table: Table, *row: ColumnElement[bool]) -> Fence | None:
    """Take a row's work up; None where there is no such row any more."""
    raised = update(table).where(*row).values(fence=table.c.fence + 1).returning(table.c.fence)
    token = connection.execute(raised).scalar_one_or_none()
    return None if token is None else Fence(table=table, row=row, token=int(token))
