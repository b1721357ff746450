"""The settings of the server that runs models (models.remote_engine), together."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from inference.errors import SettingRefusal
from server.exposure import is_loopback

if TYPE_CHECKING:
    from models.remote_engine import RemoteServer
    from server.settings import Settings  # which calls check_inference_server

REMOTE = "remote"
"""models.engine_choice.EngineChoice.REMOTE, which the receiver cannot afford to import."""


def check_inference_server(settings: Settings) -> None:
    """Refuse what does not go together.

    Raises:
        SettingRefusal: the engine is remote without an address, or the address is not one that may be used.
    """
    url = settings.inference_server
    if (settings.inference_engine == REMOTE) != bool(url):
        raise SettingRefusal(
            "inference_server and inference_engine = remote go together: "
            f"got {url!r} and {settings.inference_engine!r}."
        )
    if not url:
        return
    parts = urlsplit(url)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not is_safe or parts.username or parts.password or parts.query:
        raise SettingRefusal("inference_server begins with https://, or http:// on loopback, and holds no password.")
    for text in settings.inference_server_models:
        bundle, _, model = text.partition("=")
        name, slash, version = model.partition("/")
        if not bundle or not name or "/" in version or bool(slash) != bool(version):
            raise SettingRefusal(f"inference_server_models are BUNDLE=MODEL or BUNDLE=MODEL/VERSION, got {text!r}.")


def inference_server(settings: Settings) -> RemoteServer | None:
    """The server, with its token read; None where models run here.

    Raises:
        SettingRefusal: the token's or the authorities' file cannot be read.
    """
    from models.remote_engine import RemoteServer  # noqa: PLC0415 - the receiver reads settings too, and needs no HTTP

    if not settings.inference_server:
        return None
    authorities = settings.inference_server_ca_file
    if authorities is not None and not authorities.is_file():
        raise SettingRefusal(f"inference_server_ca_file {authorities} is not a file.")
    return RemoteServer(
        url=settings.inference_server,
        names=dict(text.split("=", 1) for text in settings.inference_server_models),
        token=_token(settings),
        ca_file=authorities,
        timeout_s=settings.inference_server_timeout,
    )


def _token(settings: Settings) -> str:
    file = settings.inference_server_token_file
    if file is None:
        return ""
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise SettingRefusal(f"inference_server_token_file {file} cannot be read.") from None
    if not token or not token.isprintable() or " " in token:
        raise SettingRefusal(f"inference_server_token_file {file} does not hold one token.")
    return token
