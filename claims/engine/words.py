"""How the engine says things to a coder: pointers with their quotes, and short lists of levels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from claims.engine.material import Said
from claims.evidence import Pointer, PointerKind
from claims.report import Topic
from claims.study import Study
from inference.anatomy import Vertebra
from inference.findings import Finding, Measurement, StudyFindings

TOPICS: Mapping[Topic, str] = {
    Topic.FRACTURE: "a fracture",
    Topic.EDEMA: "marrow oedema",
    Topic.RETROPULSION: "retropulsion",
    Topic.OTHER_CAUSE: "another cause",
    Topic.AUGMENTED: "an earlier augmentation",
    Topic.TRANSITIONAL: "transitional anatomy",
    Topic.MODIC: "Modic change",
    Topic.HARDWARE: "a fault of hardware or fusion",
    Topic.NEEDLE: "the final needle position",
    Topic.CONTRAST: "where the contrast went",
    Topic.IMAGES: "images that were kept",
}

MODALITIES: Mapping[str, str] = {"MR": "MRI", "NM": "bone scan or SPECT", "PT": "PET"}
"""What a coder calls them (PS3.3 C.7.3.1.1.1)."""


def levels(bodies: Iterable[Vertebra]) -> str:
    """``L1``, ``L1 and L3``, ``T12, L1 and L3``."""
    *first, last = [body.name for body in bodies]
    return f"{', '.join(first)} and {last}" if first else last


def place(body: Vertebra | None) -> str:
    """``L1``, or ``the treated body`` where the claim names none."""
    return "the treated body" if body is None else body.name


def kind_words(topic: Topic, kinds: Sequence[str], joint: str = "or") -> str:
    """``type 1 or 2`` of Modic change; of hardware its faults."""
    words = f" {joint} ".join(kinds)
    return f"type {words}" if topic is Topic.MODIC else words


def quotes(said: Iterable[Said]) -> tuple[Pointer, ...]:
    """The sentences that statements rest on, each once."""
    found = {
        (one.report.read.report.id, one.statement.quote.start): Pointer(
            kind=PointerKind.SENTENCE,
            reference=one.report.read.report.id,
            text=f"\u201c{one.statement.quote.text.strip()}\u201d ({one.statement.quote.section.value} of "
            f"{one.report.words})",
        )
        for one in said
    }
    return tuple(found.values())


def study_pointer(study: Study) -> Pointer:
    """The study itself."""
    day = f"of {study.date}" if study.date else "without a date"
    return Pointer(kind=PointerKind.STUDY, reference=study.uid, text=f"{study.modality} study {day}")


def finding_pointers(finding: Finding, document: StudyFindings, study: Study) -> tuple[Pointer, ...]:
    """The finding's SR item, and the first image that it is marked on."""
    said = f"{standing_of(document)}: {finding.question.value.replace('_', ' ')} at {finding.site.level}"
    item = Pointer(
        kind=PointerKind.SR_ITEM, reference=finding.id, text=f"{said}, {answer(finding)} ({study_pointer(study).text})"
    )
    images = tuple(
        Pointer(kind=PointerKind.INSTANCE, reference=e.source.sop_instance_uid, text=f"image of {finding.site.level}")
        for e in finding.evidence[:1]
    )
    return (item, *images)


def standing_of(document: StudyFindings) -> str:
    """Who answers for a document of findings."""
    return "AI finding, not reviewed" if document.review is None else "AI finding, reviewed by a physician"


def answer(finding: Finding) -> str:
    """``present``, ``absent`` or ``not assessed``."""
    return {"Present": "present", "Absent": "absent"}.get(type(finding.assessment).__name__, "not assessed")


def measurement_pointer(measurement: Measurement, finding: Finding, document: StudyFindings, study: Study) -> Pointer:
    """A number with its unit, uncertainty, method and date."""
    return Pointer(
        kind=PointerKind.MEASUREMENT,
        reference=finding.id,
        text=f"{measured_words(measurement)} at {finding.site.level}, {measurement.method}; "
        f"{study_pointer(study).text}; {standing_of(document)}",
    )


def measured_words(measurement: Measurement) -> str:
    """``height loss 31.0 +/- 4.0 %``."""
    spread = "" if measurement.uncertainty is None else f" \u00b1 {measurement.uncertainty:g}"
    return f"{measurement.name.replace('_', ' ')} {measurement.value:g}{spread} {measurement.unit}"
