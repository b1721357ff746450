"""How long certificates and revocation lists are still good for."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from dicom_node.tls import TlsFiles

_DAY_S = 86_400.0
_BLOCK = re.compile(rb"-----BEGIN (?:TRUSTED )?(CERTIFICATE|X509 CRL)-----.+?-----END (?:TRUSTED )?\1-----", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """The end of the first thing in a file that ends."""

    use: str
    """What the file is for: `certificate`, `authorities` or `revocations`."""
    path: Path
    ends_at: float
    """Seconds since the epoch (UTC)."""

    def days_left(self, now: float) -> float:
        """Days from `now` on; negative once it is over."""
        return (self.ends_at - now) / _DAY_S

    def sentence(self, now: float) -> str:
        """For a person."""
        days = self.days_left(now)
        date = time.strftime("%Y-%m-%d", time.gmtime(self.ends_at))
        return f"{self.path} {'ended' if days < 0 else 'ends'} on {date} ({days:.0f} days)."


def expiries(files: TlsFiles) -> tuple[Expiry, ...]:
    """The earliest end in each file; a file that cannot be read is left out: building a context names it."""
    named = (("certificate", files.certificate), ("authorities", files.authorities), ("revocations", files.revocations))
    ends = ((use, path, _ends_at(path)) for use, path in named if path is not None)
    return tuple(Expiry(use=use, path=path, ends_at=at) for use, path, at in ends if at is not None)


def _ends_at(path: Path) -> float | None:
    try:
        blocks = list(_BLOCK.finditer(path.read_bytes()))
        found = [_end(block[0], is_list=block[1] == b"X509 CRL") for block in blocks]
    except (OSError, ValueError):
        return None
    return min((end for end in found if end is not None), default=None)


def _end(block: bytes, *, is_list: bool) -> float | None:
    if is_list:
        following = x509.load_pem_x509_crl(block).next_update_utc
        return None if following is None else following.timestamp()
    return x509.load_pem_x509_certificate(block.replace(b"TRUSTED ", b"")).not_valid_after_utc.timestamp()
