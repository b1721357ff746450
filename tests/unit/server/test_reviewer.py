"""Who reviews: the person who is logged in, or on an open node the person that is named; never a machine or nobody."""

from __future__ import annotations

import pytest

from inference.findings import Reviewer
from inference.review import ReviewFault, ReviewRefusal
from server.auth.roles import LOOPBACK, NOBODY, Method, Principal, Role, person
from server.http.review_bodies import ReviewBody
from server.http.reviews import reviewer

NAMED = {"name": "Doe^Jane", "identifier": "jdoe", "organisation": "General Hospital"}
BODY = ReviewBody.model_validate({"revision": 1, "reviewer": NAMED})
SILENT = ReviewBody.model_validate({"revision": 1})
USER = person("anna", "Anna Berg", Role.RADIOLOGIST, Method.PASSWORD)
MACHINE = Principal(subject="key:1", display_name="archive", role=None, permissions=frozenset(), method=Method.KEY)


def test_the_user_who_is_logged_in_reviews_whatever_the_body_says() -> None:
    assert reviewer(USER, BODY, "Ours") == Reviewer(name="Anna Berg", identifier="anna", organisation="Ours")


def test_on_an_open_node_the_body_names_the_person() -> None:
    assert reviewer(LOOPBACK, BODY, "") == Reviewer(**NAMED)


@pytest.mark.parametrize(
    ("principal", "body", "organisation"),
    [(LOOPBACK, SILENT, "Ours"), (MACHINE, BODY, "Ours"), (NOBODY, BODY, "Ours"), (USER, BODY, "")],
)
def test_nobody_a_machine_and_an_unnamed_organisation_do_not_review(
    principal: Principal, body: ReviewBody, organisation: str
) -> None:
    with pytest.raises(ReviewRefusal) as refused:
        reviewer(principal, body, organisation)
    assert refused.value.fault is ReviewFault.REVIEWER
