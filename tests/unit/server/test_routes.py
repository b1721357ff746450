"""Every route of the application and what it needs, as one list that a person can read."""

from __future__ import annotations

from collections.abc import Callable

from builders.routes import routes_of
from server.auth.rules import permission_for
from server.compose import Node
from server.http.app import create


def test_a_new_route_is_looked_at_before_it_is_open(node: Node, golden: Callable[[str, str], None]) -> None:
    application = create(node)
    application.state.client.destroy()
    lines = sorted(
        f"{path.replace('1.2.3', '*'):70} {method:7} {permission_for(method, path)}"
        for method, path in routes_of(application)
    )

    golden("routes", "\n".join(lines) + "\n")
