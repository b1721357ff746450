"""Measure what the limits of input quality rest on: `python -m training.measure_quality --data DIR`.

Takes SPIDER mid-sagittal slices and T2 SPACE volumes (every fourth slice, as thick as clinical ones), and CT sent as
MR, and prints how sure the outlines of the installed network are (`inference.measure.confidence`), by how much they
are surer when a slice is turned over (`models.stance`), and what is refused; then by how much they vary from slice to
slice, within T2 SPACE volumes and beside generated spines (`inference.measure.lateral`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import SimpleITK as sitk  # noqa: N813
import typer
from numpy.typing import NDArray

from inference.errors import SeriesRefusal
from inference.geometry import FloatArray, Volume
from inference.measure.confidence import outline_confidence
from inference.measure.lateral import slice_confidences
from models.mr_sagittal import MrSagittalDetector
from models.stance import turned_slices
from training.cases import load_reader, place_volume
from training.midsagittal import read_graded
from training.phantom import Contrast, PhantomParameters, generate_spine
from training.spider import SPACING_MM, default_data_folder, list_slices, read_patients, split_patients

SLICE_STEP = 4
NOISE = 25.0
"""Standard deviation; the slices' signal has the range 0 to 255."""
CHANGES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "with noise": lambda voxels: voxels + np.random.default_rng(0).normal(0, NOISE, voxels.shape).astype(np.float32),
    "inverted": lambda voxels: 255 - voxels,
}
"""What a slice of another scanner or contrast may be as hard as."""
WIDE, WIDE_MM, BESIDE_MM = 25, 4.4, 30.0
"""Slices of a generated series that runs far beyond the spine, their distance, and where no body is left."""
CT = ("ct_totalsegmentator/pulmonary_ct_cropped.nii.gz", "ct_tptbox_l3/sub-ct_label-22_ct.nii.gz")


def series_of(data: Path) -> Iterator[tuple[str, Iterable[tuple[str, Volume]]]]:
    """Every kind of series with its members, by name."""
    patients = read_graded(data)
    for contrast in ("T1", "T2"):
        members = [(p.name, volume) for p in patients for c, volume in p.series.items() if c == contrast]
        yield f"mid-sagittal {contrast}", members
        for change, changed in CHANGES.items():
            yield f"mid-sagittal {contrast}, {change}", ((name, _changed(v, changed)) for name, v in members)
    split = split_patients(list(list_slices(data)))
    spacing = (SPACING_MM[0] * SLICE_STEP, SPACING_MM[1], SPACING_MM[2])
    for kind, names in (("trained on", split.training), ("kept back", split.validation)):
        patients_read = read_patients(data, names)
        yield f"T2 SPACE {kind}", ((p.name, place_volume(p.voxels[::SLICE_STEP], spacing)) for p in patients_read)
    yield "CT as MR", ((name, read_nifti_as_sagittal(data / name)) for name in CT)


def _changed(volume: Volume, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Volume:
    return replace(volume, voxels=change(volume.voxels))


def read_nifti_as_sagittal(path: Path) -> Volume:
    """A NIfTI volume reformatted to sagittal slices, about 4 mm apart."""
    image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    across_mm, back_mm, along_mm = image.GetSpacing()
    step = max(1, round(4.0 / across_mm))
    slices = np.transpose(sitk.GetArrayFromImage(image), (2, 0, 1))[::step, ::-1]
    return place_volume(np.ascontiguousarray(slices), (across_mm * step, along_mm, back_mm))


def main(
    *,
    data: Annotated[Path | None, typer.Option(help="Folder of the real images.")] = None,
    every: Annotated[int, typer.Option(help="Take every n-th series of a kind only.")] = 1,
) -> None:
    """Print a line for each series, and the extremes of each kind."""
    detector, folder = load_reader(), data or default_data_folder()
    for kind, members in series_of(folder):
        lines = [_measured(detector, volume) for n, (_, volume) in enumerate(members) if n % every == 0]
        for place, (confidence, gain, refused) in enumerate(lines):
            typer.echo(f"{kind} {place * every}: confidence {confidence:.3f}, turned {gain:+.3f} {refused}")
        sure = [confidence for confidence, _, _ in lines]
        refusals = sum(bool(refused) for _, _, refused in lines)
        typer.echo(f"{kind}: {len(lines)} series, {refusals} refused, confidence {min(sure):.3f} to {max(sure):.3f}")
    for kind, falls in (
        ("T2 SPACE", falls_within(detector, folder)),
        ("beside generated spines", falls_beside(detector)),
    ):
        typer.echo(f"{kind}: the slices are less sure than the surest by {min(falls):.3f} to {max(falls):.3f}")


def falls_within(detector: MrSagittalDetector, data: Path) -> list[float]:
    """Of each T2 SPACE patient: by how much the least sure slice is less sure than the surest."""
    patients = read_patients(data, tuple(list_slices(data)))
    found = [_slices(detector, place_volume(patient.voxels, SPACING_MM)) for patient in patients]
    return [float(confidences.max() - confidences.min()) for confidences in found]


def falls_beside(detector: MrSagittalDetector) -> list[float]:
    """Of each contrast of a generated spine: by how much the surest slice beside the bodies is less sure than any."""
    falls = []
    for contrast in Contrast:
        phantom = generate_spine(PhantomParameters(seed=2, contrast=contrast, slices=WIDE, slice_spacing_mm=WIDE_MM))
        beside = np.abs(np.arange(WIDE) - (WIDE - 1) / 2) * WIDE_MM > BESIDE_MM
        confidences = _slices(detector, place_volume(phantom.voxels.astype(np.float32), (WIDE_MM, *SPACING_MM[1:])))
        falls.append(float(confidences.max() - confidences[beside].max()))
    return falls


def _slices(detector: MrSagittalDetector, volume: Volume) -> FloatArray:
    return slice_confidences(detector.segment(volume, lambda _doing, _share: None))


def _measured(detector: MrSagittalDetector, volume: Volume) -> tuple[float, float, str]:
    """Confidence of the series, how much surer its middle slice is when turned over, and the code of a refusal."""

    def confidence(series: Volume) -> float:
        return outline_confidence(detector.segment(series, lambda _doing, _share: None)) or 0.0

    middle = volume.shape[0] // 2
    alone = Volume(
        voxels=volume.voxels[middle : middle + 1],
        affine=volume.affine,
        sources=volume.sources[middle : middle + 1],
        series_instance_uid=volume.series_instance_uid,
    )
    gain = max(confidence(turned) for _, turned in turned_slices(volume, middle)) - confidence(alone)
    try:
        detector.read_spine(volume, lambda _doing, _share: None)
    except SeriesRefusal as refusal:
        return confidence(volume), gain, refusal.code.value
    return confidence(volume), gain, ""


if __name__ == "__main__":
    typer.run(main)
