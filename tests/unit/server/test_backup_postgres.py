"""A PostgreSQL database that is named by several hosts, dumped while a snapshot stands, and filled from the dump."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from builders.peers import LOOPBACK, free_tcp_port
from builders.postgres import SUPERUSER, PostgresCluster
from inference.errors import UsageRefusal
from server.backup.engines import put_postgres, require_empty, taken_snapshot
from server.database import is_current, make_engine, prepare
from server.tables import delivery_chains

pytestmark = pytest.mark.peer("postgresql")


def several_hosts(cluster: PostgresCluster) -> str:
    """The URL of an empty database of which the first host does not answer."""
    database = cluster.new_database().rpartition("/")[2]
    hosts = f"host={LOOPBACK}:{free_tcp_port()}&host={LOOPBACK}:{cluster.port}&target_session_attrs=read-write"
    return f"postgresql+psycopg://{SUPERUSER}@/{database}?{hosts}"


def test_it_is_dumped_and_restored(postgres: PostgresCluster, tmp_path: Path) -> None:
    source, target = make_engine(several_hosts(postgres)), make_engine(several_hosts(postgres))
    prepare(source)
    with source.begin() as connection:
        connection.execute(insert(delivery_chains).values(study_instance_uid="1.2", revision=1, destination="PACS"))

    with taken_snapshot(source, tmp_path) as (snapshot, name):
        assert snapshot.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == "0"
    require_empty(target)
    put_postgres(target, tmp_path / name)

    assert is_current(target)
    with target.connect() as connection:
        assert connection.execute(select(delivery_chains.c.study_instance_uid)).scalar_one() == "1.2"
    with pytest.raises(UsageRefusal, match=r"target_session_attrs=read-write holds \d+ tables"):
        require_empty(target)
    for engine in (source, target):
        engine.dispose()
