"""How often reviewers overrule the AI, and what has changed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from server.agreement import By, DriftWatch, agreement
from server.database import reading
from server.http.access import TheNode
from server.output_drift import WHAT_IT_TELLS, OutputWatch

router = APIRouter(prefix="/api/v1/statistics", tags=["statistics"])
Grouping = Annotated[list[By], Query(description="What to tell apart; repeat it.", max_length=len(By))]


@router.get("/agreement", summary="Disagreement of reviewers with the AI, with 95 % Wilson intervals.")
def agreement_of_reviews(node: TheNode, by: Grouping = [By.MODEL, By.VERSION, By.QUESTION]) -> dict[str, Any]:  # noqa: B006 - FastAPI copies it
    """The newest review of each study counts. Reviewers saw the AI's answer: agreement is not accuracy."""
    with reading(node.engine) as connection:
        groups = agreement(connection, list(dict.fromkeys(by)))
    return {"by": [name.value for name in dict.fromkeys(by)], "groups": groups}


@router.get("/drift", summary="Rates that are watched for change, for each model and question.")
def drift_of_reviews(node: TheNode, request: Request) -> dict[str, Any]:
    """A chart whose value reaches its limit is an alarm; a chart begins after the reference studies."""
    watch: DriftWatch = request.app.state.drift
    with reading(node.engine) as connection:
        found = watch(connection)
    return {
        "charts": [
            {
                "model": model,
                "version": version,
                "question": question,
                "signal": signal.value,
                **asdict(chart),
                "alarm": chart.is_alarm,
            }
            for model, version, question, signal, chart in found
        ]
    }


@router.get("/outputs", summary="What the models give, watched for shifts by model version, question and source.")
def drift_of_outputs(node: TheNode, request: Request) -> dict[str, Any]:
    """Of every study that was read; a value that reaches its limit is an alarm. See ``note`` for what it can tell."""
    watch: OutputWatch = request.app.state.outputs
    with reading(node.engine) as connection:
        found = watch(connection)
    return {
        "note": WHAT_IT_TELLS,
        "shifts": [{**one.watched._asdict(), **asdict(one.shift), "alarm": one.shift.is_alarm} for one in found],
    }
