"""What a signed radiology report says, statement by statement, each with the sentence that says it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from inference.anatomy import Laterality, Vertebra
from inference.errors import Refusal


class ReportRefusal(Refusal):
    """A report cannot be read."""


class Section(StrEnum):
    """Part of a report; what history and comparison name is no finding of this study."""

    HISTORY = "history"
    TECHNIQUE = "technique"
    COMPARISON = "comparison"
    FINDINGS = "findings"
    IMPRESSION = "impression"
    ADDENDUM = "addendum"
    UNKNOWN = "unknown"


class Topic(StrEnum):
    """What a statement is about."""

    FRACTURE = "fracture"
    """Compression fracture, also height loss or deformity called a fracture."""
    EDEMA = "edema"
    """Marrow oedema of the body, or uptake on bone scan or SPECT."""
    RETROPULSION = "retropulsion"
    OTHER_CAUSE = "other_cause"
    """Oedema or collapse explained by something else: metastasis, infection, Schmorl's node, Modic 1, augmentation."""
    AUGMENTED = "augmented"
    """Cement or earlier augmentation at the body."""
    TRANSITIONAL = "transitional"
    """Numbering is uncertain; level None."""
    MODIC = "modic"
    """Modic change at an endplate of the body; ``kinds`` are its types."""
    HARDWARE = "hardware"
    """Loosening, breakage or displacement of hardware at the body, or a fusion that did not heal."""
    NEEDLE = "needle"
    """Images showed the final position of a needle, cannula or electrode at the body, by the procedure's report."""
    CONTRAST = "contrast"
    """Where the contrast agent went was seen; level None where the sentence names none."""
    IMAGES = "images"
    """Images of the procedure were kept."""


OF_PROCEDURES = frozenset({Topic.NEEDLE, Topic.CONTRAST, Topic.IMAGES})
"""What the note of a procedure says."""


class Polarity(StrEnum):
    """Three answers, never two."""

    AFFIRMED = "affirmed"
    NEGATED = "negated"
    UNCERTAIN = "uncertain"
    """Hedged, indeterminate, or not understood: a person must read the sentence."""


class Acuity(StrEnum):
    """How old a report calls a fracture."""

    ACUTE = "acute"
    SUBACUTE = "subacute"
    CHRONIC = "chronic"
    INDETERMINATE = "indeterminate"
    UNSTATED = "unstated"


class SignedState(StrEnum):
    """Whether a radiologist stands by the report."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    """Preliminary, draft or dictated but not read."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The sentence that a statement rests on, so that a person can check it."""

    text: str
    section: Section
    start: int
    """Offset of its first character in the report's text."""
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One thing said of one vertebral body."""

    level: Vertebra | None
    """None: of no level that the sentence names."""
    topic: Topic
    polarity: Polarity
    acuity: Acuity = Acuity.UNSTATED
    """Of a fracture."""
    quote: Quote
    superseded: bool = False
    """True where an addendum reverses it; the addendum's own statement stands."""
    kinds: tuple[str, ...] = ()
    """Modic types ``1``, ``2``, ``3``; of hardware ``loosening``, ``breakage``, ``displacement``, ``nonunion``."""
    side: Laterality | None = None
    """Of the body, where the words beside it name one; None: not said."""
    note: str | None = None
    """Why it is uncertain, in one sentence for a coder."""

    @property
    def is_of_study(self) -> bool:
        """Whether it is of what is reported, not of history or comparison; a procedure is told in its technique too."""
        if self.quote.section is Section.TECHNIQUE:
            return self.topic in OF_PROCEDURES
        return self.quote.section not in (Section.HISTORY, Section.COMPARISON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report as it came, with what identifies it; text is what a person would read."""

    id: str
    """Accession or document number; never shown in logs."""
    text: str
    sha256: str
    """Of the bytes as received."""
    format: str
    """``text``, ``pdf``, ``hl7v2``, ``fhir`` or ``dicom-sr``."""
    signed: SignedState
    signed_by: str | None = None
    signed_at: datetime | None = None
    study_date: date | None = None
    study_instance_uid: str | None = None
    modality: str | None = None
    """``MR``, ``CT``, ``NM`` ... where the report's header or text says so."""
    patient_identifiers: tuple[tuple[str, str], ...] = ()
    """``("medical_record_number", value)``, ``("birth_date", "1950-01-31")`` ... as far as the format carries them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadReport:
    """A report and what it says."""

    report: Report
    statements: tuple[Statement, ...]
    """In the order of the text."""
