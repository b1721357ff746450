"""Where attachments of claims go: one TOML file with a table for each payer or clearing house.

Only over TLS. An address without it is refused at start, because what is sent is a patient's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from claims.attachments.partner import Partner
from claims.attachments.x12_elements import GUIDES, X314
from inference.errors import SettingRefusal
from server.settings import Settings


class DestinationKind(StrEnum):
    """What a destination takes."""

    X12 = "275"
    """X12 275, as the request's body."""
    X12_CORE = "275-core"
    """X12 275 in the multipart envelope of CAQH CORE Connectivity."""
    CDEX = "cdex"
    """Da Vinci CDex ``$submit-attachment``."""


class ClaimDestination(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: DestinationKind
    url: str = Field(min_length=1)
    """https://...; of CDex the base of the FHIR server."""
    guide: str = X314.name
    payer_ids: tuple[str, ...] = ()
    """Payers that are reached by it; empty: any."""
    sender_id: str = ""
    receiver_id: str = ""
    sender_qualifier: str = "ZZ"
    receiver_qualifier: str = "ZZ"
    submitter_name: str = ""
    submitter_id: str = ""
    production: bool = False
    tracking_system: str = ""
    member_system: str = ""
    payer_system: str = ""
    authorities: Path | None = None
    """PEM file with the authorities to trust instead of those of this machine."""
    certificate: Path | None = None
    """PEM file with our certificate chain, where the destination asks for one."""
    certificate_key: Path | None = None
    token_file: Path | None = None
    """File that holds a bearer token."""

    @property
    def partner(self) -> Partner:
        """The trading partner."""
        return Partner(
            sender_id=self.sender_id,
            receiver_id=self.receiver_id,
            sender_qualifier=self.sender_qualifier,
            receiver_qualifier=self.receiver_qualifier,
            submitter_name=self.submitter_name,
            submitter_id=self.submitter_id,
            is_production=self.production,
            tracking_system=self.tracking_system,
            member_system=self.member_system,
            payer_system=self.payer_system,
        )


def claim_destinations(settings: Settings) -> Mapping[str, ClaimDestination]:
    """The destinations by name; none where no file is set.

    Raises:
        SettingRefusal: the file cannot be read, or a destination is not one that may be used.
    """
    path = settings.claim_destinations_file
    if path is None:
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingRefusal(f"The claim destinations file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingRefusal(f"The claim destinations file {path} is not TOML: {error}.") from None
    return {name: _destination(name, table) for name, table in tables.items()}


def require_tls(name: str, url: str) -> None:
    """Refuse an address without TLS.

    Raises:
        SettingRefusal: it is not https.
    """
    if not url.startswith("https://"):
        scheme = url.partition(":")[0]
        raise SettingRefusal(
            f"Claim destination {name} has an address with {scheme!r}: PHI would be sent unprotected; "
            f"give one that begins with https://."
        )


def _destination(name: str, table: object) -> ClaimDestination:
    try:
        made = ClaimDestination.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the table"
        raise SettingRefusal(f"Claim destination {name}: {where}: {first['msg']}.") from None
    require_tls(name, made.url)
    if made.guide not in GUIDES:
        raise SettingRefusal(f"Claim destination {name}: guide is one of {', '.join(GUIDES)}, got {made.guide!r}.")
    if bool(made.certificate) != bool(made.certificate_key):
        raise SettingRefusal(f"Claim destination {name}: a client certificate needs certificate and certificate_key.")
    if made.kind is not DestinationKind.CDEX:
        _check_x12(name, made)
    return made


def _check_x12(name: str, made: ClaimDestination) -> None:
    for field in ("sender_id", "receiver_id", "submitter_name", "submitter_id"):
        if not getattr(made, field):
            raise SettingRefusal(f"Claim destination {name}: an X12 destination needs {field}; the partner gives it.")
