"""The search index on both databases, where two want to read the same."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sqlalchemy import Engine, func, select

from dicom_node.dicomweb.held import Holdings
from dicom_node.dicomweb.index import SearchIndex
from dicom_node.spool import Spool
from dicom_node.tables import web_studies
from server.database import reading


def test_who_comes_second_finds_nothing_to_read_and_adds_nothing(engine: Engine, tmp_path: Path) -> None:
    index = SearchIndex(engine, Holdings(reading=partial(reading, engine), spool=Spool(tmp_path)))
    index._add([])
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(web_studies)).scalar_one() == 0
