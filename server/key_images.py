"""Which slices become key images: those that show what is present, as few as show all of it; else one overview."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dicom_node.sc import KeyImage
from inference.findings import Finding, StudyFindings
from inference.geometry import Plane, Volume
from inference.segmentation import Segmentation
from server.overlay import draw_slice, grey_range, midsagittal_slice, present_findings, slices_of
from server.overlay_words import describe

MOST_PICTURES = 8
"""Of one study: each is about 4 MB, and a reader looks at a page of them, not at a series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One slice of one stack that was read."""

    volume: Volume
    """The stack, without others of its series."""
    segmentation: Segmentation | None
    index: int

    @property
    def is_overview(self) -> bool:
        """Whether it is the middle slice of the canal, on which a finding without a mark is told."""
        return self.volume.plane is Plane.SAGITTAL and self.index == midsagittal_slice(self.volume, self.segmentation)

    def shows(self, findings: Sequence[Finding]) -> set[str]:
        """Which findings, by their identifiers, are told on its picture."""
        marked = {f.id for f in findings if self.index in slices_of(self.volume, [f])}
        return marked | {f.id for f in findings if self.is_overview and not f.evidence}


def key_images(
    volumes: Mapping[str, Volume], segmentations: Mapping[str, Segmentation], findings: StudyFindings
) -> Iterator[KeyImage]:
    """The pictures of a study: what is present first; of a study with nothing present, one overview.

    Args:
        volumes: The series that were read, by Series Instance UID; none: no picture.
        segmentations: Outlines on the first stack of a series, by Series Instance UID.
        findings: The document of the study.
    """
    for chosen in choose_slices(volumes, segmentations, findings):
        volume = chosen.volume
        window = grey_range(volume)
        canvas = draw_slice(volume, chosen.segmentation, findings, chosen.index, window)
        yield KeyImage(
            pixels=canvas.finish(),
            source=volume.sources[chosen.index],
            directions=volume.directions,
            text=_text(chosen, findings, window),
        )


def choose_slices(
    volumes: Mapping[str, Volume], segmentations: Mapping[str, Segmentation], findings: StudyFindings
) -> tuple[Slice, ...]:
    """At most MOST_PICTURES slices: each time the one that shows most of what is present and not shown yet.

    Of equals the first: sagittal stacks before others, then by Series Instance UID, stack and slice.
    """
    candidates = _candidates(volumes, segmentations, findings)
    present = present_findings(findings)
    shown_on = [slice_.shows(present) for slice_ in candidates]
    chosen: list[Slice] = []
    left = {finding.id for finding in present}
    while len(chosen) < MOST_PICTURES and candidates:
        best = max(range(len(candidates)), key=lambda place: len(shown_on[place] & left))
        if not shown_on[best] & left:
            break
        left -= shown_on[best]
        chosen.append(candidates[best])
    return tuple(chosen or [slice_ for slice_ in candidates if slice_.is_overview][:1] or candidates[:1])


def _candidates(
    volumes: Mapping[str, Volume], segmentations: Mapping[str, Segmentation], findings: StudyFindings
) -> list[Slice]:
    """The middle slice of every stack, and every slice with something present."""
    stacks = [
        (stack, segmentations.get(uid) if stack is volumes[uid] else None)
        for uid in sorted(volumes)
        for stack in (volumes[uid], *volumes[uid].other_stacks)
    ]
    stacks.sort(key=lambda pair: (pair[0].plane is not Plane.SAGITTAL, pair[1] is None))
    present = present_findings(findings)
    return [
        Slice(volume=volume, segmentation=segmentation, index=index)
        for volume, segmentation in stacks
        for index in sorted({midsagittal_slice(volume, segmentation), *slices_of(volume, present)})
    ]


def _text(chosen: Slice, findings: StudyFindings, window: tuple[float, float]) -> str:
    """What the picture shows, and how: of which slice, in which window."""
    present = present_findings(findings)
    shown = chosen.shows(present)
    what = "; ".join(describe(f) for f in present if f.id in shown) or "Overview: nothing present is told on this slice"
    place = f"slice {chosen.index + 1} of {chosen.volume.shape[0]}"
    return f"{what}. Drawn on {place}, enlarged, window {window[0]:.4g} to {window[1]:.4g}."
