from __future__ import annotations

import time
from pathlib import Path

import pytest
from dbos import DBOS, _dbos, _sys_db
from sqlalchemy import Engine, select, update

from inference.errors import UsageRefusal
from server.lease import Lease, LeaseLost, take_slot
from server.tables import executor_lease


def ended() -> None:
    """In place of the end of the process."""


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
    lease = Lease(engine, slot, ttl=30, beat=5, on_lost=ended)
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
        lease.lock(connection)
        connection.execute(update(executor_lease).values(dead=True))

    for ask in (lease.beat, lease.assure):
        with pytest.raises(LeaseLost, match="another"):
            ask()
    with pytest.raises(LeaseLost), engine.begin() as connection:
        lease.lock(connection)

    assert lost == [True] * 3
    slot.file.close()


def test_one_that_was_stopped_between_question_and_answer_asks_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = take_slot(0, tmp_path)
    lease = Lease(engine, slot, ttl=30, beat=5, on_lost=ended)
    clock = iter([0.0, 40.0, 40.1, 40.2, 40.3])  # asked at 0 s, answered 40 s later
    monkeypatch.setattr("server.lease.boot_clock", lambda: next(clock))

    lease.assure()

    assert list(clock) == [40.3]
    slot.file.close()


def test_nobody_is_declared_dead_by_one_that_was_out_of_touch_itself(engine: Engine, tmp_path: Path) -> None:
    silent, slot = take_slot(0, tmp_path), take_slot(1, tmp_path)
    Lease(engine, silent, ttl=30, beat=5, on_lost=ended)
    lease = Lease(engine, slot, ttl=0.5, beat=0.1, on_lost=ended)
    with engine.begin() as connection:
        old = executor_lease.c.executor_id == silent.executor_id
        connection.execute(update(executor_lease).where(old).values(last_seen=0.0))

    assert lease._bury()[0] == set()  # it has only begun
    for _ in range(4):
        time.sleep(0.15)
        lease.beat()
    assert lease._bury()[0] == {silent.executor_id}
    for one in (silent, slot):
        one.file.close()


def test_the_database_keeps_one_that_publishes_alive(engine: Engine, tmp_path: Path) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("on SQLite a transaction that writes is alone")
    publishing, slot = take_slot(0, tmp_path), take_slot(1, tmp_path)
    publisher = Lease(engine, publishing, ttl=0.1, beat=0.01, on_lost=ended)
    lease = Lease(engine, slot, ttl=0.1, beat=0.01, on_lost=ended)
    time.sleep(0.2)

    with engine.begin() as connection:
        publisher.lock(connection)
        assert lease._bury()[0] == set()
    assert lease._bury()[0] == {publishing.executor_id}
    for one in (publishing, slot):
        one.file.close()


def test_a_lease_that_was_not_renewed_is_not_held(engine: Engine, tmp_path: Path) -> None:
    slot = take_slot(0, tmp_path)
    lease = Lease(engine, slot, ttl=0.1, beat=0.01, on_lost=ended)

    time.sleep(0.1)

    assert not lease.held()
    slot.file.close()


def test_a_new_holder_of_a_slot_declares_the_former_one_dead_and_no_other(engine: Engine, tmp_path: Path) -> None:
    first, other = take_slot(0, tmp_path), take_slot(1, tmp_path)
    Lease(engine, first, ttl=30, beat=5, on_lost=ended)
    Lease(engine, other, ttl=30, beat=5, on_lost=ended)
    first.file.close()
    second = take_slot(0, tmp_path)

    Lease(engine, second, ttl=30, beat=5, on_lost=ended)

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
