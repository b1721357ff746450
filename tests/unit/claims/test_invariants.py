"""What holds whatever comes in: the rules that keep software from being taken for evidence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from builders.claims import CATALOGUE, IDENTIFIERS, IMAGED, SERVICE, claim_of, findings_of, study_of
from claims.claim import Claim
from claims.criteria.table import Acuity as AcuityRule
from claims.criteria.table import Views
from claims.engine import evaluate
from claims.evidence import ClaimEvidence, CriterionState, Verdict
from claims.report import (
    Acuity,
    Polarity,
    Quote,
    ReadReport,
    Report,
    Section,
    SignedState,
    Statement,
    Topic,
)
from inference.anatomy import Laterality, Vertebra

ORDER = list(Verdict)
LEVELS = [None, Vertebra.T12, Vertebra.L1, Vertebra.L2]
CLAIMS = (
    "22514 L1 M80.08XA",
    "22513 T12 M80.08XA; 22515x2 L1 L2 S32.010A",
    "22514 M80.08XD",
    "22513 L1 M80.08",
    "64628 L4 L5 M54.51 KX",
    "62323 L4 M54.16",
    "64635 L4 M47.816 LT",
)
days = st.dates(SERVICE - timedelta(days=200), SERVICE + timedelta(days=20))
quote = Quote(text="A sentence.", section=Section.FINDINGS, start=0, end=11)
plain = st.builds(
    Statement,
    level=st.just(Vertebra.L1),
    topic=st.sampled_from([Topic.FRACTURE, Topic.EDEMA]),
    polarity=st.just(Polarity.AFFIRMED),
    acuity=st.sampled_from([Acuity.ACUTE, Acuity.UNSTATED]),
    quote=st.just(quote),
)
"""What makes a report support the claim; other statements are drawn beside it."""
of_discs = st.builds(
    Statement,
    level=st.sampled_from([Vertebra.L4, Vertebra.L5]),
    topic=st.sampled_from([Topic.MODIC, Topic.NEEDLE, Topic.CONTRAST, Topic.HARDWARE]),
    polarity=st.just(Polarity.AFFIRMED),
    kinds=st.sampled_from([("1",), ("2",), ("1", "2"), ("1", "2"), ("3",), ("2", "3"), ()]),
    side=st.just(Laterality.LEFT),
    quote=st.just(quote),
)
"""What supports the other procedures."""
other = st.builds(
    Statement,
    level=st.sampled_from([*LEVELS, Vertebra.L4]),
    topic=st.sampled_from(Topic),
    polarity=st.sampled_from(Polarity),
    acuity=st.sampled_from(Acuity),
    quote=st.builds(replace, st.just(quote), section=st.sampled_from(Section), start=st.integers(1, 9)),
    superseded=st.booleans(),
)
statements = (
    st.lists(plain, max_size=4) | st.lists(of_discs, max_size=5) | st.lists(plain | of_discs | other, max_size=5)
)
views = st.lists(
    st.sampled_from(["frontal", "lateral", "oblique", "view", "frontal+needle", "lateral+contrast"]), max_size=4
)


@st.composite
def reports(draw: st.DrawFn, signed: st.SearchStrategy[SignedState]) -> tuple[ReadReport, ...]:
    made = []
    for number in range(draw(st.integers(0, 3))):
        report = Report(
            id=f"R{number}",
            text="A sentence.",
            sha256=str(number),
            format="text",
            signed=draw(signed),
            study_date=draw(st.none() | days | st.just(IMAGED) | st.just(SERVICE)),
            modality=draw(st.sampled_from(["MR", "MR", "CT", "NM", None])),
            patient_identifiers=IDENTIFIERS,
        )
        made.append(ReadReport(report=report, statements=tuple(draw(statements))))
    return tuple(made)


def fitting(signed: SignedState) -> ReadReport:
    """A report of the day of service that says what the other procedures' policies ask for."""
    plain_report = Report(
        id="R9",
        text="A sentence.",
        sha256="9",
        format="text",
        signed=signed,
        study_date=SERVICE,
        modality="MR",
        patient_identifiers=IDENTIFIERS,
    )
    said = [(Vertebra.L4, Topic.MODIC, ("1",)), (Vertebra.L5, Topic.MODIC, ("2",)), (Vertebra.L4, Topic.NEEDLE, ())]
    statements_ = tuple(
        Statement(level=level, topic=topic, polarity=Polarity.AFFIRMED, kinds=kinds, side=Laterality.LEFT, quote=quote)
        for level, topic, kinds in [*said, (None, Topic.CONTRAST, ())]
    )
    return ReadReport(report=plain_report, statements=statements_)


