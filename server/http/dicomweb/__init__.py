"""``/dicom-web``: QIDO-RS, WADO-RS and STOW-RS (PS3.18) for viewers and archives."""

from __future__ import annotations

from fastapi import APIRouter

from server.http.dicomweb import frames, rendered, retrieve, search, store

PREFIX = "/dicom-web"

router = APIRouter(prefix=PREFIX, tags=["dicomweb"])
for part in (search, retrieve, frames, rendered, store):
    router.include_router(part.router)
