"""The network that grades one disc from its crops on T1 and T2."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from models.disc_crops import CHANNELS, Contrast
from models.disc_grades import OUTPUTS

WIDTHS = (24, 48, 96, 128)


class DiscGrader(nn.Module):  # type: ignore[misc] # torch's types are not read, see pyproject.toml
    """Four residual stages, each at half the resolution of the one before, then logits.

    Input ``image[disc, contrast x channel, row, column]`` and ``shown[disc, contrast]``, 1 where the contrast is
    there; output ``logits[disc, output]``.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = len(Contrast) * len(CHANNELS)
        self.stem = nn.Conv2d(inputs, WIDTHS[0], 5, stride=2, padding=2)
        self.stages = nn.Sequential(*(_Stage(a, b) for a, b in zip((WIDTHS[0], *WIDTHS[:-1]), WIDTHS, strict=True)))
        self.dropout = nn.Dropout(0.4)
        self.head = nn.Linear(2 * WIDTHS[-1] + len(Contrast), len(OUTPUTS))

    def forward(self, image: Tensor, shown: Tensor) -> Tensor:
        """Logits of each output."""
        features = self.stages(self.stem(image))
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3)), shown], dim=1)
        return cast("Tensor", self.head(self.dropout(pooled)))


class _Stage(nn.Module):  # type: ignore[misc]
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, values: Tensor) -> Tensor:
        return cast("Tensor", nn.functional.max_pool2d(torch.relu(self.inner(values) + self.skip(values)), 2))
