"""How a route reaches the node."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from dbos import DBOSClient
from fastapi import Depends, Query, Request

from server.compose import Node


def _node(request: Request) -> Node:
    node: Node = request.app.state.node
    return node


def _client(request: Request) -> DBOSClient:
    client: DBOSClient = request.app.state.client
    return client


TheNode: TypeAlias = Annotated[Node, Depends(_node)]
TheClient: TypeAlias = Annotated[DBOSClient, Depends(_client)]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]
Offset: TypeAlias = Annotated[int, Query(ge=0, description="Leave out so many at the beginning.")]
