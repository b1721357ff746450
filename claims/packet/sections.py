"""The rest of the summary's first part: what is asked for, the criteria, the chart, the codes, studies and models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reportlab.platypus import Flowable, Paragraph, Table, TableStyle

from claims.evidence import ClaimEvidence, CriterionAnswer, Source
from claims.packet.contents import PacketContents, StudyPart
from claims.packet.layout import HEADING, RULE, SHADE, SMALL, WIDTH, paragraph
from claims.packet.typeface import BODY
from claims.packet.words import STATES, Marked, day, moment, person_name, signature
from inference.anatomy import Vertebra
from inference.provenance import ModelIdentity

AGREES = {
    True: Marked(mark="✔", words="agrees"),
    False: Marked(mark="✖", words="differs"),
    None: Marked(mark="?", words="cannot be told"),
}


def sections(contents: PacketContents) -> Iterator[Flowable]:
    """Every section that has something to say."""
    evidence = contents.evidence
    yield from _listed("Asked of a person", [[_where(p.body), p.sentence] for p in evidence.prompts], (0.1, 0.9))
    from_chart = [answer for answer in evidence.criteria if Source.CHART in answer.answered_by]
    others = [answer for answer in evidence.criteria if Source.CHART not in answer.answered_by]
    policy = ", ".join((f"policy {evidence.policy}, version {evidence.policy_version}", *evidence.policy_documents))
    yield from _criteria(f"Criteria answered by images and report ({policy})", others)
    yield from _criteria("From the chart: images and report cannot answer these alone", from_chart)
    yield from _concordance(evidence)
    yield from _studies(contents)
    yield from _reports(contents)
    yield from _models(contents)


def _criteria(title: str, answers: Sequence[CriterionAnswer]) -> Iterator[Flowable]:
    rows = [[_where(a.body), a.title, _marked(STATES[a.state]), a.sentence, _sources(a)] for a in answers]
    heads = ("Body", "Criterion", "Answer", "Why", "Answered by")
    yield from _listed(title, rows, (0.07, 0.25, 0.15, 0.39, 0.14), heads)


def _concordance(evidence: ClaimEvidence) -> Iterator[Flowable]:
    rows = [[_marked(AGREES[fact.agrees]), fact.sentence] for fact in evidence.concordance]
    yield from _listed("Codes, levels and units: facts only", rows, (0.18, 0.82))


def _studies(contents: PacketContents) -> Iterator[Flowable]:
    rows = [
        [
            day(study.study_date),
            study.description,
            person_name(study.patient_name),
            study.findings.numbering.note,
            _reviewed(study),
        ]
        for study in contents.studies
    ]
    heads = ("Date", "Images", "Patient as in the study", "Level numbering", "AI findings reviewed by")
    yield from _listed("Studies", rows, (0.1, 0.18, 0.22, 0.28, 0.22), heads)


def _reviewed(study: StudyPart) -> str:
    review = study.findings.review
    if review is None:
        return "nobody yet"
    return f"{review.reviewer.display_name}, {review.reviewer.organisation}, {moment(review.reviewed_at)}"


def _reports(contents: PacketContents) -> Iterator[Flowable]:
    rows = [
        [day(read.report.study_date), read.report.id, signature(read.report), read.report.sha256]
        for read in contents.reports
    ]
    yield from _listed("Reports", rows, (0.1, 0.14, 0.28, 0.48), ("Study date", "Number", "Signature", "SHA-256"))


def _models(contents: PacketContents) -> Iterator[Flowable]:
    models: dict[tuple[str, str, str], ModelIdentity] = {
        (model.name, model.version, model.sha256): model
        for study in contents.studies
        for model in study.findings.models
    }
    rows = [[m.name, m.version, m.sha256, m.training_data] for m in models.values()]
    rows.append(["software", contents.software_version, f"assembled {moment(contents.created)}", ""])
    heads = ("Model", "Version", "SHA-256 of the weights", "Trained on")
    yield from _listed("Models and software", rows, (0.2, 0.08, 0.48, 0.24), heads)


def _where(body: Vertebra | None) -> str:
    return "claim" if body is None else body.name


def _marked(state: Marked) -> str:
    return f"{state.mark} {state.words}"


def _sources(answer: CriterionAnswer) -> str:
    return ", ".join(source.value for source in answer.answered_by)


def _listed(
    title: str, rows: Sequence[Sequence[str]], shares: Sequence[float], heads: Sequence[str] = ()
) -> Iterator[Flowable]:
    """A heading and a table, or nothing where there are no rows."""
    if not rows:
        return
    yield paragraph(title, HEADING, bold=True)
    yield table([list(heads)] * bool(heads) + [list(row) for row in rows], shares, has_head=bool(heads))


def table(rows: Sequence[Sequence[str]], shares: Sequence[float], *, has_head: bool) -> Table:
    """A table of texts that may break across pages; its head is said again on each.

    Args:
        rows: The texts; the first row is the head, if there is one.
        shares: Of the width, for each column; they add up to 1.
        has_head: Whether there is one.
    """
    cells = [[_cell(text, is_head=has_head and not number) for text in row] for number, row in enumerate(rows)]
    style = [
        ("FONTNAME", (0, 0), (-1, -1), BODY),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE),
        ("LINEABOVE", (0, 0), (-1, 0), 0.6, RULE),
        ("LEFTPADDING", (0, 0), (-1, -1), 2),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    if has_head:
        style.append(("BACKGROUND", (0, 0), (-1, 0), SHADE))
    widths = [share * WIDTH for share in shares]
    return Table(cells, colWidths=widths, repeatRows=int(has_head), style=TableStyle(style))


def _cell(text: str, *, is_head: bool) -> Paragraph:
    return paragraph(text, SMALL, bold=is_head)
