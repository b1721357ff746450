"""A model bundle: a folder in MONAI's layout with weights, metadata and a model card.

    <name>/configs/metadata.json    what the network takes and gives, its training data, intended use, metrics
           models/model.onnx        the weights
           docs/README.md           the model card
           LICENSE

Only ``metadata.json`` is read, as data: MONAI's own config files can hold Python expressions; none is evaluated here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.errors import BundleRefusal
from inference.provenance import ModelIdentity

METADATA, WEIGHTS, CARD, LICENCE = "configs/metadata.json", "models/model.onnx", "docs/README.md", "LICENSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle whose metadata was read; its weights' digest is checked by ``verify``."""

    folder: Path
    identity: ModelIdentity
    detector: str
    """Name of the detector in models.registry that knows how to use the network."""
    spacing_mm: tuple[float, float]
    context_slices: int
    multiple_of: int
    labels: dict[str, str]
    metadata: dict[str, Any]

    @property
    def weights(self) -> Path:
        """The ONNX file."""
        return self.folder / WEIGHTS

    def verify(self) -> None:
        """Compare the weights with their digest; BundleRefusal when they differ or are missing."""
        if not self.weights.is_file():
            raise BundleRefusal(f"bundle {self.identity.name} has no {WEIGHTS}")
        digest = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        if digest != self.identity.sha256:
            raise BundleRefusal(
                f"bundle {self.identity.name}: the weights digest to {digest}, the metadata says {self.identity.sha256}"
            )


def read_bundle(folder: Path) -> Bundle:
    """The bundle in a folder; BundleRefusal names what is missing or wrong."""
    missing = [part for part in (METADATA, WEIGHTS, CARD, LICENCE) if not (folder / part).is_file()]
    if missing:
        raise BundleRefusal(f"bundle {folder.name} lacks {', '.join(missing)}")
    try:
        metadata = json.loads((folder / METADATA).read_text("utf-8"))
        spine = metadata["spine"]
        bundle = Bundle(
            folder=folder,
            identity=ModelIdentity(
                name=spine["name"],
                version=metadata["version"],
                sha256=spine["sha256"],
                training_data=spine["training_data"],
            ),
            detector=spine.get("detector", spine["name"]),
            spacing_mm=(float(spine["spacing_mm"][0]), float(spine["spacing_mm"][1])),
            context_slices=int(spine["context_slices"]),
            multiple_of=int(spine["multiple_of"]),
            labels=dict(spine["labels"]),
            metadata=metadata,
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BundleRefusal(
            f"bundle {folder.name}: {METADATA} is not usable ({type(error).__name__}: {error})"
        ) from error
    if bundle.context_slices % 2 == 0 or min(bundle.spacing_mm) <= 0 or bundle.multiple_of < 1:
        raise BundleRefusal(
            f"bundle {folder.name}: context_slices must be odd, spacing_mm and multiple_of positive, got "
            f"{bundle.context_slices}, {bundle.spacing_mm}, {bundle.multiple_of}"
        )
    return bundle
