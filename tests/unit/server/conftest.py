"""Databases and nodes for the tests of the server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from dbos import DBOSClient
from sqlalchemy import Engine

from builders.desk import Answering, Desk, Peer
from builders.peers import require_peers
from builders.postgres import PostgresCluster
from builders.web import web_client
from builders.workitems import Worklist, worklist
from dicom_node.delivery import Verdict
from dicom_node.spool import Spool
from server.compose import Node
from server.database import make_engine, prepare
from server.settings import Settings
from server.work_queue import make_client


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables, to be copied."""
    path = tmp_path_factory.mktemp("template") / "spine.sqlite"
    engine = make_engine(f"sqlite:///{path}")
    prepare(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """One real cluster for the session."""
    require_peers("postgresql")
    with PostgresCluster.started() as cluster:
        yield cluster


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a node in a folder of its own, that takes whatever disk there is."""

    def make(**values: Any) -> Settings:
        return Settings(
            **{
                "data_dir": tmp_path / "data",
                "dicom_host": "127.0.0.1",
                "dicom_port": 0,
                "http_port": 0,
                "disk_reserve_gib": 0.0,
                "disk_reserve_percent": 0.0,
            }
            | values
        )

    return make


@pytest.fixture
def node(settings: Callable[..., Settings], sqlite_template: Path) -> Iterator[Node]:
    """A node with empty tables on SQLite; nothing runs."""
    made = settings()
    made.data_dir.mkdir()
    shutil.copy(sqlite_template, made.data_dir / "spine.sqlite")
    engine = make_engine(made.resolved_database_url())
    yield Node(settings=made, engine=engine, spool=Spool(made.data_dir))
    engine.dispose()


@pytest.fixture
def with_settings(settings: Callable[..., Settings], node: Node) -> Callable[..., Node]:
    """The same node with other settings."""
    return lambda **values: Node(settings=settings(**values), engine=node.engine, spool=node.spool)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))])
def engine(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[Engine]:
    """Empty tables on SQLite, and then on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(sqlite_template, tmp_path / "spine.sqlite")
        made = make_engine(f"sqlite:///{tmp_path / 'spine.sqlite'}")
    else:
        url = request.getfixturevalue("postgres").new_database()
        made = make_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        prepare(made)
    yield made
    made.dispose()


@pytest.fixture
def database_node(engine: Engine, settings: Callable[..., Settings]) -> Node:
    """A node with empty tables on SQLite, and then on PostgreSQL; nothing runs."""
    made = settings()
    made.data_dir.mkdir(exist_ok=True)
    return Node(settings=made, engine=engine, spool=Spool(made.data_dir))


@pytest.fixture
def desk(node: Node) -> Iterator[Desk]:
    """The steps of the workflows on that node; its destination accepts everything."""
    client = make_client(node.engine)
    yield Desk(node, client, Peer({"sr": Verdict.ACCEPTED, "seg": Verdict.ACCEPTED}), Answering([]))
    client.destroy()


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    """A client of the node, which serves."""
    with web_client(node) as made:
        yield made


@pytest.fixture
def items(client: httpx.Client) -> Worklist:
    """The workitems of the node, over HTTP."""
    return worklist(client)


@pytest.fixture
def queue(node: Node) -> Iterator[DBOSClient]:
    """The work queue of the node."""
    made = make_client(node.engine)
    yield made
    made.destroy()
