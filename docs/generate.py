"""Write the parts of the documentation that repeat the code: ``python -m docs.generate`` (or ``make docs``).

A page has ``<!-- generated: NAME -->`` and ``<!-- end -->``; what stands between them is a block of BLOCKS. A test
renders every page again and fails when page and code disagree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from docs.blocks import access, claims, conformance, reference, validation

REPOSITORY = Path(__file__).parent.parent
BLOCKS: Mapping[str, Callable[[], str]] = {
    "storage-classes": conformance.storage_classes,
    "transfer-syntaxes": conformance.transfer_syntaxes,
    "receive-status": conformance.receive_status,
    "send-status": conformance.send_status,
    "commitment-reasons": conformance.commitment_reasons,
    "retention-needs": reference.needs,
    "implementation": conformance.implementation,
    "tls-suites": conformance.tls_suites,
    "handshake-reasons": conformance.handshake_reasons,
    "private-codes": conformance.private_codes,
    "settings": reference.settings,
    "commands": reference.commands,
    "reasons": reference.reasons,
    "review-reasons": reference.review_reasons,
    "review-faults": reference.review_faults,
    "metrics": reference.metrics,
    "priorities": reference.priorities,
    "validation": validation.validation,
    "roles": access.roles,
    "routes": access.routes,
    "audit-events": access.audit_events,
    "verdicts": claims.verdicts,
    "criteria": claims.criteria,
}
SCHEMA_COPIES: Mapping[Path, Path] = {
    REPOSITORY / "inference" / "findings" / "schema.json": REPOSITORY / "docs" / "findings.schema.json",
    REPOSITORY / "claims" / "packet" / "manifest.schema.json": REPOSITORY / "docs" / "claim-packet.schema.json",
    REPOSITORY / "server" / "overlay.schema.json": REPOSITORY / "docs" / "overlay.schema.json",
}
"""The published copy of every schema, by the one that is used."""
_BLOCK = re.compile(r"<!-- generated: (?P<name>[a-z-]+) -->\n.*?<!-- end -->", re.DOTALL)


def pages() -> list[Path]:
    """Every page that may hold a generated block."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def render(text: str) -> str:
    """A page with its generated blocks written again; KeyError names a block that does not exist."""
    return _BLOCK.sub(lambda match: _block(match["name"]), text)


@cache
def _block(name: str) -> str:
    return f"<!-- generated: {name} -->\n{BLOCKS[name]().strip()}\n<!-- end -->"


def main() -> None:
    """Write every page, and the copies of the schemas."""
    for page in pages():
        page.write_text(render(page.read_text(encoding="utf-8")), encoding="utf-8")
    for source, copy in SCHEMA_COPIES.items():
        copy.write_bytes(source.read_bytes())


if __name__ == "__main__":
    main()
