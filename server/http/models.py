"""The installed models."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from models.installed import list_bundles
from server.http.access import TheNode

router = APIRouter(prefix="/api/v1/models", tags=["models"])


@router.get("", summary="The installed model bundles.")
def list_models(node: TheNode) -> dict[str, Any]:
    """Name, version, digest and training data of each; a bundle that cannot be read makes this a problem."""
    bundles = list_bundles(node.settings.site_bundles)
    return {
        "models": [
            {
                "name": bundle.identity.name,
                "version": bundle.identity.version,
                "sha256": bundle.identity.sha256,
                "training_data": bundle.identity.training_data,
                "metadata": bundle.metadata,
            }
            for bundle in bundles
        ]
    }
