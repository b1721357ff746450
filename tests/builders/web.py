"""The HTTP application of a node on a real socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from server.compose import Node
from server.http.app import create


@contextmanager
def web_client(node: Node) -> Iterator[httpx.Client]:
    """A client of the node's application, which listens on a free port of 127.0.0.1."""
    application = create(node)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as made:
        yield made
    server.should_exit = True
    thread.join(20)
    listener.close()
    application.state.client.destroy()
