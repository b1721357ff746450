"""The minimum necessary of a study's findings for one claim."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from inference.anatomy import Vertebra
from inference.findings import Question, StudyFindings

ASKED = frozenset({Question.COMPRESSION_FRACTURE})
"""Questions that a claim for vertebral augmentation turns on; their findings carry heights, oedema and retropulsion."""


def necessary_findings(findings: StudyFindings, bodies: Iterable[Vertebra]) -> StudyFindings:
    """The findings of these bodies that a claim needs, with the series and models they come from and the numbering.

    Args:
        findings: Of the whole study.
        bodies: That the claim bills.
    """
    levels = {body.name for body in bodies}
    kept = tuple(f for f in findings.findings if f.question in ASKED and f.site.level in levels)
    names = {finding.model for finding in kept}
    models = tuple(model for model in findings.models if model.name in names)
    readers = names | {str(question) for question in ASKED}
    series = tuple(s for s in findings.series if readers.intersection(s.used_by))
    return replace(findings, findings=kept, models=models, series=series)
