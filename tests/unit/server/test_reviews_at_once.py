"""Several reviews of one study at the same moment, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import Engine

from builders.dicom import SeriesPlan, small_voxels
from builders.reviews import REVIEWER, add_reviewable_study, review_steps
from dicom_node.results import results_of
from dicom_node.spool import Spool
from inference.review import Review
from server.compose import Node
from server.reviews import Request, record_review
from server.settings import Settings
from server.work_queue import make_client

PLAN = SeriesPlan(voxels=small_voxels(5), pixel_spacing_mm=(1.5, 0.75))


def test_two_at_once_are_two_and_one_twice_is_one(
    engine: Engine, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    made = settings()
    node = Node(settings=made, engine=engine, spool=Spool(made.data_dir))
    client = make_client(engine)
    add_reviewable_study(node, client, tmp_path / "series", PLAN)

    def post(key: str) -> tuple[int, bool]:
        request = Request(
            study_instance_uid=PLAN.study_instance_uid,
            revision=1,
            review=Review(accept_rest=True),
            reviewer=REVIEWER,
            key=key,
            document="{}",
        )
        row, is_new = record_review(node, client, request)
        return int(row.number), is_new

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(post, ["a", "b", "a", "b"]))

    assert sorted(number for number, is_new in answers if is_new) == [1, 2]
    assert answers[0][0] == answers[2][0]
    assert answers[1][0] == answers[3][0]
    steps = review_steps(node, client)
    for number in (1, 2):
        outcome = steps.make(PLAN.study_instance_uid, number, 1, 0)
        assert steps.record(PLAN.study_instance_uid, number, outcome) == {"state": "done"}
    with engine.connect() as connection:
        roles = [record.role for record in results_of(connection, PLAN.study_instance_uid)]
    assert roles == ["sr", *["verified_sr"] * 2, *["verified_text"] * 2]
    client.destroy()
