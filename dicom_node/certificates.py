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
    began_at: float
    ends_at: float
    """Seconds since the epoch (UTC), as `began_at`."""

    def days_left(self, now: float) -> float:
        """Days from `now` on; negative once it is over."""
        return (self.ends_at - now) / _DAY_S

    def is_near(self, now: float, warning_days: float) -> bool:
        """Whether it ends within so many days and has less than a quarter of its life left: lists live for a week."""
        left = self.ends_at - now
        return left <= min(warning_days * _DAY_S, (self.ends_at - self.began_at) / 4)

    def sentence(self, now: float) -> str:
        """For a person."""
        days = self.days_left(now)
        date = time.strftime("%Y-%m-%d", time.gmtime(self.ends_at))
        return f"{self.path} {'ended' if days < 0 else 'ends'} on {date} ({days:.0f} days)."


def expiries(files: TlsFiles) -> tuple[Expiry, ...]:
    """The earliest end in each file; a file that cannot be read is left out: building a context names it."""
    named = (("certificate", files.certificate), ("authorities", files.authorities), ("revocations", files.revocations))
    found = ((use, path, _life(path)) for use, path in named if path is not None)
    return tuple(
        Expiry(use=use, path=path, began_at=life[0], ends_at=life[1]) for use, path, life in found if life is not None
    )


def _life(path: Path) -> tuple[float, float] | None:
    """Begin and end of what ends first."""
    try:
        blocks = list(_BLOCK.finditer(path.read_bytes()))
        found = [_life_of_block(block[0], is_list=block[1] == b"X509 CRL") for block in blocks]
    except (OSError, ValueError):
        return None
    return min((life for life in found if life is not None), key=lambda life: life[1], default=None)


def _life_of_block(block: bytes, *, is_list: bool) -> tuple[float, float] | None:
    if is_list:
        listed = x509.load_pem_x509_crl(block)
        following = listed.next_update_utc
        return None if following is None else (listed.last_update_utc.timestamp(), following.timestamp())
    made = x509.load_pem_x509_certificate(block.replace(b"TRUSTED ", b""))
    return made.not_valid_before_utc.timestamp(), made.not_valid_after_utc.timestamp()
