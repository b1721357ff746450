"""Claims as they come: our own JSON, FHIR R4 Claim, or X12 837P; bytes in, Claim out, or a refusal by name."""

from claims.intake.read import Intake, read_claims

__all__ = ["Intake", "read_claims"]
