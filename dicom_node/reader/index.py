"""Headers of files, sorted into studies and series, with what each series is and why it cannot be read if it cannot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_node.reader.facts import is_image, is_projection, summarise
from dicom_node.reader.frames import Frame, frames_of
from dicom_node.reader.headers import Header, read_header
from dicom_node.reader.kinds import select
from dicom_node.reader.stack import Stack
from dicom_node.reader.stacks import stacks_of
from dicom_node.reader.values import text
from inference.errors import InstanceRefusal, ReasonCode, SeriesRefusal, UsageRefusal
from inference.series.facts import SeriesFacts

MAX_FRAMES = 20_000
"""More frames than any spine series has; a header that announces more is damaged or hostile. Our own bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedFile:
    """A file that is in no series of the index, and why."""

    path: Path
    reason: str
    """One sentence without identity."""
    code: ReasonCode


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndexedSeries:
    """One series: its facts, its files, and its stacks when it has any."""

    facts: SeriesFacts
    files: tuple[Path, ...]
    """Every file of the series, in the order of their paths."""
    stacks: tuple[Stack, ...]
    """One, or several of an axial series of several angles; the first stands for the series. Empty: see the fault."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyIndex:
    """One study."""

    study_instance_uid: str
    series: tuple[IndexedSeries, ...]
    """By Series Instance UID."""
    rejected: tuple[RejectedFile, ...]


def index_study(paths: Iterable[Path]) -> StudyIndex:
    """The one study in these files and folders (read recursively).

    Raises:
        UsageRefusal: no file can be read, or they belong to several studies.
    """
    studies = index_studies(paths)
    if len(studies) > 1:
        raise UsageRefusal(
            f"the files belong to {len(studies)} studies ({', '.join(study.study_instance_uid for study in studies)}); "
            "one study at a time is read"
        )
    return studies[0]


def index_studies(paths: Iterable[Path]) -> tuple[StudyIndex, ...]:
    """All studies in these files and folders (read recursively), by Study Instance UID.

    Files that cannot be read belong to no study; they are listed in every index.

    Raises:
        UsageRefusal: no file can be read.
    """
    headers: list[Header] = []
    rejected: list[RejectedFile] = []
    files = list(_files(paths))
    for path in files:
        try:
            header = read_header(path)
        except InstanceRefusal as refusal:
            code = refusal.code or ReasonCode.NOT_DICOM
            rejected.append(RejectedFile(path=path, reason=refusal.sentence, code=code))
        else:
            headers.extend([header] if header else [])
    if not headers:
        raise UsageRefusal(_nothing_readable(files, rejected), code=ReasonCode.NOT_DICOM)
    by_study: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_study[header.study_instance_uid].append(header)
    return tuple(_study(uid, by_study[uid], tuple(rejected)) for uid in sorted(by_study))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in paths:
        found = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in found:
            if file not in seen:
                seen.add(file)
                yield file


def _nothing_readable(files: Sequence[Path], rejected: Sequence[RejectedFile]) -> str:
    why = f": the first says that {rejected[0].reason}" if rejected else ""
    return f"no DICOM instance can be read among {len(files)} file(s){why}"


def _study(uid: str, headers: Sequence[Header], rejected: tuple[RejectedFile, ...]) -> StudyIndex:
    by_series: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_series[header.series_instance_uid].append(header)
    series = tuple(_series(by_series[series_uid]) for series_uid in sorted(by_series))
    return StudyIndex(study_instance_uid=uid, series=series, rejected=rejected)


def _series(headers: Sequence[Header]) -> IndexedSeries:
    files = tuple(sorted(header.path for header in headers))
    frames: Sequence[Frame] = ()
    stacks: tuple[Stack, ...] = ()
    fault: tuple[ReasonCode, str] | None = None
    notes: list[str] = []
    images = [header for header in headers if is_image(header)]
    try:
        _require_images(headers, images)
        distinct = _without_copies(images)
        notes.extend(_copies_note(len(images) - len(distinct)))
        frames = [frame for header in distinct for frame in frames_of(header)]
        selection = select(frames)
        notes.extend([selection.note] if selection.note else [])
        frames = [frame for kind in selection.read for frame in kind.frames]
        if not is_projection(headers[0]):
            stacks = stacks_of(selection.read)
            notes.extend(_stack_notes(stacks))
    except SeriesRefusal as refusal:
        fault = (refusal.code, refusal.sentence)
    notes.extend(_reference_note(images))
    facts = summarise(headers, frames, stacks, fault=fault, notes=tuple(notes))
    return IndexedSeries(facts=facts, files=files, stacks=stacks)


def _require_images(headers: Sequence[Header], images: Sequence[Header]) -> None:
    if not images:
        raise SeriesRefusal(
            f"the {len(headers)} instance(s) of the series are results or documents, no images "
            f"(SOP class {headers[0].sop_class_uid})",
            code=ReasonCode.MODALITY,
        )
    total = sum(header.frame_count for header in images)
    if total > MAX_FRAMES:
        raise SeriesRefusal(
            f"the series announces {total} frames; at most {MAX_FRAMES} are read", code=ReasonCode.PIXEL_DATA
        )


def _without_copies(images: Sequence[Header]) -> list[Header]:
    """Instances with one file per SOP Instance UID; refuse two files of one UID that differ."""
    by_uid: dict[str, Header] = {}
    for header in sorted(images, key=lambda header: header.path):
        other = by_uid.setdefault(header.sop_instance_uid, header)
        if other is not header and not _same_file(other.path, header.path):
            raise SeriesRefusal(
                f"two different files claim SOP Instance UID {header.sop_instance_uid}", code=ReasonCode.DUPLICATE
            )
    return list(by_uid.values())


def _same_file(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _copies_note(count: int) -> list[str]:
    return [f"{count} file(s) are exact copies of others and were left out"] if count else []


def _stack_notes(stacks: Sequence[Stack]) -> list[str]:
    notes = []
    if len(stacks) > 1:
        sizes = ", ".join(str(len(stack.frames)) for stack in stacks)
        notes.append(f"its slices are {len(stacks)} stacks of several angles or places, of {sizes} slices")
    repeated = sum(len(stack.repeated) for stack in stacks)
    if repeated:
        notes.append(f"{repeated} slice(s) repeat another one's position and pixels and were left out")
    shear_deg = max(stack.shear_deg for stack in stacks)
    if shear_deg:
        notes.append(f"the slices are shifted in their own plane by a gantry tilt of {shear_deg:.1f} degrees")
    return notes


def _reference_note(images: Sequence[Header]) -> list[str]:
    uids = {text(header.dataset, "FrameOfReferenceUID") for header in images}
    if len(uids) < 2:  # noqa: PLR2004 - one frame of reference, as it should be
        return []
    return [f"its {len(images)} instances name {len(uids)} Frames of Reference; the positions were taken to share one"]
