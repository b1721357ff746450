"""Labels of a T2 SPACE volume carried over to the T1 and T2 slices of the same person, by registration of the images.

SPIDER's mid-sagittal T1 and T2 TSE slices have no labels here, but thirty of their people have a labelled T2 SPACE
volume. The SPACE slice that matches best is registered to the slice (affine in the plane, mutual information, so that
the contrasts may differ), and its labels go along. The borders so carried hold the registration's error, and that of a
0.9 mm slice standing for one of 3 to 5 mm: a lower bound of what a model could reach there, and no manual truth.

Whether a registration is believed is told from the images and the transform alone, never from any segmentation: see
``Rules``. What is not believed is named with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from scipy import ndimage

from inference.geometry import FloatArray
from training.spider import SPACING_MM, Patient

COARSE_MM = 4.0
"""Pixel of the exhaustive search: a seventh of the height of a body."""
SCALES = (0.65, 0.72, 0.8, 0.9, 1.0, 1.12, 1.25, 1.4)
"""Of the slice's stated pixel: the tag is wrong where an image was resampled (shared data README)."""
REACH_MM = (105.0, 36.0)
"""Largest offset of the two images' centres that is searched, along rows and columns."""
LEAST_OVERLAP = 0.5
"""Share of the SPACE slice that must lie within the other image during the search."""
BINS = 16
SLICE_STEP = 2
MATTES_BINS = 40
SAMPLING, SAMPLING_SEED = 0.3, 1
OUTSIDE = -1.0
EDGE_SIGMA = 2.0
"""Pixels of T2 SPACE, 0.9 mm: half of a cortical endplate with its chemical shift."""
EDGE_MARGIN = 6
"""Pixels along the border of the overlap that are left out: three sigma."""
STRONGEST_EDGE = 4.0
"""Times the mean edge; skin and fat do not outweigh the spine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a registration is believed.

    Both images are of one person lying still, so that only a plain scale (a wrong spacing tag) and a small turn are
    left; an affine transform that needs more than that fits something else.
    """

    aspect: float = 1.04
    """Most that the transform may stretch one direction over another."""
    turn_deg: float = 4.0
    """Largest rotation in the plane: the same table position."""
    overlap: float = 0.6
    """Least share of the SPACE slice within the other image."""
    edges: float = 0.45
    """Least agreement of edges: six pairs of two different people reach at most 0.36, the right pairs that were looked
    at at least 0.5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a slice lies in a T2 SPACE volume."""

    slice_index: int
    matrix: tuple[float, float, float, float]
    """From (column, row) millimetres of the slice to those of SPACE, row by row."""
    offset_mm: tuple[float, float]

    def transform(self) -> sitk.AffineTransform:
        """As SimpleITK has it."""
        affine = sitk.AffineTransform(2)
        affine.SetMatrix(self.matrix)
        affine.SetTranslation(self.offset_mm)
        return affine


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a slice was registered; no field depends on a segmentation."""

    placement: Placement
    scale: float
    """Millimetres of SPACE for one stated millimetre of the slice, mean of both ways; 1 where the tag is right."""
    aspect: float
    """Largest over smallest stretch, at least 1."""
    turn_deg: float
    overlap: float
    information: float
    """Normalised mutual information, (H(a) + H(b)) / H(a, b) - 1."""
    edges: float
    """See `edge_agreement`."""

    def faults(self, rules: Rules) -> tuple[str, ...]:
        """Why it is not believed; empty where it is."""
        limits = (
            (self.aspect > rules.aspect, f"stretched {self.aspect:.3f} times more one way than the other"),
            (abs(self.turn_deg) > rules.turn_deg, f"turned by {self.turn_deg:.1f} degrees"),
            (self.overlap < rules.overlap, f"only {self.overlap:.0%} of the SPACE slice overlaps"),
            (self.edges < rules.edges, f"edges agree only by {self.edges:.2f}"),
        )
        return tuple(fault for exceeds, fault in limits if exceeds)

    def as_row(self) -> dict[str, object]:
        """What is written about it, rounded."""
        figures = ("scale", "aspect", "turn_deg", "overlap", "information", "edges")
        return {"slice": self.placement.slice_index} | {name: round(getattr(self, name), 4) for name in figures}


def register(image: NDArray[np.uint8], spacing_mm: tuple[float, float], patient: Patient) -> Fit:
    """Find the SPACE slice and the affine transform that match a sagittal slice best. Deterministic.

    Args:
        image: the slice, shape (row, column).
        spacing_mm: row and column spacing as stated.
        patient: the labelled volume; its labels are not read.
    """
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # sums over threads end differently each time
    try:
        return describe(image, spacing_mm, patient, _place(_image(image, spacing_mm), patient))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _place(fixed: sitk.Image, patient: Patient) -> Placement:
    """By search, by similarity on every second slice, by similarity beside the best of them, then affine."""
    middle = len(patient.voxels) // 2
    start = _search(fixed, _space(patient, middle))
    indices = range(middle % SLICE_STEP, len(patient.voxels), SLICE_STEP)
    found = [(_refine(fixed, _space(patient, z), start), z) for z in indices]
    (_, rough), best = min(found, key=lambda item: item[0][0])
    near = [z for z in (best - 1, best, best + 1) if 0 <= z < len(patient.voxels)]
    (_, rough), best = min(((_refine(fixed, _space(patient, z), rough), z) for z in near), key=lambda item: item[0][0])
    affine = sitk.AffineTransform(2)
    affine.SetCenter(rough.GetCenter())
    affine.SetMatrix(rough.GetMatrix())
    affine.SetTranslation(rough.GetTranslation())
    _, affine = _optimise(fixed, _space(patient, best), affine, shrink=(2, 1))
    column_mm, row_mm = affine.TransformPoint((0.0, 0.0))
    matrix = tuple(affine.GetMatrix())
    return Placement(slice_index=best, matrix=matrix, offset_mm=(column_mm, row_mm))


def carry_labels(
    labels: NDArray[np.uint8], fit: Fit, shape: tuple[int, int], spacing_mm: tuple[float, float]
) -> NDArray[np.uint8]:
    """Labels of the matched SPACE slice on the grid of the slice, nearest neighbour, 0 where SPACE does not reach."""
    reference = _image(np.zeros(shape, np.uint8), spacing_mm)
    moving = _image(labels, SPACING_MM[1:], kind=sitk.sitkUInt8)
    carried = sitk.Resample(moving, reference, fit.placement.transform(), sitk.sitkNearestNeighbor, 0)
    return np.asarray(sitk.GetArrayFromImage(carried), dtype=np.uint8)


def _image(pixels: NDArray[np.uint8], spacing_mm: tuple[float, float], kind: int = sitk.sitkFloat32) -> sitk.Image:
    image = sitk.Cast(sitk.GetImageFromArray(np.asarray(pixels)), kind)
    image.SetSpacing((spacing_mm[1], spacing_mm[0]))
    return image


def _space(patient: Patient, index: int) -> sitk.Image:
    return _image(patient.voxels[index], SPACING_MM[1:])


def _centre(image: sitk.Image) -> FloatArray:
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def _search(fixed: sitk.Image, moving: sitk.Image) -> sitk.Similarity2DTransform:
    """The plain scale and offset of the largest normalised mutual information, by trying all of them at 4 mm."""
    target = equalised(_coarse(fixed, COARSE_MM))
    best: tuple[float, float, int, int] = (-1.0, 1.0, 0, 0)
    for scale in SCALES:
        source = equalised(_coarse(moving, COARSE_MM * scale))
        for down, across in product(*(_offsets(reach / scale) for reach in REACH_MM)):
            a, b = _overlapping(target, source, down, across)
            if a.size < LEAST_OVERLAP * source.size:
                continue
            best = max(best, (normalised_information(a, b), scale, down, across))
    _, scale, down, across = best
    transform = sitk.Similarity2DTransform()
    centre = _centre(fixed)
    transform.SetCenter(centre)
    transform.SetScale(scale)
    shift = _centre(moving) - centre - scale * COARSE_MM * np.array([across, down])
    transform.SetTranslation(shift)
    return transform


def _offsets(reach_mm: float) -> range:
    steps = round(reach_mm / COARSE_MM)
    return range(-steps, steps + 1)


def _coarse(image: sitk.Image, pixel_mm: float) -> NDArray[np.float32]:
    """Resampled, smoothed, about its centre."""
    size = [max(1, round(n * s / pixel_mm)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    smooth = sitk.SmoothingRecursiveGaussian(image, pixel_mm / 2)
    origin = _centre(image) - np.array([(n - 1) / 2 for n in size]) * pixel_mm
    small = sitk.Resample(
        smooth, size, sitk.Transform(2, sitk.sitkIdentity), sitk.sitkLinear, origin, (pixel_mm, pixel_mm), (1, 0, 0, 1)
    )
    return np.asarray(sitk.GetArrayFromImage(small), dtype=np.float32)


def equalised(pixels: NDArray[np.float32]) -> NDArray[np.intp]:
    """Bins of equal mass, because the signal's scale is each image's own."""
    edges = np.unique(np.quantile(pixels, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.digitize(pixels, edges)


def _overlapping(
    target: NDArray[np.intp], source: NDArray[np.intp], down: int, across: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Both images where they overlap, the centre of the source moved from the target's by so many pixels."""
    cuts = []
    for size, other, shift in zip(target.shape, source.shape, (down, across), strict=True):
        first = (size - other) // 2 + shift
        low, high = max(0, first), min(size, first + other)
        if high <= low:
            return target[:0], source[:0]
        cuts.append((slice(low, high), slice(low - first, high - first)))
    return target[cuts[0][0], cuts[1][0]], source[cuts[0][1], cuts[1][1]]


