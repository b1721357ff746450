from __future__ import annotations

import pytest
from sqlalchemy import Engine, insert, update

from server.fence import Overtaken, take_up
from server.tables import delivery_chains

ROW = (delivery_chains.c.study_instance_uid == "1.2", delivery_chains.c.generation == 1)


def test_whoever_took_work_up_last_has_it(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(delivery_chains).values(study_instance_uid="1.2", revision=1, destination="PACS"))
        first = take_up(connection, delivery_chains, *ROW)
        assert first is not None
        first.check(connection)
        second = take_up(connection, delivery_chains, *ROW)
    assert second is not None

    assert second.token > first.token
    with engine.begin() as connection:
        second.check(connection)
        with pytest.raises(Overtaken, match="another"):
            first.check(connection)


def test_what_a_person_began_anew_is_not_taken_up_any_more(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(delivery_chains).values(study_instance_uid="1.2", revision=1, destination="PACS"))
        taken = take_up(connection, delivery_chains, *ROW)
        assert taken is not None
        connection.execute(update(delivery_chains).values(generation=2))

        with pytest.raises(Overtaken):
            taken.check(connection)
        assert take_up(connection, delivery_chains, *ROW) is None
