"""How a route reaches the node."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from dbos import DBOSClient
from fastapi import Depends, Path, Query, Request

from server.auth.guard import Guard
from server.auth.roles import Principal
from server.claims.packet_maker import Packets
from server.compose import Node


def _node(request: Request) -> Node:
    node: Node = request.app.state.node
    return node


def _client(request: Request) -> DBOSClient:
    client: DBOSClient = request.app.state.client
    return client


def _packets(request: Request) -> Packets:
    packets: Packets = request.app.state.packets
    return packets


def _guard(request: Request) -> Guard:
    guard: Guard = request.app.state.guard
    return guard


def _principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


TheNode: TypeAlias = Annotated[Node, Depends(_node)]
TheClient: TypeAlias = Annotated[DBOSClient, Depends(_client)]
ThePackets: TypeAlias = Annotated[Packets, Depends(_packets)]
TheGuard: TypeAlias = Annotated[Guard, Depends(_guard)]
ThePrincipal: TypeAlias = Annotated[Principal, Depends(_principal)]
"""Who asks, as the gate established it."""
LARGEST_INTEGER = 2**31 - 1
"""Of a column of type INTEGER; a larger number is no number of a row."""
UID = r"^[0-9]+(\.[0-9]+)*$"
"""PS3.5 9.1; leading zeros of a component are let through, because real devices send them."""
StudyUid: TypeAlias = Annotated[str, Path(pattern=UID, max_length=64)]
ClaimId: TypeAlias = Annotated[str, Path(pattern=r"^clm-[0-9a-f]{16}$", description="Our id of the claim.")]
ControlNumber: TypeAlias = Annotated[str, Path(pattern=r"^[A-Z0-9-]{1,50}$")]
Revision: TypeAlias = Annotated[int | None, Query(ge=1, le=LARGEST_INTEGER)]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]
Offset: TypeAlias = Annotated[int, Query(ge=0, le=10**9, description="Leave out so many at the beginning.")]
