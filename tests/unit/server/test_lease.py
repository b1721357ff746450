from __future__ import annotations

import time
from pathlib import Path

import pytest
from dbos import DBOS, _dbos, _sys_db
from sqlalchemy import Engine, select, update

from inference.errors import UsageRefusal
from server.lease import Lease, take_slot
from server.tables import executor_lease


def test_a_slot_is_held_once_and_free_again_after_its_holder(tmp_path: Path) -> None:
    slot = take_slot(0, tmp_path)

    with pytest.raises(UsageRefusal, match="slot 0"):
        take_slot(0, tmp_path)
    take_slot(1, tmp_path).file.close()
    slot.file.close()
    again = take_slot(0, tmp_path)
    again.file.close()

    assert again.executor_id != slot.executor_id
    assert again.prefix == slot.prefix


def test_a_beat_renews_by_the_clock_of_the_database(engine: Engine, tmp_path: Path) -> None:
    slot = take_slot(0, tmp_path)
    lease = Lease(engine, slot, ttl=30, beat=5)
    with engine.begin() as connection:
        connection.execute(update(executor_lease).values(last_seen=0.0))

    lease.beat()

    with engine.connect() as connection:
        seen = connection.execute(select(executor_lease.c.last_seen)).scalar_one()
    assert abs(seen - time.time()) < 60
    assert lease.held()
    slot.file.close()


def test_one_that_was_declared_dead_is_told(engine: Engine, tmp_path: Path) -> None:
    lost: list[bool] = []
    slot = take_slot(0, tmp_path)
    lease = Lease(engine, slot, ttl=30, beat=5, on_lost=lambda: lost.append(True))
    with engine.begin() as connection:
        connection.execute(update(executor_lease).values(dead=True))

    lease.beat()

    assert lost == [True]
    slot.file.close()


def test_a_lease_that_was_not_renewed_is_not_held(engine: Engine, tmp_path: Path) -> None:
    slot = take_slot(0, tmp_path)
    lease = Lease(engine, slot, ttl=0.1, beat=0.01)

    time.sleep(0.1)

    assert not lease.held()
    slot.file.close()


def test_a_new_holder_of_a_slot_declares_the_former_one_dead_and_no_other(engine: Engine, tmp_path: Path) -> None:
    first, other = take_slot(0, tmp_path), take_slot(1, tmp_path)
    Lease(engine, first, ttl=30, beat=5)
    Lease(engine, other, ttl=30, beat=5)
    first.file.close()
    second = take_slot(0, tmp_path)

    Lease(engine, second, ttl=30, beat=5)

    with engine.connect() as connection:
        dead = dict(connection.execute(select(executor_lease.c.executor_id, executor_lease.c.dead)).all())
    assert dead == {first.executor_id: True, other.executor_id: False, second.executor_id: False}
    for slot in (other, second):
        slot.file.close()


def test_the_private_names_that_takeover_needs_are_in_this_dbos() -> None:
    assert callable(DBOS._recover_pending_workflows)
    assert callable(_dbos._get_dbos_instance)
    assert callable(_sys_db.SystemDatabase.reenqueue_for_recovery)
    assert callable(_dbos.ActiveWorkflowById().activeList)