def normalised_information(a: NDArray[np.intp], b: NDArray[np.intp]) -> float:
    """(H(a) + H(b)) / H(a, b) - 1 of two binned images: 0 when independent, 1 when each tells the other."""
    joint = np.bincount(a.ravel() * BINS + b.ravel(), minlength=BINS * BINS).reshape(BINS, BINS) / a.size
    both = _entropy(joint)
    return (_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))) / both - 1.0 if both else 0.0


def _entropy(shares: FloatArray) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())


def _refine(
    fixed: sitk.Image, moving: sitk.Image, start: sitk.Similarity2DTransform
) -> tuple[float, sitk.Similarity2DTransform]:
    return _optimise(fixed, moving, sitk.Similarity2DTransform(start), shrink=(4,))


def _optimise(fixed: sitk.Image, moving: sitk.Image, transform: Any, *, shrink: tuple[int, ...]) -> tuple[float, Any]:
    """Mattes mutual information by gradient descent, on one thread and a regular sample: the same every time."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(MATTES_BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(SAMPLING, SAMPLING_SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 60)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(list(shrink))
    method.SetSmoothingSigmasPerLevel([factor / 2 for factor in shrink])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    return float(method.GetMetricValue()), transform


def describe(image: NDArray[np.uint8], spacing_mm: tuple[float, float], patient: Patient, placement: Placement) -> Fit:
    """What can be said about a placement from both images, whoever found it."""
    fixed, moving = _image(image, spacing_mm), _space(patient, placement.slice_index)
    left, stretch, right = np.linalg.svd(np.array(placement.matrix).reshape(2, 2))
    rotation = left @ right
    there = sitk.GetArrayFromImage(
        sitk.Resample(fixed, moving, placement.transform().GetInverse(), sitk.sitkLinear, OUTSIDE)
    )
    here = sitk.GetArrayFromImage(moving)
    inside = there != OUTSIDE
    return Fit(
        placement=placement,
        scale=float(np.sqrt(stretch.prod())),
        aspect=float(stretch[0] / stretch[1]),
        turn_deg=float(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0]))),
        overlap=float(inside.mean()),
        information=normalised_information(equalised(there[inside]), equalised(here[inside])) if inside.any() else 0.0,
        edges=edge_agreement(there, here, ndimage.binary_erosion(inside, iterations=EDGE_MARGIN)),
    )


def edge_agreement(a: NDArray[np.float32], b: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """How parallel the edges of two images run, whatever their contrast: 0 by chance, 1 where all do.

    Mean of the squared cosine between the gradients (normalised gradient fields, Haber and Modersitzki, MICCAI 2006),
    each pixel weighted by the edge that is weaker there, once both are scaled to their own mean; less a half, doubled.
    """
    slopes = [
        np.stack([ndimage.gaussian_filter(x, EDGE_SIGMA, order=o)[inside] for o in ((1, 0), (0, 1))]) for x in (a, b)
    ]
    strengths = [np.linalg.norm(slope, axis=0) for slope in slopes]
    if not inside.any() or not all(strength.any() for strength in strengths):
        return 0.0
    weight = np.minimum(*(np.minimum(strength / strength.mean(), STRONGEST_EDGE) for strength in strengths))
    cosine = (slopes[0] * slopes[1]).sum(axis=0) / np.maximum(strengths[0] * strengths[1], np.finfo(np.float32).tiny)
    return float(2 * (weight * cosine**2).sum() / weight.sum() - 1)
