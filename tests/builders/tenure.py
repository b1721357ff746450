"""The right of a worker to act, without a worker: held for ever, or until a test takes it away."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from server.lease import LeaseLost


@dataclass(slots=True)
class Held:
    """server.lease.Tenure that is lost after so many questions."""

    left: int | None = None
    """Questions that are still answered well; None: all."""

    def assure(self) -> None:
        """Count a question."""
        if self.left is not None:
            if self.left == 0:
                raise LeaseLost("declared dead")
            self.left -= 1

    def lock(self, _connection: Connection) -> None:
        """Count a question."""
        self.assure()
