"""Who an attachment is sent to, and as whom: what a trading partner agreement fixes for one destination."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """One trading partner, as their companion guide says."""

    sender_id: str
    """ISA06 and GS02: how they know the sender; up to 15 characters."""
    receiver_id: str
    """ISA08 and GS03."""
    sender_qualifier: str = "ZZ"
    """ISA05: ``ZZ`` mutually defined, ``30`` federal tax number ..."""
    receiver_qualifier: str = "ZZ"
    """ISA07."""
    submitter_name: str
    submitter_id: str
    """NM109 of the submitter: the electronic transmitter identification number (ETIN) that they gave."""
    is_production: bool = False
    """ISA15: ``P``; False: ``T``, a test."""
    tracking_system: str = ""
    """URI of our attachment control numbers (FHIR identifier system)."""
    member_system: str = ""
    """URI of the payer's member identifiers; as ``urn:oid:...`` it is the root of the C-CDA identifier too."""
    payer_system: str = ""
    """URI of the payer's own identifier."""
