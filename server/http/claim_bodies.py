"""Claims, reports and decisions as they are posted: the bodies and their limits."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from claims.intake.own import ReportFacts
from claims.report import ReportRefusal
from server.claims.history import Action
from server.http.claim_examples import CLAIM, DECISION, REPORT

Text = Annotated[str, Field(max_length=2000)]
MOST_CHARACTERS = 44_000_000
"""Of a report in base64: 32 MiB of bytes."""
MOST_CHECKED = 20


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReportBody(_Body):
    """A report: its text, or its file in base64 (PDF, HL7 v2, FHIR, DICOM SR), and what it does not say of itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [REPORT]})

    text: str | None = Field(None, max_length=MOST_CHARACTERS)
    content: str | None = Field(None, max_length=MOST_CHARACTERS, description="The file in base64.")
    facts: ReportFacts = ReportFacts()

    def data(self) -> bytes:
        """The report's bytes.

        Raises:
            ReportRefusal: neither or both are given, or it is no base64.
        """
        if (self.text is None) == (self.content is None):
            raise ReportRefusal("A report is posted as text or as content in base64: one of them.")
        if self.text is not None:
            return self.text.encode("utf-8", "surrogatepass")
        try:
            return base64.b64decode(self.content or "", validate=True)
        except (binascii.Error, ValueError):
            raise ReportRefusal("The report's content is not base64.") from None


class ClaimDecisionBody(_Body):
    """What a person decides."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [DECISION]})

    action: Action
    prompt: str | None = Field(None, max_length=64, description="Code of the prompt that it is about.")
    body: str | None = Field(None, max_length=4, description="Vertebral body of that prompt.")
    reason: Text = ""


class AttachmentBody(_Body):
    """Where the evidence is to go."""

    destination: str = Field(max_length=64)
    line: int | None = Field(None, ge=1, le=999, description="Service line that it belongs to; none: the whole claim.")
    solicited: str | None = Field(None, max_length=50, description="The payer's number from its request (277 RFAI).")


class CheckBody(_Body):
    """A claim and its material, to be judged once."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"claim": CLAIM, "reports": [REPORT]}]})

    claim: dict[str, Any] | str = Field(description="Our own JSON, a FHIR R4 Claim, or an 837P as text.")
    findings: list[dict[str, Any]] = Field([], max_length=MOST_CHECKED, description="Documents `spine-findings/1`.")
    reports: list[ReportBody] = Field([], max_length=MOST_CHECKED)

    def claim_bytes(self) -> bytes:
        """As a file of claims."""
        return (self.claim if isinstance(self.claim, str) else json.dumps(self.claim)).encode("utf-8", "replace")


async def _body(request: Request) -> bytes:
    return await request.body()


TheBody = Annotated[bytes, Depends(_body)]
"""The body as it came."""
