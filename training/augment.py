"""Random deformation and random contrast for 2.5-D samples, drawn anew for each batch.

Words: a *stack* is `[context, row, column]`: five normalised neighbouring slices (mean 0, deviation 1 over the volume);
its *labels* have the same shape. Lengths are pixels of 0.46875 mm. The geometry of a sample is one sampling grid, used
for signal (bilinear) and for labels (bilinear per class, then the largest), so both always move together.

Sources: ranges of rotation, scaling, bias, gamma and resolution after SynthSeg (arXiv 2107.09559); ghosting, inversion
and blur after TotalSpineSeg; half of the samples stay close to the real contrast, because fully random contrast alone
lost to realistic contrast on spines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from training.spider import context_indices

# Boxes of a vertebral body on a sagittal slice: 14 to 47 mm high, 19 to 56 mm deep.
BODY_HEIGHT_PX = (30, 100)
BODY_DEPTH_PX = (40, 120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """How far samples leave the real images; the two kinds used are `MILD` and `STRONG`."""

    rotation_deg: float
    scale: tuple[float, float]
    stretch: float  # the two axes' scales differ by a factor within 1 +- stretch
    elastic_px: float
    squeeze: float  # probability that one vertebra is squeezed
    strides: tuple[int, ...]  # slice steps to a neighbour
    replicate: float  # probability that the middle slice stands for all five
    thick: float  # probability that neighbouring slices are averaged, as in 3 to 5 mm slices
    remap: float  # probability of a new random contrast
    degrade: float  # probability of each of: low resolution, ghost, band, blur
    bias: float
    gamma: float
    noise: float


MILD = Strength(
    rotation_deg=8, scale=(0.88, 1.14), stretch=0.06, elastic_px=2, squeeze=0.1, strides=(1,), replicate=0, thick=0.0,
    remap=0, degrade=0.04, bias=0.15, gamma=0.15, noise=0.06,
)  # fmt: skip
STRONG = Strength(
    rotation_deg=15, scale=(0.75, 1.3), stretch=0.12, elastic_px=5, squeeze=0.25, strides=(1, 1, 2, 3, 4, 5),
    replicate=0.2, thick=0.4, remap=0.6, degrade=0.2, bias=0.3, gamma=0.35, noise=0.2,
)  # fmt: skip


def draw_stack(
    voxels: NDArray[np.float32], labels: NDArray[np.uint8], index: int, strength: Strength, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return one stack and its labels around a slice of a volume, with random neighbours, thickness and side."""
    count = len(voxels)
    stride = 0 if _happens(strength.replicate, rng) else int(rng.choice(strength.strides))
    places = context_indices(index, count, stride=stride)
    if _happens(0.5, rng):
        places = places[::-1]
    reach = int(rng.integers(1, 3)) if _happens(strength.thick, rng) else 0
    if reach:
        stack = np.stack([voxels[max(0, z - reach) : z + reach + 1].mean(axis=0) for z in places])
    else:
        stack = voxels[places]
    return stack, labels[places]


