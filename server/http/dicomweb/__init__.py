"""``/dicom-web``: QIDO-RS, WADO-RS and STOW-RS (PS3.18) for viewers and archives."""

from __future__ import annotations

from fastapi import APIRouter

from server.http.dicomweb import frames, rendered, retrieve, search, store

PREFIX = "/dicom-web"

router = APIRouter(prefix=PREFIX, tags=["dicomweb"])
for part in (frames, retrieve, search, rendered, store):  # what is asked for most is looked up first
    router.include_router(part.router)
