"""``spine-node claims packet``: the packet of one claim, from files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from claims.criteria import load_catalogue
from claims.engine import evaluate
from claims.packet import MANIFEST_NAME, PacketRefusal
from inference.errors import UsageRefusal
from inference.findings.encode import decode
from server.commands.claims_input import Criteria, file_bytes, one_claim, reports_of
from server.output import write_into
from server.packet import PacketRequest, make_packet
from server.packet_study import StudyFiles
from server.study_run import FINDINGS_NAME, SR_NAME


def packet(  # noqa: PLR0917 - an option is a parameter
    claim: Annotated[Path, typer.Argument(help="The claim: our own JSON, a FHIR R4 Claim, or X12 837P.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the packet; it must not hold another.")],
    images: Annotated[
        list[Path] | None, typer.Option("--images", help="Folder with the instances of a study; may be repeated.")
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", help="What `spine-node infer` wrote of it; one for each --images, in their order."),
    ] = None,
    report: Annotated[
        list[Path] | None, typer.Option("--report", help="A radiology report, as for `check`; may be repeated.")
    ] = None,
    criteria: Criteria = None,
    previous: Annotated[
        Path | None, typer.Option("--previous", help="manifest.json of this claim's packet before this one.")
    ] = None,
    created: Annotated[
        datetime | None, typer.Option("--created", help="The time in the packet, in UTC; now, where it is not given.")
    ] = None,
) -> None:
    """Write key images, evidence summary (PDF/A), SR excerpt, key object selection and manifest of one claim."""
    intake = one_claim(claim)
    studies = _studies(images or [], results or [])
    reports = tuple(reports_of(report or [], intake))
    one = intake.claims[0]
    evidence = evaluate(
        one,
        load_catalogue(criteria or []).table_for(one),
        studies=intake.studies,
        findings=[decode(file_bytes(study.findings)) for study in studies],
        reports=reports,
    )
    before = None if previous is None else file_bytes(previous)
    if (out / MANIFEST_NAME).exists():
        raise UsageRefusal(f"{out} holds a packet already; name a folder that does not.")
    request = PacketRequest(
        claim=one,
        evidence=evidence,
        reports=reports,
        studies=tuple(studies),
        created=(created or datetime.now(UTC)).replace(tzinfo=UTC, microsecond=0),
        number=1 if before is None else _number(before, one.id) + 1,
        previous_manifest=before,
    )
    made = make_packet(request, write_into(out))
    for image in made.withheld:
        typer.echo(f"Withheld: {image.body.name}, {image.sentence}")
    typer.echo(f"{evidence.verdict.value}; in {out}: {', '.join(file.name for file in made.files)}, {MANIFEST_NAME}")


def _studies(images: Sequence[Path], results: Sequence[Path]) -> list[StudyFiles]:
    if len(images) != len(results):
        raise UsageRefusal(f"One --results goes with each --images, got {len(results)} for {len(images)}.")
    return [
        StudyFiles(
            findings=folder / FINDINGS_NAME,
            sources=(source,),
            segmentations=tuple(sorted(folder.glob("seg-*.dcm"))),
            report=folder / SR_NAME,
        )
        for source, folder in zip(images, results, strict=True)
    ]


def _number(manifest: bytes, claim_id: str) -> int:
    try:
        values = json.loads(manifest)
        number, of = int(values["number"]), str(values["claim_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageRefusal("--previous must be the manifest.json of a packet.") from error
    if of != claim_id:
        raise PacketRefusal("--previous must be the manifest of this claim's packet, got one of another claim.")
    return number