def augment(
    stacks: Tensor, labels: Tensor, crop: tuple[int, int], strengths: list[Strength], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return augmented images `[batch, 5, *crop]` and labels `[batch, *crop]` of the middle slice.

    Args:
        stacks: `[batch, 5, row, column]`, normalised.
        labels: `[batch, 5, row, column]`, 0..3.
        crop: rows and columns of the result.
        strengths: one for each sample.
        rng: the only source of randomness.
    """
    _, context, rows, columns = stacks.shape
    middle = context // 2
    grid = torch.cat(
        [
            _draw_grid(labels[n, middle].numpy(), (rows, columns), crop, strength, rng)
            for n, strength in enumerate(strengths)
        ]
    )
    images = functional.grid_sample(stacks, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    classes = torch.stack([labels[:, middle] == label for label in (1, 2, 3)], dim=1).float()  # (b, 3, H, W)
    moved = functional.grid_sample(classes, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    best, label = moved.max(1)
    targets = torch.where(best > 1 - moved.sum(1), label + 1, 0)  # background has what the three classes leave
    for n, strength in enumerate(strengths):
        image = images[n]
        if _happens(strength.remap, rng):
            regions = functional.grid_sample(
                labels[n : n + 1].float(), grid[n : n + 1], mode="nearest", padding_mode="zeros", align_corners=True
            )[0]
            image = remap_contrast(image, regions, rng)
        images[n] = corrupt(image, strength, rng)
    return images, targets


def _draw_grid(
    labels: NDArray[np.uint8],
    size: tuple[int, int],
    crop: tuple[int, int],
    strength: Strength,
    rng: np.random.Generator,
) -> Tensor:
    """Return the sampling grid `[1, *crop, 2]` (column, row in -1..1 of the source) of one random deformation."""
    rows, columns = size
    angle = np.deg2rad(rng.uniform(-strength.rotation_deg, strength.rotation_deg))
    scale = np.exp(rng.uniform(*np.log(strength.scale)))
    stretch = 1 + rng.uniform(-strength.stretch, strength.stretch)
    row_scale, column_scale = scale * stretch, scale / stretch
    # The crop's centre lies anywhere along the spine, mostly within 40 mm of its columns, else anywhere in the image.
    slack = max(0, (rows - crop[0]) / 2) + 32
    centre_row = (rows - 1) / 2 + rng.uniform(-slack, slack)
    spine = np.flatnonzero(labels.any(axis=0))
    if spine.size and _happens(0.85, rng):
        centre_column = spine.mean() + rng.uniform(-85, 85)
    else:
        centre_column = rng.uniform(crop[1] / 2 - 32, columns - crop[1] / 2 + 32)
    v = torch.arange(crop[0], dtype=torch.float32)[:, None] - (crop[0] - 1) / 2
    u = torch.arange(crop[1], dtype=torch.float32)[None, :] - (crop[1] - 1) / 2
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    y = centre_row + (cos * v + sin * u) / row_scale
    x = centre_column + (-sin * v + cos * u) / column_scale
    if strength.elastic_px:
        coarse = torch.from_numpy(rng.normal(0, strength.elastic_px, (1, 2, 7, 6)).astype(np.float32))
        field = functional.interpolate(coarse, size=crop, mode="bicubic", align_corners=True)[0]
        y, x = y + field[0], x + field[1]
    if _happens(strength.squeeze, rng):
        y = y + _squeeze_one_body(labels, y, x, rng)
    grid = torch.stack([2 * x / (columns - 1) - 1, 2 * y / (rows - 1) - 1], dim=-1)
    return grid[None]


def _squeeze_one_body(labels: NDArray[np.uint8], y: Tensor, x: Tensor, rng: np.random.Generator) -> Tensor | float:
    """Return the row displacement that lowers one vertebral body, as a compression fracture does.

    Inside the body the source is read faster (height times `kept`); outside, the displacement fades over 1.5 heights,
    so neighbours shift a little and nothing tears. A wedge lowers the anterior side most.
    """
    components, count = ndimage.label(labels == 1)
    boxes: list[tuple[slice, ...]] = ndimage.find_objects(components) if count else []
    boxes = [box for box in boxes if _looks_like_body(box)]
    if not boxes:
        return 0.0
    box = boxes[int(rng.integers(len(boxes)))]
    height, width = box[0].stop - box[0].start, box[1].stop - box[1].start
    centre_row, centre_column = (box[0].start + box[0].stop) / 2, (box[1].start + box[1].stop) / 2
    kept = rng.uniform(0.4, 0.85)
    wedge = rng.uniform(-0.3, 1.0) if _happens(0.7, rng) else 0.0
    across = (x - centre_column) / (width / 2)  # -1 anterior border, 1 posterior border
    weight = torch.exp(-((across / 1.4) ** 4)) * (1 - wedge * (across.clamp(-1, 1) + 1) / 2)
    offset = y - centre_row
    half = kept * height / 2
    inside = offset * (1 / kept - 1)
    fade = torch.exp(-(((offset.abs() - half) / (1.5 * height)) ** 2))
    outside = torch.sign(offset) * (height / 2) * (1 - kept) * fade
    return torch.where(offset.abs() <= half, inside, outside) * weight


def _happens(probability: float, rng: np.random.Generator) -> bool:
    return bool(rng.random() < probability)


def _looks_like_body(box: tuple[slice, ...]) -> bool:
    """Say whether a component's box is about as large as a vertebral body."""
    height, width = int(box[0].stop - box[0].start), int(box[1].stop - box[1].start)
    return BODY_HEIGHT_PX[0] <= height <= BODY_HEIGHT_PX[1] and BODY_DEPTH_PX[0] <= width <= BODY_DEPTH_PX[1]


def remap_contrast(image: Tensor, regions: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the stack with another contrast between tissues, as T1 or STIR have, then mean 0 and deviation 1."""
    if _happens(0.2, rng):
        mapped = -image
    else:
        knots = np.sort(rng.uniform(-2.5, 3.5, 6))
        heights = rng.uniform(-1.5, 1.5, 6)
        if _happens(0.5, rng):  # brighter stays brighter
            heights = np.sort(heights)
        mapped = torch.from_numpy(np.interp(image.numpy(), knots, heights).astype(np.float32))
    if _happens(0.75, rng):
        for label in (1, 2, 3):
            inside = regions == label
            if not bool(inside.any()) or _happens(0.15, rng):
                continue
            values = mapped[inside]
            level, spread = rng.uniform(-1.7, 1.7), rng.uniform(0.15, 0.8)
            new = level + spread * (values - values.mean()) / values.std(correction=0).clamp(min=0.1)
            mapped[inside] = new
        if _happens(0.7, rng):  # soften the edges that the labels cut
            padded = functional.pad(mapped[None], (1, 1, 1, 1), mode="replicate")
            mapped = functional.avg_pool2d(padded, 3, stride=1)[0]
    return (mapped - mapped.mean()) / mapped.std().clamp(min=1e-3)


def corrupt(image: Tensor, strength: Strength, rng: np.random.Generator) -> Tensor:
    """Return the stack with resolution, coil, movement and noise faults."""
    rows, columns = image.shape[-2:]
    if _happens(strength.degrade * 1.5, rng):
        size = (int(rows / rng.uniform(1, 2.4)), int(columns / rng.uniform(1, 2.4)))
        small = functional.interpolate(image[None], size=size, mode="bilinear", align_corners=False, antialias=True)
        image = functional.interpolate(small, size=(rows, columns), mode="bilinear", align_corners=False)[0]
    if _happens(strength.degrade, rng):
        axis, shift = int(rng.integers(1, 3)), int(rng.integers(8, 120))
        image = image + float(rng.uniform(0.03, 0.2)) * torch.roll(image, shift, dims=axis)
    if _happens(strength.degrade, rng):
        image = image * _draw_band(rows, columns, rng)
    if _happens(0.8, rng):
        image = _apply_gamma(image, float(np.exp(rng.normal(0, strength.gamma))))
    coarse = torch.from_numpy(rng.normal(0, strength.bias, (1, 1, 4, 3)).astype(np.float32))
    bias = functional.interpolate(coarse, size=(rows, columns), mode="bicubic", align_corners=True)[0].exp()
    floor = float(image.amin())
    image = (image - floor) * bias + floor  # coils scale the signal above air, not the normalised value
    if strength.remap:
        image = (image - image.mean()) / image.std().clamp(min=1e-3)
    if _happens(0.7, rng):
        noise = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
        image = image + float(rng.uniform(0, strength.noise)) * noise
    return image * float(rng.uniform(0.85, 1.15)) + float(rng.uniform(-0.15, 0.15))


def _apply_gamma(image: Tensor, gamma: float) -> Tensor:
    low, high = float(image.amin()), float(image.amax())
    span = max(high - low, 1e-3)
    return ((image - low) / span).clamp(0, 1).pow(gamma) * span + low


def _draw_band(rows: int, columns: int, rng: np.random.Generator) -> Tensor:
    """Return a factor `[row, column]` with one dark or bright band, as a saturation slab leaves."""
    along_rows = _happens(0.5, rng)
    length = rows if along_rows else columns
    centre, width = rng.uniform(0, length), rng.uniform(8, 60)
    profile = torch.exp(-(((torch.arange(length, dtype=torch.float32) - centre) / width) ** 4))
    factor = 1 + float(rng.uniform(-0.9, 0.6)) * profile
    return factor[:, None] if along_rows else factor[None, :]
