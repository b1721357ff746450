"""What a claim is judged on beside its reports: the imaging studies, and who they are of."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from inference.anatomy import Vertebra


class ViewPlane(StrEnum):
    """Direction of a retained fluoroscopic view (claims.retained), or a slice."""

    FRONTAL = "frontal"
    """Antero-posterior or postero-anterior."""
    LATERAL = "lateral"
    OBLIQUE = "oblique"
    CROSS_SECTION = "cross-section"
    """A slice of a CT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedView:
    """One image that was kept of a procedure; that it exists, never that a needle lies well."""

    sop_instance_uid: str
    plane: ViewPlane | None = None
    """None: the image does not say."""
    shows_contrast: bool | None = None
    """Whether contrast agent is seen; None: nobody said."""
    shows_needle: bool | None = None
    """Whether the needle in its final position is seen; None: nobody said."""
    contrast_agent: str = ""
    """Contrast/Bolus Agent (0018,0010), as the image's header names it; empty: it names none."""
    acquired_at: dt.datetime | None = None
    """By the clock of the machine, without a time zone; None: the image does not say."""
    is_final: bool = False
    """Whether a key object selection names it, or it is the last of its direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One imaging study that may hold evidence."""

    uid: str
    """Study Instance UID."""
    date: dt.date | None
    """None: the images do not say; then it cannot be placed before or after the service."""
    modality: str
    """Of the images that count: ``MR``, ``CT``, ``NM``, ``PT``, ``XA``, ``RF``, ``CR``, ``DX``."""
    patient_identifiers: tuple[tuple[str, str], ...]
    """As of claims.matching: ``("medical_record_number", value)``, ``("birth_date", "1950-01-31")`` ..."""
    levels: tuple[Vertebra, ...] = ()
    """Vertebrae that it shows; empty: not known."""
    has_fat_suppressed: bool | None = None
    """Whether it holds a STIR or fat-saturated T2 series (MR); None: not known."""
    views: tuple[RetainedView, ...] = ()
