"""Tables of the page on claims: verdicts, and every criteria table with its limits and how sure they are."""

from __future__ import annotations

from claims.criteria import CriteriaTable, load_catalogue
from claims.criteria.table import Criterion
from claims.evidence import Verdict
from docs.blocks.markdown import table
from docs.blocks.sentences import member_sentences

_COMMON = {"id", "title", "answered_by", "source", "certainty", "prompt", "rule"}


def verdicts() -> str:
    """Every verdict, worst first."""
    sentences = member_sentences(Verdict)
    return table(("verdict", "meaning"), [(f"`{verdict.value}`", sentences[verdict.name]) for verdict in Verdict])


def criteria() -> str:
    """Every criteria table that comes with the node."""
    return "\n\n".join(_policy(one) for one in load_catalogue().tables)


def _policy(policy: CriteriaTable) -> str:
    payers = f"payer id {', '.join(policy.payers)}" if policy.payers else "by name only"
    days = f"services from {policy.effective_from}"
    head = f"**`{policy.id}`**, version {policy.version}, {payers}, {days}: {policy.title}."
    rows = [
        (one.title, f"`{one.rule}`", _limits(one), ", ".join(one.answered_by), one.certainty.value)
        for one in policy.criteria
    ]
    columns = ("criterion", "rule", "limits", "answered by", "certainty")
    return f"{head} Source: {policy.source}\n\n{table(columns, rows)}"


def _limits(criterion: Criterion) -> str:
    limits = criterion.model_dump(mode="json", exclude=_COMMON, exclude_none=True, exclude_defaults=True)
    for name in ("first", "last"):
        if name in limits:
            limits[name] = getattr(criterion, name).name
    return ", ".join(f"{name} {' '.join(v) if isinstance(v, list) else v}" for name, v in limits.items())
