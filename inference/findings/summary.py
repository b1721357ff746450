"""Findings in words for a person: a question in one line, a measurement, what a probability was calibrated on."""

from __future__ import annotations

from inference.findings.assessment import Absent, NotAssessed, Present
from inference.findings.document import StudyFindings
from inference.findings.finding import Calibration, Measurement, Question

NAMES: dict[Question, str] = {
    Question.COMPRESSION_FRACTURE: "compression fracture",
    Question.MODIC: "Modic change",
    Question.STENOSIS: "canal stenosis",
    Question.NEEDLE_PLACEMENT: "needle placement",
    Question.HARDWARE_LOOSENING: "hardware loosening",
    Question.DISC_DEGENERATION: "disc degeneration",
    Question.SPONDYLOLISTHESIS: "spondylolisthesis",
    Question.DISC_NARROWING: "disc narrowing",
    Question.DISC_BULGING: "disc bulging",
    Question.DISC_HERNIATION: "disc herniation",
    Question.ENDPLATE_CHANGE: "endplate change",
}
FORAMINAL = "foraminal narrowing"
"""What stenosis is called at a foramen."""
GRADE_WORDS: dict[str, str] = {
    "genant": "Genant",
    "meyerding": "Meyerding",
    "modic": "type",
    "pfirrmann": "Pfirrmann",
    "canal_narrowing": "narrowing",
    "sac_narrowing": "narrowing",
}
"""Scales whose value says nothing without their name."""
CALIBRATIONS: dict[Calibration, str] = {
    Calibration.REAL: "calibrated on patients",
    Calibration.SYNTHETIC: "calibrated on generated cases",
    Calibration.NONE: "not calibrated",
}


def summarise(question: Question, findings: StudyFindings) -> str:
    """One line for a question: where it is present, where absent, or why it was not assessed; without foramina."""
    answers = [finding for finding in findings.of(question) if finding.site.region is None]
    present = [f.site.level or "study" for f in answers if isinstance(f.assessment, Present)]
    absent = [f for f in answers if isinstance(f.assessment, Absent)]
    refused = [f.assessment for f in answers if isinstance(f.assessment, NotAssessed)]
    parts = [f"present at {', '.join(present)}"] if present else []
    parts += [f"absent at {len(absent)} level{'s' if len(absent) != 1 else ''}"] if absent else []
    if refused:
        where = f" at {len(refused)} of {len(answers)}" if len(answers) > 1 else ""
        parts.append(f"not assessed{where}: {refused[0].sentence}")
    return f"{NAMES[question].capitalize()}: {'; '.join(parts) or 'no answer'}"


def describe_measurement(measured: Measurement) -> str:
    """``anterior height 21.3 ± 0.4 mm``."""
    spread = f" ± {measured.uncertainty:.2g}" if measured.uncertainty is not None else ""
    unit = measured.unit if measured.unit != "1" else ""
    return f"{measured.name.replace('_', ' ')} {measured.value:.4g}{spread} {unit}".strip()
