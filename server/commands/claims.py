"""``spine-node claims``: the evidence for a claim, and the criteria tables that it goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from claims.claim import Claim
from claims.criteria import load_catalogue, read_table
from claims.encode import NOTICE, encode_evidence
from claims.engine import evaluate
from claims.evidence import ClaimEvidence
from claims.intake import read_claims
from claims.intake.own import ReportFacts
from claims.intake.read import Intake
from claims.reading import load_report, read_report
from claims.report import ReadReport, Report
from inference.errors import UsageRefusal
from inference.findings.encode import decode
from server.output import wide_console

application = typer.Typer(no_args_is_help=True)
Criteria = Annotated[
    list[Path] | None, typer.Option("--criteria", help="A folder with criteria tables of your own; may be repeated.")
]


@application.command()
def check(  # noqa: PLR0917 - an option is a parameter
    claim: Annotated[Path, typer.Argument(help="The claim: our own JSON, a FHIR R4 Claim, or X12 837P.")],
    findings: Annotated[
        list[Path] | None, typer.Option("--findings", help="findings.json of a study; may be repeated.")
    ] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", help="A radiology report: text, PDF, HL7 v2, FHIR or DICOM SR; may be repeated."),
    ] = None,
    studies: Annotated[
        Path | None,
        typer.Option(help="JSON with `studies` and `reports`, for a claim that is no JSON of our own."),
    ] = None,
    criteria: Criteria = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the evidence as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Say what evidence a claim has, what is missing, and what contradicts it."""
    intake = read_claims(_bytes(claim))
    beside = read_claims(_bytes(studies)) if studies else intake
    catalogue = load_catalogue(criteria or [])
    documents = [decode(_bytes(path)) for path in findings or []]
    reports = _reports(report or [], beside)
    for one in intake.claims:
        evidence = evaluate(one, catalogue.table_for(one), studies=beside.studies, findings=documents, reports=reports)
        if as_json:
            typer.echo(encode_evidence(evidence).decode(), nl=False)
        else:
            _print(one, evidence)


@application.command()
def policies(criteria: Criteria = None) -> None:
    """List the criteria tables."""
    table = Table("policy", "version", "title", "services from", "to", "payers", "procedures")
    for one in load_catalogue(criteria or []).tables:
        last = str(one.effective_to or "")
        payers, codes = ", ".join(one.payers), ", ".join(one.procedures)
        table.add_row(one.id, one.version, one.title, str(one.effective_from), last, payers, codes)
    wide_console().print(table)


@application.command()
def validate(table: Annotated[Path, typer.Argument(help="A criteria table (TOML).")]) -> None:
    """Check a criteria table, and name everything that is wrong with it."""
    read = read_table(_bytes(table), str(table))
    typer.echo(f"{table}: {read.id} {read.version}, {len(read.criteria)} criteria, in order.")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageRefusal(f"{path} cannot be read: {error.strerror}.") from error


def _reports(paths: Sequence[Path], beside: Intake) -> list[ReadReport]:
    """The reports read, each with the facts given for it: the first fact for the first report, and so on."""
    facts = [*beside.reports, *[ReportFacts()] * len(paths)]
    return [read_report(_report(path, fact)) for path, fact in zip(paths, facts, strict=False)]


def _report(path: Path, facts: ReportFacts) -> Report:
    """The report as it came; facts that are given stand before what its text says."""
    report = load_report(_bytes(path), report_id=facts.id)
    given = {
        "signed": facts.signed,
        "signed_by": facts.signed_by,
        "study_date": facts.study_date,
        "study_instance_uid": facts.study_instance_uid,
        "modality": facts.modality,
        "patient_identifiers": facts.patient.identifiers,
    }
    return replace(report, **{name: value for name, value in given.items() if value})


def _print(claim: Claim, evidence: ClaimEvidence) -> None:
    echo = typer.echo
    echo(f"Claim {claim.id}, service {claim.service_date}: {evidence.verdict.value}")
    echo(f"By {evidence.policy}, version {evidence.policy_version}.")
    for body in evidence.bodies:
        echo(f"\n{body.body.name}: {body.verdict.value}. {body.sentence}")
        for pointer in body.pointers:
            echo(f"    {pointer.text}")
    echo("\nTo do:")
    for prompt in evidence.prompts:
        where = f"{prompt.body.name}: " if prompt.body else ""
        echo(f"  - {where}{prompt.sentence}")
    echo("\nCriteria:")
    for answer in evidence.criteria:
        where = f"{answer.body.name}: " if answer.body else ""
        echo(f"  {answer.state.value:>16}  {where}{answer.title}. {answer.sentence}")
    echo("\nCodes, levels and units:")
    for fact in evidence.concordance:
        word = {True: "agrees", False: "does not agree", None: "open"}[fact.agrees]
        echo(f"  {word:>16}  {fact.sentence}")
    echo(f"\n{NOTICE}")
