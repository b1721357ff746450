"""Claims with their evidence, reports, findings and pictures, made by hand for tests of the packet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from io import BytesIO

import numpy as np
from PIL import Image

from claims.claim import Claim, ClaimUse, Patient, ServiceLine
from claims.evidence import (
    BodyEvidence,
    ClaimEvidence,
    ConcordanceFact,
    CriterionAnswer,
    CriterionState,
    Pointer,
    PointerKind,
    Prompt,
    Source,
    Verdict,
)
from claims.packet import KeyImage, PacketContents, StudyPart
from claims.report import Acuity, Polarity, Quote, ReadReport, Report, Section, SignedState, Statement, Topic
from inference.anatomy import Numbering, Site, Vertebra
from inference.findings import (
    Calibration,
    DocumentReview,
    Finding,
    FindingReview,
    Grade,
    Measurement,
    Present,
    Question,
    Reviewer,
    ReviewStatus,
    StudyFindings,
)
from inference.geometry import FrameReference
from inference.provenance import ModelIdentity, deterministic_uid, tracking_uid

CREATED = datetime(2026, 4, 2, 15, 30, tzinfo=UTC)
STUDY_DATE = date(2026, 3, 14)
PATIENT = Patient(
    medical_record_number="MRN-4711",
    member_id="W123456789",
    family_name="Example",
    given_name="Erna",
    birth_date=date(1948, 5, 17),
    sex="F",
)
MODEL = ModelIdentity(name="mr_sagittal_segmentation", version="0.3.0", sha256="ab" * 32, training_data="SPIDER")
LOSS_METHOD = "largest shortfall of the three heights against neighbours and the level's normal shape"
REVIEWER = Reviewer(name="Reader^Rita", identifier="rita", organisation="Example Radiology")


def claim(bodies: Sequence[str] = ("L1",), *, patient: Patient = PATIENT, claim_id: str = "CLM-2026-000123") -> Claim:
    """A claim for kyphoplasty of some bodies."""
    vertebrae = tuple(Vertebra[name] for name in bodies)
    line = ServiceLine(number=1, procedure="22514", units=1, diagnoses=("M80.08XA", "S32.010A"), bodies=vertebrae[:1])
    more = ServiceLine(
        number=2, procedure="22515", units=len(bodies) - 1, diagnoses=("M80.08XA",), bodies=vertebrae[1:]
    )
    return Claim(
        id=claim_id,
        use=ClaimUse.CLAIM,
        patient=patient,
        payer_id="00450",
        payer_name="Example Medicare",
        jurisdiction="TX",
        provider_npi="1234567893",
        service_date=date(2026, 3, 30),
        lines=(line, more) if len(bodies) > 1 else (line,),
    )


def study_uid(name: str = "one") -> str:
    """The UID of a made-up study."""
    return deterministic_uid("packet test study", name)


def fracture(level: str, *, loss: float = 32.4, study: str | None = None, reviewed: bool = True) -> Finding:
    """A compression fracture with its measurements."""
    uid = study or study_uid()

    def measured(name: str, value: float, unit: str, spread: float | None, method: str) -> Measurement:
        return Measurement(name=name, value=value, unit=unit, uncertainty=spread, method=method)

    heights = "between the endplates at 15 % of the body's depth from the front, along the body's axis"
    share = "part of the body, without its rim, that has at least 2 times the expected signal on STIR"
    return Finding(
        id=tracking_uid(uid, Question.COMPRESSION_FRACTURE, level),
        question=Question.COMPRESSION_FRACTURE,
        site=Site(level=level),
        assessment=Present(),
        grades=(
            Grade(scale="genant", value="2"),
            Grade(scale="genant_shape", value="wedge"),
            Grade(scale="acuity", value="acute-appearing"),
        ),
        probability=0.97,
        calibration=Calibration.NONE,
        operating_point="height loss >= 25 % and z <= -3",
        measurements=(
            measured("anterior_height", 17.9, "mm", 0.6, heights),
            measured("height_loss", loss, "%", 3.1, LOSS_METHOD),
            measured("height_z_score", -4.4, "1", None, LOSS_METHOD),
            measured("retropulsion", 2.1, "mm", 0.5, "largest distance of the posterior wall behind its line"),
            measured("marrow_oedema_share", 61.0, "%", 6.0, share),
        ),
        model=MODEL.name,
        review=FindingReview(status=ReviewStatus.ACCEPTED, reviewer=REVIEWER.display_name) if reviewed else None,
    )


def study_part(
    findings: Sequence[Finding], *, reviewed: bool = True, name: str = "Example^Erna", key: str = "one",
    study_date: date = STUDY_DATE,
) -> StudyPart:  # fmt: skip
    """A study with these findings."""
    about = DocumentReview(number=1, revision=1, reviewer=REVIEWER, reviewed_at=datetime(2026, 3, 15, 9, 5, tzinfo=UTC))
    return StudyPart(
        study_instance_uid=study_uid(key),
        study_date=study_date,
        description="MR, sagittal T2 and STIR",
        patient_name=name,
        findings=StudyFindings(
            study_instance_uid=study_uid(key),
            series=(),
            numbering=Numbering(method="counted_from_sacrum", ambiguous=False, note="Counted up from the sacrum."),
            findings=tuple(findings),
            models=(MODEL,),
            software_version="0.1.0",
            review=about if reviewed else None,
        ),
    )


def statement(
    text: str, level: str | None, topic: Topic = Topic.FRACTURE, polarity: Polarity = Polarity.AFFIRMED,
    acuity: Acuity = Acuity.UNSTATED, section: Section = Section.IMPRESSION, *, start: int = 0,
    superseded: bool = False,
) -> Statement:  # fmt: skip
    """One thing that a report says."""
    return Statement(
        level=None if level is None else Vertebra[level],
        topic=topic,
        polarity=polarity,
        acuity=acuity,
        quote=Quote(text=text, section=section, start=start, end=start + len(text)),
        superseded=superseded,
    )


def read_report(
    *statements: Statement, signed: SignedState = SignedState.SIGNED, by: str = "Dr. Ralf Reader"
) -> ReadReport:
    """A report that says these things."""
    is_signed = signed is SignedState.SIGNED
    return ReadReport(
        report=Report(
            id="ACC-778899",
            text="\n".join(s.quote.text for s in statements),
            sha256="cd" * 32,
            format="text",
            signed=signed,
            signed_by=by if is_signed else None,
            signed_at=datetime(2026, 3, 14, 17, 42) if is_signed else None,  # noqa: DTZ001 - reports have no zone
            study_date=STUDY_DATE,
            modality="MR",
        ),
        statements=statements,
    )


def spoken(level: str, *, start: int = 0) -> tuple[Statement, ...]:
    """A sentence that names an acute fracture with oedema at a level."""
    text = f"Acute compression fracture of {level} with marrow oedema on STIR and about 30 % loss of anterior height."
    return (
        statement(text, level, acuity=Acuity.ACUTE, start=start),
        statement(text, level, Topic.EDEMA, start=start),
    )


def answer(
    criterion: str, title: str, state: CriterionState, sentence: str, sources: Sequence[Source], body: str | None = None
) -> CriterionAnswer:
    """One criterion."""
    return CriterionAnswer(
        criterion=criterion,
        title=title,
        answered_by=tuple(sources),
        state=state,
        sentence=sentence,
        body=None if body is None else Vertebra[body],
    )


def evidence(bodies: Sequence[tuple[str, Verdict, str]], *, claim_id: str = "CLM-2026-000123") -> ClaimEvidence:
    """Evidence with a verdict and sentence for each body."""
    images, chart, report = Source.IMAGES, Source.CHART, Source.REPORT
    met, unknown = CriterionState.MET, CriterionState.NOT_DETERMINABLE
    told = tuple(
        BodyEvidence(
            body=Vertebra[name],
            verdict=verdict,
            sentence=sentence,
            pointers=(Pointer(kind=PointerKind.STUDY, reference=study_uid(), text=f"Study of {STUDY_DATE}"),),
        )
        for name, verdict, sentence in bodies
    )
    order = list(Verdict)
    first = bodies[0][0]
    return ClaimEvidence(
        claim_id=claim_id,
        policy="L35130",
        policy_version="2026-01",
        verdict=min((verdict for _, verdict, _ in bodies), key=order.index),
        bodies=told,
        criteria=(
            answer("vcf", "Vertebral compression fracture", met, "Named in the report.", (images, report), first),
            answer("level", "Level T1 to L5", met, "Level is within the table.", (images,), first),
            answer(
                "onset", "Acute or subacute by onset", unknown,
                "No onset date is given; images cannot tell the time since onset.", (chart,),
            ),
            answer(
                "pain", "Pain scale and conservative treatment", unknown, "Images and report do not say.", (chart,)
            ),
            answer(
                "loss", "More than 25 % height loss", met, "Height loss 32 ± 3.1 % on 2026-03-14.", (images,), first
            ),
        ),
        concordance=(
            ConcordanceFact(code="units", sentence="Units 1 equal the bodies billed, 1.", agrees=True),
            ConcordanceFact(code="region", sentence="22514 is billed for L1, a lumbar body.", agrees=True),
            ConcordanceFact(code="icd_level", sentence="M80.08XA names no level.", agrees=None),
        ),
        prompts=(Prompt(code="onset_date", sentence="Enter the date of onset or injury from the chart."),),
    )  # fmt: skip


def key_image(body: str = "L1", *, key: str = "one", seed: int = 1) -> KeyImage:
    """A picture of noise with a bright square."""
    plain = np.random.default_rng(seed).integers(20, 120, (240, 180), dtype=np.uint8)
    drawn = np.stack([plain] * 3, axis=-1)
    drawn[90:150, 60:120] = (255, 90, 80)
    return KeyImage(
        body=Vertebra[body],
        study_instance_uid=study_uid(key),
        source=FrameReference(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.4", sop_instance_uid=deterministic_uid("image", body, key)
        ),
        title="MR sagittal T2, slice 8 of 15",
        window=(12.0, 830.5),
        scale_bar_mm=20.0,
        plain=png(np.stack([plain] * 3, axis=-1)),
        overlay=png(drawn),
    )


def png(pixels: np.ndarray) -> bytes:
    """Pixels (row, column, 3) as a PNG file."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


SUPPORTED = (
    "The signed report of 2026-03-14 names an acute compression fracture at this body and marrow oedema on STIR."
)


def contents(**changes: object) -> PacketContents:
    """A claim for L1 that its report supports; any field can be changed."""
    values: dict[str, object] = {
        "claim": claim(),
        "evidence": evidence([("L1", Verdict.SUPPORTS, SUPPORTED)]),
        "reports": (read_report(*spoken("L1")),),
        "studies": (study_part([fracture("L1")]),),
        "images": (key_image(),),
        "created": CREATED,
        "software_version": "0.1.0",
    }
    return PacketContents(**(values | changes))  # type: ignore[arg-type]
