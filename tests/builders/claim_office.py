"""A node that answers over HTTP, with a study of the claims' patient, and what coders and physicians do with it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from builders.dicom import SeriesPlan, small_voxels
from builders.posted_claims import claim_json, report_json
from builders.reviews import add_reviewable_study
from builders.web import serving
from inference.findings import StudyFindings
from server.claims.watch import ClaimWatch
from server.compose import Node
from server.http.app import create

PLAN = SeriesPlan(voxels=small_voxels(5), pixel_spacing_mm=(1.5, 0.75), attributes={"StudyDate": "20260510"})
STUDY, UID = PLAN.study, PLAN.study_instance_uid
PERSON = {"name": "Doe^Jane", "identifier": "jdoe", "organisation": "General Hospital"}


@dataclass(frozen=True, slots=True)
class Office:
    """A node that answers, with a study of the claims' patient."""

    node: Node
    http: httpx.Client
    watch: ClaimWatch
    findings: StudyFindings

    def hand_in(self, claim: Any, key: str | None = None) -> httpx.Response:
        content = claim if isinstance(claim, bytes) else json.dumps(claim).encode()
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self.http.post("/api/v1/claims", content=content, headers=headers)

    def kept(self, **more: Any) -> str:
        answer = self.hand_in(claim_json(STUDY, **more))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["claims"][0]["id"])

    def get(self, path: str) -> Any:
        return self.http.get(f"/api/v1/claims{path and '/'}{path}").raise_for_status().json()

    def evidence(self, claim: str) -> Any:
        return self.get(f"{claim}/evidence")

    def report(self, claim: str, **more: Any) -> httpx.Response:
        return self.http.post(f"/api/v1/claims/{claim}/reports", json=report_json(STUDY, UID, **more))

    def decide(self, claim: str, action: str, **more: Any) -> httpx.Response:
        return self.http.post(f"/api/v1/claims/{claim}/decisions", json={"action": action} | more)

    def review(self, decision: dict[str, Any]) -> None:
        body = {"revision": 1, "accept_rest": True, "reviewer": PERSON, "findings": [decision]}
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        self.http.post(f"/api/v1/studies/{UID}/reviews", json=body, headers=headers).raise_for_status()

    def fracture(self) -> str:
        found = (f for f in self.findings.findings if f.question == "compression_fracture" and f.site.level == "L1")
        return next(found).id


@contextmanager
def open_office(node: Node, folder: Path) -> Iterator[Office]:
    """Serve the node, with findings of the study; nothing judges claims again but ``watch.look``."""
    application = create(node)
    watch = ClaimWatch(node, application.state.dicomweb.index, None)
    findings = add_reviewable_study(node, application.state.client, folder, PLAN)
    with serving(node) as url, httpx.Client(base_url=url, timeout=300) as http:
        yield Office(node, http, watch, findings)
    application.state.dicomweb.door.close()
    application.state.client.destroy()
