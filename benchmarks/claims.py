"""The evidence check of a claim: how long one takes, and whether ten thousand in a row take memory.

``python -m benchmarks.claims`` runs it alone, in one process and without a server. A check is all of it: the claim and
its study as JSON, the findings of 17 vertebrae, and a radiology report as text are read, the criteria are answered, and
the evidence is written as JSON. Claims, reports and findings are made up; they say nothing about accuracy. Times are
of the processor: a check waits for no disk and no network, and a busy machine does not change them much.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from builders.claims import findings_of, study_of
from claims.criteria import load_catalogue
from claims.encode import encode_evidence
from claims.engine import evaluate
from claims.intake import read_claims
from claims.reading import load_report, read_report
from inference.findings.encode import decode, encode

CHECKS = 500
"""Single checks, each timed."""
BULK = 10_000
EARLY = 1_000
"""Claims of the bulk after which memory is measured first: caches are warm."""
LEVELS = [*(f"T{n}" for n in range(1, 13)), *(f"L{n}" for n in range(1, 6))]
REPORT = """MRI LUMBAR SPINE WITHOUT CONTRAST
MRN: {number}    DOB: 01/31/1950
Date of exam: 02/10/2026
COMPARISON: None.
TECHNIQUE: Sagittal T1, T2, STIR and axial T2.
FINDINGS: There is an acute compression fracture of {level} with marrow edema on STIR and 30% height loss. No
retropulsion. The other vertebral bodies keep their heights. Mild disc bulge at L4-L5 without stenosis.
IMPRESSION: Acute compression fracture of {level}.
Electronically signed by: Rita Roe, MD on 02/10/2026 14:05
"""


def measure_claims(*, checks: int = CHECKS, bulk: int = BULK, say: Callable[[str], None]) -> dict[str, Any]:
    """Processor time of single checks (ms), and rate and resident memory of the bulk."""
    say("claims: one at a time")
    began = time.process_time()
    catalogue = load_catalogue()
    load_s = time.process_time() - began
    check = _checker(catalogue.table_for)
    check(0)
    milliseconds = [_timed(check, number) for number in range(1, checks + 1)]
    say(f"claims: {bulk} in a row")
    early_mib, began = 0.0, time.process_time()
    for number in range(bulk):
        check(number)
        if number == min(EARLY, bulk) - 1:
            early_mib = _resident_mib()
    seconds = time.process_time() - began
    cuts = statistics.quantiles(milliseconds, n=20)
    return {
        "load_s": round(load_s, 3),
        "checks": checks,
        "p50_ms": round(statistics.median(milliseconds), 2),
        "p95_ms": round(cuts[18], 2),
        "bulk": bulk,
        "claims_per_s": round(bulk / seconds, 1),
        "resident_mib_early": round(early_mib, 1),
        "resident_mib_end": round(_resident_mib(), 1),
    }


def _checker(table_for: Callable[..., Any]) -> Callable[[int], None]:
    study = study_of("MR 2026-02-10")
    words = [f"{level} {'present genant=2 height_loss=30' if level == 'L1' else 'absent genant=0'}" for level in LEVELS]
    findings = encode(findings_of(words, study))

    def check(number: int) -> None:
        claim_file, report = _claim(number, study.uid), REPORT.format(number=f"MRN{number:05d}", level="L1")
        intake = read_claims(claim_file)
        (claim,) = intake.claims
        read = read_report(load_report(report.encode()))
        table = table_for(claim)
        evidence = evaluate(claim, table, studies=intake.studies, findings=[decode(findings)], reports=[read])
        assert encode_evidence(evidence)
        assert evidence.verdict.value == "SUPPORTS"

    return check


def _claim(number: int, study_uid: str) -> bytes:
    patient = {"medical_record_number": f"MRN{number:05d}", "birth_date": "1950-01-31"}
    line = {"number": 1, "procedure": "22514", "units": 1, "diagnoses": ["M80.08XA"], "bodies": ["L1"]}
    study = {"study_instance_uid": study_uid, "date": "2026-02-10", "modality": "MR", "patient": patient}
    claim = {
        "schema": "spine-claim/1",
        "id": f"CLAIM-{number}",
        "patient": patient,
        "payer_id": "MEDICARE",
        "jurisdiction": "TX",
        "service_date": "2026-03-01",
        "onset_date": "2026-02-01",
        "lines": [line],
        "studies": [study],
    }
    return json.dumps(claim).encode()


def _timed(check: Callable[[int], None], number: int) -> float:
    began = time.process_time()
    check(number)
    return (time.process_time() - began) * 1000


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def claims_table(result: Mapping[str, Any]) -> Table:
    """One row for each figure."""
    table = Table("evidence check of a claim with its report and findings", "processor time")
    table.add_row("loading the criteria tables, s", f"{result['load_s']:.2f}")
    table.add_row(f"one claim, median of {result['checks']}, ms", f"{result['p50_ms']:.2f}")
    table.add_row("one claim, 95th percentile, ms", f"{result['p95_ms']:.2f}")
    table.add_row(f"{result['bulk']} claims in a row, claims per second of one core", f"{result['claims_per_s']:.0f}")
    table.add_row(f"resident memory after {EARLY} of them, MiB", f"{result['resident_mib_early']:.0f}")
    table.add_row("resident memory at their end, MiB", f"{result['resident_mib_end']:.0f}")
    return table


def main(*, bulk: Annotated[int, typer.Option(min=1, help="Claims in a row.")] = BULK) -> None:
    """Measure the evidence check."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    with console.status("") as status:
        result = measure_claims(bulk=bulk, say=status.update)
    console.print(claims_table(result))


if __name__ == "__main__":
    typer.run(main)
