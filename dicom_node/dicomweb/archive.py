"""Everything that DICOMweb serves from one database and one spool."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from dicom_node.dicomweb.held import Holdings, Reading
from dicom_node.dicomweb.index import SearchIndex
from dicom_node.dicomweb.search import Search
from dicom_node.spool import Spool


@dataclass(frozen=True, slots=True, kw_only=True)
class WebArchive:
    """What was received and made, searchable and retrievable."""

    holdings: Holdings
    index: SearchIndex
    search: Search


def open_archive(engine: Engine, spool: Spool, reading: Reading) -> WebArchive:
    """The archive over these; nothing is read yet."""
    holdings = Holdings(reading=reading, spool=spool)
    index = SearchIndex(engine, holdings)
    return WebArchive(holdings=holdings, index=index, search=Search(index=index, holdings=holdings))
