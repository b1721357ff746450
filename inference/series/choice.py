"""Which of several series a detector looks at, and why it leaves the others.

A study often holds two series of one role: a sequence that was repeated because the patient moved, the same one after
contrast agent, two protocols, the whole spine in parts. One is read, by PREFERENCES (docs/decisions/0013), and
where a detector reads all parts of the spine, those that show other parts with it; each of the others is told in one
sentence why it was not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from inference.findings import Question
from inference.geometry import Plane
from inference.series.facts import SeriesFacts
from inference.series.role import SeriesRole, role_of

LUMBAR = ("LSPINE", "LSSPINE", "LUMB")
"""In BodyPartExamined, without spaces and signs, what the detectors know: LSPINE, TLSPINE and LSSPINE are defined terms
(PS3.16 Annex L), scanners also write LUMBAR SPINE or L-SPINE."""
ANY_SPINE = frozenset({"", "SPINE", "WHOLESPINE"})
"""A BodyPartExamined that names no part of the spine."""
UNNAMED_PART = 1
"""How near such a word is to the lumbar spine: after one for it (0), before another part of the body (2)."""
LONG_AGO = datetime(1900, 1, 1)  # noqa: DTZ001 - DICOM times have no zone
SAME_PART = 0.5
"""Of two axial series that share more than this of the length that the shorter one shows, one repeats the other. Blocks
along neighbouring discs share nothing or a little of the body between; repetitions share nearly all. Our own choice."""
VOLUME_DIGITS = 2
"""Voxel volumes are compared to 0.01 mm3: positions written with few digits change a slice step by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What an installed detector reads."""

    name: str
    questions: frozenset[Question]
    roles: tuple[SeriesRole, ...]
    """In order of preference."""
    beside: tuple[SeriesRole, ...] = ()
    """Those of its roles that it looks at besides the chosen series, where the study has one that could answer too."""
    one_beside: bool = False
    """It looks at the first of ``beside`` only, and at none where the chosen series has one of these roles itself."""
    all_parts: bool = False
    """It reads the series of the chosen one's role that show other parts of the spine together with that one."""
    names_from: tuple[SeriesRole, ...] = ()
    """Roles of which it may look at one series with a larger field of view, for the names of the levels alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What each detector looks at."""

    chosen: Mapping[str, str]
    """Series Instance UID by detector name; a detector without a series is not in it."""
    beside: Mapping[str, Mapping[SeriesRole, str]]
    """What each of these detectors looks at besides, by role."""
    parts: Mapping[str, tuple[str, ...]]
    """Which series show other parts of the spine and are read together with the chosen one; empty for most."""
    left_out: Mapping[str, str]
    """By Series Instance UID, why a series that a detector could read is looked at by none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One thing that makes one of two series of a role the better one."""

    key: Callable[[SeriesFacts], float]
    """The smaller the better."""
    words: str
    """Template: what the better one has, with {better} and {other} for its facts."""


def _body_part(facts: SeriesFacts) -> int:
    word = "".join(c for c in (facts.body_part_examined or "").upper() if c.isalnum())
    if any(part in word for part in LUMBAR):
        return 0
    return UNNAMED_PART if word in ANY_SPINE else UNNAMED_PART + 1


def _is_derived(facts: SeriesFacts) -> int:
    return int(facts.image_type[:1] == ("DERIVED",))


def _voxel_mm3(facts: SeriesFacts) -> float:
    slice_mm, row_mm, column_mm = facts.spacing_mm or (0.0, 0.0, 0.0)
    return round((slice_mm or 1.0) * row_mm * column_mm, VOLUME_DIGITS)


def _earliness(facts: SeriesFacts) -> float:
    return (LONG_AGO - (facts.acquired_at or LONG_AGO)).total_seconds()


PREFERENCES: tuple[Preference, ...] = (
    Preference(
        key=_body_part,
        words="by its BodyPartExamined it is nearer to the lumbar spine",
    ),
    Preference(key=lambda facts: int(facts.contrast_agent), words="it was acquired without contrast agent"),
    Preference(key=_is_derived, words="its images are original, not derived from others"),
    Preference(
        key=lambda facts: int(facts.plane is Plane.OBLIQUE), words="its slices are turned less against the body's axes"
    ),
    Preference(
        key=lambda facts: -facts.frame_count, words="it has {better.frame_count} slices, not {other.frame_count}"
    ),
    Preference(key=_voxel_mm3, words="its voxels are smaller"),
    Preference(key=_earliness, words="it was acquired later"),
    Preference(key=lambda facts: -(facts.series_number or 0), words="its series number is higher"),
)
"""In order: the first that tells two series apart decides. Where none does, the first Series Instance UID is read, so
that two runs choose alike."""
ALIKE = "nothing tells the two apart, and its UID is the first"


