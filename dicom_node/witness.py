"""What a receiver tells whoever keeps an audit trail, beside its log and its counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from dicom_node.admission import Origin


class AssociationEventKind(StrEnum):
    """What happened."""

    REFUSED = "refused"
    """Somebody was not let in: no TLS, or no association."""
    BEGUN = "begun"
    """The first instance of a study was taken on this association."""
    TRANSFERRED = "transferred"
    """The association is over, and these many instances of a study were acknowledged on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationEvent:
    """One of them."""

    kind: AssociationEventKind
    origin: Origin
    calling_ae_title: str = ""
    """Empty before a request was read."""
    user: str = ""
    reason: str = ""
    """Of a refusal, as a word."""
    study_instance_uid: str = ""
    instances: int = 0


Witness: TypeAlias = Callable[[AssociationEvent], None]


def nobody(_event: AssociationEvent) -> None:
    """Where no audit trail is kept."""
