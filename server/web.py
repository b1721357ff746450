"""``spine-node web``: answers HTTP on loopback."""

from __future__ import annotations

import socket
import threading
import warnings

import uvicorn

from inference.errors import SettingRefusal
from server.compose import open_node
from server.events import configure, event
from server.http.app import create
from server.indexing import Indexer
from server.processes import Presence, Role
from server.settings import Settings
from server.signals import StopSignal


def run(settings: Settings) -> None:
    """Serve until told to stop.

    Raises:
        SettingRefusal: the port is taken, or the address is not ours.
    """
    configure(settings.log_level)
    warnings.simplefilter("ignore")  # pydicom's warnings quote values, which may identify a patient
    stop = StopSignal()
    node = open_node(settings)
    node.spool.sweep()
    listener = _listen(settings)
    port = int(listener.getsockname()[1])
    application = create(node)
    config = uvicorn.Config(application, log_config=None, access_log=False, lifespan="off", server_header=False)
    server = uvicorn.Server(config)  # outside the main thread it leaves the signals alone
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True)
    thread.start()
    presence = Presence(node.engine, Role.WEB, port=port)
    presence.start()
    indexer = Indexer(application.state.dicomweb.index)
    indexer.start()
    event("web_started", port=port)
    stop.wait()
    indexer.stop()
    server.should_exit = True
    thread.join(timeout=settings.stop_grace)
    application.state.dicomweb.door.close()
    presence.stop()
    event("web_stopped", port=port)


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.http_host, settings.http_port))
    except OSError as error:
        raise SettingRefusal(
            f"HTTP cannot listen on {settings.http_host}:{settings.http_port}: {error.strerror}."
        ) from error