def choose(readers: Sequence[Reads], able: Mapping[str, Sequence[SeriesFacts]]) -> Choice:
    """What each detector looks at.

    Args:
        readers: the installed detectors.
        able: by detector name, the series that could answer one of its questions.
    """
    chosen: dict[str, str] = {}
    beside: dict[str, dict[SeriesRole, str]] = {}
    parts: dict[str, tuple[str, ...]] = {}
    read: dict[str, list[SeriesFacts]] = {}
    for reader in readers:
        best = _best(able[reader.name], reader.roles)
        if best is None:
            continue
        others = {role: _best(able[reader.name], (role,)) for role in _besides(reader, role_of(best))}
        found = [(role, facts) for role, facts in others.items() if facts is not None]
        found = found[:1] if reader.one_beside else found
        chosen[reader.name] = best.series_instance_uid
        beside[reader.name] = {role: facts.series_instance_uid for role, facts in found}
        others_of_it = _parts(best, able[reader.name]) if reader.all_parts else []
        parts[reader.name] = tuple(facts.series_instance_uid for facts in others_of_it)
        read[reader.name] = [best, *others_of_it, *(facts for _, facts in found)]
    return Choice(chosen=chosen, beside=beside, parts=parts, left_out=_left_out(readers, able, read))


def _parts(best: SeriesFacts, able: Sequence[SeriesFacts]) -> list[SeriesFacts]:
    """The series that show other parts of the spine than the best one and than each other, better ones first."""
    taken = [best]
    for facts in sorted(able, key=_rank):
        if _goes_with(best, facts) and not any(_shows_the_same(facts, other) for other in taken):
            taken.append(facts)
    return taken[1:]


def _goes_with(best: SeriesFacts, facts: SeriesFacts) -> bool:
    """Whether two series can be read as one: original, without contrast agent, in one frame of reference."""
    frames = best.frame_of_reference_uids
    return (
        role_of(facts) is role_of(best)
        and len(frames) == 1
        and frames == facts.frame_of_reference_uids
        and not any(one.contrast_agent or _is_derived(one) for one in (best, facts))
        and _body_part(facts) <= max(_body_part(best), UNNAMED_PART)
    )


def _shows_the_same(one: SeriesFacts, other: SeriesFacts) -> bool:
    """Whether one repeats the other; also where their places are not known."""
    shorter = min(sum(high - low for low, high in facts.heights_mm) for facts in (one, other))
    shared = sum(
        max(0.0, min(high, other_high) - max(low, other_low))
        for low, high in one.heights_mm
        for other_low, other_high in other.heights_mm
    )
    return not shorter or shared > SAME_PART * shorter


def _besides(reader: Reads, chosen: SeriesRole) -> tuple[SeriesRole, ...]:
    if reader.one_beside and chosen in reader.beside:
        return ()
    return tuple(role for role in reader.beside if role is not chosen)


def _best(able: Sequence[SeriesFacts], roles: tuple[SeriesRole, ...]) -> SeriesFacts | None:
    suitable = [facts for facts in able if role_of(facts) in roles]
    return min(suitable, key=lambda facts: (roles.index(role_of(facts)), *_rank(facts)), default=None)


def _rank(facts: SeriesFacts) -> tuple[float | str, ...]:
    return (*(preference.key(facts) for preference in PREFERENCES), facts.series_instance_uid)


def _left_out(
    readers: Sequence[Reads], able: Mapping[str, Sequence[SeriesFacts]], read: Mapping[str, Sequence[SeriesFacts]]
) -> dict[str, str]:
    looked_at = {facts.series_instance_uid for series in read.values() for facts in series}
    reasons: dict[str, str] = {}
    for reader in (reader for reader in readers if reader.name in read):
        for facts in able[reader.name]:
            uid = facts.series_instance_uid
            if uid not in looked_at and role_of(facts) in (*reader.roles, *reader.beside):
                reasons.setdefault(uid, _why_not(facts, reader, read[reader.name]))
    return reasons


def _why_not(facts: SeriesFacts, reader: Reads, read: Sequence[SeriesFacts]) -> str:
    role = role_of(facts)
    alike = [other for other in read if role_of(other) is role]
    better = next((other for other in alike if _shows_the_same(facts, other)), next(iter(alike), None))
    if better is None:
        instead = f"{reader.name} takes {role_of(read[0])} rather than {role}"
        return f"The series was not read: {instead}, and series {read[0].series_instance_uid} is one."
    decisive = next((p for p in PREFERENCES if p.key(better) != p.key(facts)), None)
    words = ALIKE if decisive is None else decisive.words.format(better=better, other=facts)
    return f"The series was not read: of the {role} series, {better.series_instance_uid} was taken, as {words}."
