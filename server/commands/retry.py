"""``spine-node retry``."""

from __future__ import annotations

from typing import Annotated

import typer

from server.compose import open_node
from server.operations import retry
from server.options import with_settings
from server.settings import Settings
from server.work_queue import make_client


@with_settings
def command(
    settings: Settings,
    identifier: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Study Instance UID, SOP Instance UID of a result, number of a delivery or of an attachment.",
        ),
    ],
) -> None:
    """Try again what failed; a running worker takes it up."""
    node = open_node(settings)
    retried = retry(node.engine, make_client(node.engine), identifier)
    for revision in retried.revisions:
        typer.echo(f"Revision {revision} is queued to be read again.")
    for number in retried.reviews:
        typer.echo(f"The report of review {number} is made again.")
    for control_number in retried.attachments:
        typer.echo(f"Attachment {control_number} is queued to be sent again.")
    if retried.deliveries:
        typer.echo(f"{retried.deliveries} deliveries are queued again.")
