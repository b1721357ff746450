"""The 2.5-D network that segments one sagittal MR slice with its neighbours as context.

Words: an *image* is `[batch, context, row, column]`: five neighbouring sagittal slices as channels, the middle one
being the slice that is segmented; rows run head to foot, columns anterior to posterior, 0.46875 mm a pixel. *Logits*
are `[batch, class, row, column]` on the same grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from monai.networks.nets import DynUNet
from torch import Tensor, nn
from torch.nn import functional

CLASS_NAMES = ("background", "vertebra", "disc", "spinal canal")
CONTEXT_SLICES = 5
SPACING_MM = 0.46875


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Sizes of the network; the defaults are what ships."""

    # Widths in multiples of 16 fill an AVX-512 register; 24 costs a CPU as much as 32 (measured).
    filters: tuple[int, ...] = (16, 32, 64, 128, 192, 256)
    # The stem folds 2 x 2 pixels into channels: convolutions at half resolution, a quarter of the work, no detail lost.
    fold: int = 2
    context_slices: int = CONTEXT_SLICES
    classes: int = len(CLASS_NAMES)

    def __post_init__(self) -> None:
        if len(self.filters) <= 1 or self.fold < 1 or self.context_slices % 2 == 0:
            message = f"need 2 or more levels, a fold of 1 or more and an odd number of slices, got {self}"
            raise ValueError(message)

    @property
    def multiple_of(self) -> int:
        """The number of pixels that rows and columns of the input must be a multiple of."""
        return int(self.fold * 2 ** (len(self.filters) - 1))


class SagittalSegmenter(nn.Module):  # type: ignore[misc] # torch's types are not read, see pyproject.toml
    """A U-Net (MONAI DynUNet) between a pixel-unshuffle stem and a pixel-shuffle head."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        levels = len(self.config.filters)
        folded = self.config.fold**2
        self.body = DynUNet(
            spatial_dims=2,
            in_channels=self.config.context_slices * folded,
            out_channels=self.config.classes * folded,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=list(self.config.filters),
            norm_name=("INSTANCE", {"affine": True}),
            deep_supervision=False,
            res_block=False,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits `[batch, class, row, column]` for an image `[batch, context, row, column]`."""
        folded = functional.pixel_unshuffle(image, self.config.fold)  # (b, 5, H, W) -> (b, 20, H/2, W/2)
        scores = self.body(folded)  # (b, 16, H/2, W/2)
        return cast("Tensor", functional.pixel_shuffle(scores, self.config.fold))  # (b, 4, H, W)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained numbers in the network."""
    return sum(parameter.numel() for parameter in network.parameters())


def update_average(average: nn.Module, network: nn.Module, *, step: int, decay: float = 0.998) -> None:
    """Move the running average of the weights one step towards the network (the averaged weights are what ships)."""
    kept = min(decay, (1 + step) / (10 + step))  # short memory while the first steps still jump
    with torch.no_grad():
        for mean, value in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(value, 1 - kept)
