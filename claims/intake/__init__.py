"""Claims as they come: our own JSON, FHIR R4 Claim, or X12 837P; bytes in, Claim out, or a refusal by name."""

from claims.intake.read import read_claims

__all__ = ["read_claims"]