@st.composite
def material(
    draw: st.DrawFn, signed: st.SearchStrategy[SignedState], suffix: str = ""
) -> tuple[Claim, dict[str, object]]:
    claim = claim_of(draw(st.sampled_from(CLAIMS)), onset_date=draw(st.none() | days | st.just(IMAGED)))
    studies = [study_of(f"MR {draw(days)}", number) for number in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        studies.append(study_of(f"XA {draw(days | st.just(SERVICE))} {' '.join(draw(views))}", 7))
    read = draw(reports(signed))
    if draw(st.booleans()):
        studies.append(study_of(f"XA {SERVICE} frontal lateral", 8))
        read = (*draw(st.sampled_from([read, ()])), fitting(draw(signed)))
    findings = [
        findings_of([words if words == "ambiguous" else f"{words}{suffix}" for words in draw(seen)], study)
        for study in studies
        if draw(st.booleans())
    ]
    return claim, {"studies": studies, "findings": findings, "reports": read}


seen = st.lists(
    st.builds(
        lambda level, answer, more: " ".join([level, answer, *more]),
        st.sampled_from(["T12", "L1", "L2", "L4-L5"]),
        st.sampled_from(["present", "absent", "not-assessed"]),
        st.sets(st.sampled_from(["acute-appearing", "chronic-appearing", "genant=0", "height_loss=40", "modic=1"])),
    )
    | st.just("ambiguous"),
    max_size=4,
    unique_by=lambda words: words.split()[0],
)
"""Findings of a study, as the builder reads them."""
ANY = st.sampled_from([SignedState.SIGNED, SignedState.SIGNED, *SignedState])
UNSIGNED = st.sampled_from([SignedState.UNSIGNED, SignedState.UNKNOWN])


def evaluated(claim: Claim, given_: dict[str, object], **changes: object) -> ClaimEvidence:
    return evaluate(claim, CATALOGUE.table_for(claim), **{**given_, **changes})  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(material(UNSIGNED) | material(UNSIGNED, " reviewed"))
def test_without_a_signed_report_nothing_supports(drawn):
    evidence = evaluated(*drawn)

    assert evidence.verdict is not Verdict.SUPPORTS
    assert all(body.verdict is not Verdict.SUPPORTS for body in evidence.bodies)
    assert any(prompt.code.startswith("attach") for prompt in evidence.prompts)


@settings(max_examples=100, deadline=None)
@given(material(ANY))
def test_the_software_betters_no_verdict_meets_no_criterion_and_takes_no_prompt_away(drawn):
    claim, given_ = drawn
    beside, alone = evaluated(claim, given_), evaluated(claim, given_, findings=[])

    for one, other in zip(beside.bodies, alone.bodies, strict=True):
        assert ORDER.index(one.verdict) <= ORDER.index(other.verdict)
    assert {(p.code, p.body) for p in alone.prompts} <= {(p.code, p.body) for p in beside.prompts}
    for one, other in zip(beside.criteria, alone.criteria, strict=True):
        assert one.state in (other.state, CriterionState.NOT_DETERMINABLE)


@settings(max_examples=60, deadline=None)
@given(material(ANY))
def test_without_an_onset_acuity_is_never_met(drawn):
    claim, given_ = drawn
    claim = replace(claim, onset_date=None)
    acuity = {c.id for c in CATALOGUE.table_for(claim).criteria if isinstance(c, AcuityRule)}

    evidence = evaluated(claim, given_)

    assert all(a.state is CriterionState.NOT_DETERMINABLE for a in evidence.criteria if a.criterion in acuity)


@settings(max_examples=60, deadline=None)
@given(material(ANY))
def test_no_code_is_named_that_the_claim_does_not_bill_and_nothing_is_decided(drawn):
    claim, given_ = drawn
    evidence = evaluated(claim, given_)
    said = " ".join(words(evidence))

    billed = {line.procedure for line in claim.lines}
    assert set(re.findall(r"\b\d{5}\b", said)) <= billed
    diagnoses = {code for line in claim.lines for code in line.diagnoses}
    assert set(re.findall(r"\b[A-Z]\d\d\.[0-9A-Z]+\b", said)) <= diagnoses
    assert not re.search(r"\b(approve|approved|covered|deny|denied|payable)\b", said)


@settings(max_examples=40, deadline=None)
@given(material(ANY), st.randoms())
def test_the_order_of_the_input_changes_nothing(drawn, random):
    claim, given_ = drawn
    shuffled = {name: random.sample(list(values), len(values)) for name, values in given_.items()}  # type: ignore[call-overload, arg-type]

    assert evaluated(claim, shuffled) == evaluated(claim, given_)


@settings(max_examples=60, deadline=None)
@given(material(ANY))
def test_what_supports_rests_on_a_quoted_sentence_of_a_signed_report_that_counts(drawn):
    claim, given_ = drawn
    evidence = evaluated(claim, given_)

    for body in evidence.bodies:
        if body.verdict is Verdict.SUPPORTS:
            reports_by_id = {read.report.id: read.report for read in given_["reports"]}  # type: ignore[attr-defined]
            quoted = [reports_by_id[p.reference] for p in body.pointers if p.reference in reports_by_id]
            assert quoted
            assert all(report.signed is SignedState.SIGNED for report in quoted)
            assert all(report.study_date and report.study_date <= claim.service_date for report in quoted)


@settings(max_examples=60, deadline=None)
@given(material(ANY))
def test_views_of_another_day_meet_nothing(drawn):
    claim, given_ = drawn
    moved = [replace(study, date=study.date and study.date - timedelta(days=1000)) for study in given_["studies"]]
    of_views = {c.id for c in CATALOGUE.table_for(claim).criteria if isinstance(c, Views)}

    evidence = evaluated(claim, given_, studies=moved, findings=[])

    assert all(a.state is not CriterionState.MET for a in evidence.criteria if a.criterion in of_views)


@settings(max_examples=60, deadline=None)
@given(material(ANY))
def test_an_unnamed_or_another_type_supports_nothing(drawn):
    claim, given_ = drawn
    claim = replace(claim, lines=claim_of("64628 L4 L5 M54.51 KX").lines)
    untyped = [
        replace(read, statements=tuple(replace(s, kinds=()) if s.topic is Topic.MODIC else s for s in read.statements))
        for read in given_["reports"]
    ]
    evidence = evaluated(claim, given_, reports=untyped)
    assert evidence.verdict is not Verdict.SUPPORTS


def words(evidence: ClaimEvidence) -> Iterator[str]:
    for group in (evidence.bodies, evidence.criteria, evidence.concordance, evidence.prompts):
        for one in group:
            yield one.sentence


def test_the_drawn_material_reaches_every_verdict():
    """The strategies above would prove nothing if they never came to SUPPORTS."""
    found: set[tuple[str, Verdict]] = set()

    @settings(max_examples=400, deadline=None, derandomize=True, database=None)
    @given(material(ANY))
    def collect(drawn: tuple[Claim, dict[str, object]]) -> None:
        evidence = evaluated(*drawn)
        found.update((evidence.policy, body.verdict) for body in evidence.bodies)

    collect()
    assert {verdict for policy, verdict in found if policy == "medicare-pva"} == set(Verdict)
    assert {policy for policy, verdict in found if verdict is Verdict.SUPPORTS} == {
        "medicare-pva",
        "medicare-basivertebral",
        "medicare-facet-ablation",
        "medicare-epidural",
    }
