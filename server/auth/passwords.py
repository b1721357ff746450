"""Passwords: what is accepted, and how one is kept and compared.

Kept as scrypt (RFC 7914) of the standard library with N = 2^14, r = 8, p = 5: 16 MiB for each comparison, one of the
settings that the OWASP Password Storage Cheat Sheet calls equal to N = 2^17, p = 1, which would need 128 MiB. The
parameters stand in the text that is kept, so that they can grow. Decision 16 says why not Argon2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
import unicodedata

from inference.errors import UsageRefusal

SHORTEST = 12
LONGEST = 256
_LOG_N, _R, _P = 14, 8, 5
_MEMORY_LIMIT = 64 * 1024**2  # of OpenSSL; 128 * N * r bytes are used
_AT_ONCE = threading.BoundedSemaphore(2)  # a flood of logins costs 32 MiB and two cores, however many ask


def check_policy(password: str, user_name: str) -> None:
    """Accept what is long enough and is not the name.

    Raises:
        UsageRefusal: it is too short, too long, the user's name, or one character again and again.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageRefusal(f"A password has {SHORTEST} to {LONGEST} characters, got {len(password)}.")
    if user_name.casefold() in password.casefold() and len(password) < len(user_name) + SHORTEST:
        raise UsageRefusal("A password is not the user's name with little else.")
    if len(set(password)) < SHORTEST // 3:
        raise UsageRefusal(f"A password has at least {SHORTEST // 3} different characters.")


def hash_password(password: str) -> str:
    """``scrypt$ln=14,r=8,p=5$salt$hash``, the last two as base64."""
    salt = secrets.token_bytes(16)
    derived = _scrypt(password, salt, _LOG_N, _R, _P)
    return "$".join(("scrypt", f"ln={_LOG_N},r={_R},p={_P}", _base64(salt), _base64(derived)))


_KEPT = re.compile(r"scrypt\$ln=(?:1[0-6]),r=8,p=[1-9]\$[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=")


def is_kept_hash(text: str) -> bool:
    """Whether a text is what `hash_password` makes, with parameters that stay within 64 MiB."""
    return _KEPT.fullmatch(text) is not None


def verify_password(password: str, kept: str | None) -> bool:
    """Whether it is the one that was kept; without any, the same time is spent and the answer is no."""
    _, parameters, salt, expected = (kept or _NOBODYS).split("$")
    numbers = dict(pair.split("=") for pair in parameters.split(","))
    derived = _scrypt(password[: LONGEST + 1], base64.b64decode(salt), *(int(numbers[n]) for n in ("ln", "r", "p")))
    return hmac.compare_digest(derived, base64.b64decode(expected)) and kept is not None


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    text = unicodedata.normalize("NFKC", password).encode()  # the same keys on another keyboard give the same bytes
    with _AT_ONCE:
        return hashlib.scrypt(text, salt=salt, n=1 << log_n, r=r, p=p, maxmem=_MEMORY_LIMIT, dklen=32)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


_NOBODYS = f"scrypt$ln={_LOG_N},r={_R},p={_P}${_base64(bytes(16))}${_base64(bytes(32))}"
"""Compared with where a user does not exist, so that the time does not tell."""
