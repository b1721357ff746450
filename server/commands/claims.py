"""``spine-node claims``: the evidence for a claim, and the criteria tables that it goes by."""

from __future__ import annotations

import json
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
from inference.errors import StorageFailure
from inference.findings.encode import decode
from server.claims.history import fault_of
from server.claims.packets import manifest_path
from server.claims.record import history_json
from server.claims.seals import seal_fault
from server.commands.claims_input import Criteria, file_bytes, reports_of
from server.commands.claims_packet import packet
from server.compose import open_node
from server.database import reading
from server.options import with_settings
from server.output import wide_console
from server.settings import Settings

application = typer.Typer(no_args_is_help=True)
application.command()(packet)


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
    intake = read_claims(file_bytes(claim))
    beside = read_claims(file_bytes(studies)) if studies else intake
    catalogue = load_catalogue(criteria or [])
    documents = [decode(file_bytes(path)) for path in findings or []]
    reports = reports_of(report or [], beside)
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
    read = read_table(file_bytes(table), str(table))
    typer.echo(f"{table}: {read.id} {read.version}, {len(read.criteria)} criteria, in order.")


@application.command()
@with_settings
def history(settings: Settings, claim: Annotated[str, typer.Argument(help="Our id of the claim, clm-...")]) -> None:
    """Print the whole record of a claim as JSON; exit code 1 when its history or a packet is not what was sealed."""
    node = open_node(settings)
    with reading(node.engine) as connection:
        record = history_json(connection, node, claim)
        fault = fault_of(connection, claim) or seal_fault(connection, node.spool, claim, manifest_path(claim))
    typer.echo(json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False))
    if fault is not None:
        raise StorageFailure(fault)


def _print(claim: Claim, evidence: ClaimEvidence) -> None:
    echo = typer.echo
    echo(f"Claim {claim.id}, service {claim.service_date}: {evidence.verdict.value}")
    documents = f" ({', '.join(evidence.policy_documents)})" if evidence.policy_documents else ""
    echo(f"By {evidence.policy}, version {evidence.policy_version}{documents}.")
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
