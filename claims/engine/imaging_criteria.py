"""Criteria that images answer: their date and kind, retained views, and measurements that a physician reviewed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from claims.criteria.table import AdvancedImaging, Graded, ImagingAge, Measured, Progressed, Views
from claims.engine.ai import Seen, seen
from claims.engine.answers import Answer, met, not_met, open_
from claims.engine.material import Material
from claims.engine.words import finding_pointers, measured_words, measurement_pointer, place, quotes, study_pointer
from claims.evidence import CriterionState, Pointer, PointerKind
from claims.report import Polarity, Topic
from claims.study import RetainedView, ViewPlane
from inference.anatomy import Vertebra
from inference.findings import Absent, Measurement, Present, Question

NOT_REVIEWED = "It is the software's alone; a physician has to review it."


def imaging_age(criterion: ImagingAge, material: Material) -> Answer:
    """Of the newest images with a date, by study or signed report."""
    service = material.claim.service_date
    days: list[date] = [study.date for study in material.studies if study.date]
    days += [report.day for report in material.signed if report.day]
    if not days:
        return open_("No imaging with a date is at hand.")
    newest = max(days)
    says = f"The newest imaging is of {newest}, {(service - newest).days} days before the service on {service}"
    pointers = tuple(study_pointer(study) for study in material.studies if study.date == newest)
    if criterion.max_days is None:
        return met(f"{says}; the policy sets no limit.", *pointers)
    is_young = (service - newest).days <= criterion.max_days
    return (met if is_young else not_met)(f"{says}; the policy: at most {criterion.max_days}.", *pointers)


def advanced_imaging(criterion: AdvancedImaging, material: Material, body: Vertebra | None) -> Answer:
    """By the signed reports' examinations, or the studies that show the body.

    An MR without a fat-suppressed series cannot show oedema.
    """
    kinds = ", ".join(criterion.modalities)
    reports = [report for report in material.signed if report.modality in criterion.modalities]
    if reports:
        return met(f"{reports[-1].words[:1].upper()}{reports[-1].words[1:]} is there; the policy: {kinds}.")
    studies = [study for study in material.studies_of(body) if study.modality in criterion.modalities]
    able = [study for study in studies if study.modality != "MR" or study.has_fat_suppressed]
    if able:
        return met(f"There is the {study_pointer(able[-1]).text}; the policy: {kinds}.", study_pointer(able[-1]))
    if not studies:
        return open_(f"No examination that shows {place(body)} is at hand; the policy: {kinds}.")
    lacks = "holds no" if studies[-1].has_fat_suppressed is False else "is not known to hold a"
    says = f"The {study_pointer(studies[-1]).text} {lacks} STIR or fat-saturated T2 series, which shows oedema."
    return open_(says, study_pointer(studies[-1]))


def measured(criterion: Measured, material: Material, body: Vertebra | None) -> Answer:
    """By the newest measurement at the body; open where it is not reviewed, or nearer to the limit than it is sure."""
    found = _measurements(material, criterion.question, criterion.measurement, body)
    name = criterion.measurement.replace("_", " ")
    if not found:
        return open_(f"There is no measurement of {name} at {place(body)}.")
    one, value = found[-1]
    pointer = measurement_pointer(value, one.finding, one.document, one.study)
    says = f"{measured_words(value).capitalize()} at {place(body)}."
    if value.unit != criterion.unit:
        return open_(f"{says} The policy's unit is {criterion.unit}.", pointer)
    limit = criterion.above if criterion.above is not None else criterion.at_most
    if limit is None:
        return open_(f"{says} The policy gives no number.", pointer)
    says = f"{says} The policy: {'more than' if criterion.above is not None else 'at most'} {limit:g} {criterion.unit}."
    if not one.is_reviewed:
        return open_(f"{says} {NOT_REVIEWED}", pointer)
    if value.uncertainty is not None and abs(value.value - limit) <= value.uncertainty:
        return open_(f"{says} That is within its uncertainty.", pointer)
    is_past = value.value > limit
    return (met if is_past is (criterion.above is not None) else not_met)(says, pointer)


def progressed(criterion: Progressed, material: Material, body: Vertebra | None) -> Answer:
    """By the first and the last of the measurements at the body, from two days."""
    found = _measurements(material, criterion.question, criterion.measurement, body)
    found = [(one, value) for one, value in found if one.study.date]
    name = criterion.measurement.replace("_", " ")
    if len({one.study.date for one, _ in found}) < 2:  # noqa: PLR2004 - progress is between two
        return open_(f"Progress of {name} at {place(body)} needs measurements from two days.")
    (first, before), (last, after) = found[0], found[-1]
    pointers = tuple(
        measurement_pointer(value, one.finding, one.document, one.study) for one, value in (found[0], found[-1])
    )
    change = after.value - before.value
    says = f"{name.capitalize()} at {place(body)} went from {before.value:g} to {after.value:g} {after.unit}."
    if not (first.is_reviewed and last.is_reviewed):
        return open_(f"{says} {NOT_REVIEWED}", *pointers)
    if before.uncertainty is None or after.uncertainty is None:
        return open_(f"{says} Its uncertainty is not known.", *pointers)
    is_sure = abs(change) > before.uncertainty + after.uncertainty
    if not is_sure:
        return open_(f"{says} That is within its uncertainty.", *pointers)
    return (met if change > 0 else not_met)(says, *pointers)


def graded(criterion: Graded, material: Material, body: Vertebra | None) -> Answer:
    """By the findings at the body or at a disc beside it."""
    found = seen(material, criterion.question, body)
    told = [one for one in found if isinstance(one.finding.assessment, Present | Absent)]
    words = f"{criterion.scale.capitalize()} {' or '.join(criterion.values)}"
    if not told:
        return open_(f"There is no finding on it at {place(body)}; the policy: {words}.")
    newest = [one for one in told if one.study.uid == told[-1].study.uid]
    fits = [one for one in newest if _fits(one, criterion)]
    shown = fits or newest
    pointers: tuple[Pointer, ...] = ()
    for one in shown:
        pointers += finding_pointers(one.finding, one.document, one.study)
    says = f"The findings at {place(body)} {'have' if fits else 'do not have'} it; the policy: {words}."
    if not all(one.is_reviewed for one in shown):
        return open_(f"{says} {NOT_REVIEWED}", *pointers)
    return (met if fits else not_met)(says, *pointers)


def _fits(one: Seen, criterion: Graded) -> bool:
    is_present = isinstance(one.finding.assessment, Present)
    return is_present and any(g.scale == criterion.scale and g.value in criterion.values for g in one.finding.grades)


def views(criterion: Views, material: Material) -> Answer:
    """That views of the day of service were kept, never that a needle lies well in them.

    Their directions come from the images. What they show, a person said of a view, or the signed report of the
    procedure says; of contrast also the image's own header.
    """
    kept = _kept(material)
    if not kept:
        return _none_kept(material)
    pointers = tuple(_view_pointer(view) for view in sorted(kept, key=lambda view: not view.is_final))
    planes = {view.plane for view in kept if view.plane}
    is_enough = len(planes) >= criterion.planes or ViewPlane.CROSS_SECTION in planes
    says = f"Views kept: {len(kept)}, in {len(planes)} known direction(s){_directions(kept)}."
    if not is_enough:
        says = f"{says} The policy: {criterion.planes} directions."
        return open_(says, *pointers) if _may_be_more(kept) else not_met(says, *pointers)
    answer = met(says, *pointers)
    for asked in _asked(criterion):
        answer = _shown(kept, asked, material, answer)
        if answer.state is not CriterionState.MET:
            return answer
    return answer


def _kept(material: Material) -> list[RetainedView]:
    """Of the day of service, by the image's own clock where it has one, else by its study."""
    day = material.claim.service_date
    views = [(study, view) for study in material.studies for view in study.views]
    return [view for study, view in views if (view.acquired_at.date() if view.acquired_at else study.date) == day]


def _none_kept(material: Material) -> Answer:
    said = material.anywhere(Topic.IMAGES)
    polarities = {one.statement.polarity for one in said}
    if any(study.views for study in material.studies):
        return open_(f"No retained view that is known to be of {material.claim.service_date} is at hand.")
    if polarities == {Polarity.NEGATED}:
        return not_met("The signed report says that no images were kept.", *quotes(said))
    if polarities == {Polarity.AFFIRMED}:
        says = "The signed report says that images were kept; none of them is at hand."
        return open_(says, *quotes(said), prompt="Attach the images that the signed report says were kept.")
    return open_("No retained view of the procedure is at hand.")


def _view_pointer(view: RetainedView) -> Pointer:
    words = ["retained view", view.plane.value if view.plane else "direction not known"]
    words += [f"at {view.acquired_at:%H:%M:%S}"] if view.acquired_at else []
    words += ["contrast agent recorded"] if view.contrast_agent else []
    words += ["final (marked as key image, or the last of its direction)"] if view.is_final else []
    return Pointer(kind=PointerKind.INSTANCE, reference=view.sop_instance_uid, text=", ".join(words))


def _directions(kept: Sequence[RetainedView]) -> str:
    counts = Counter(view.plane.value if view.plane else "not known" for view in kept)
    return f" ({', '.join(f'{count} {name}' for name, count in sorted(counts.items()))})"


def _may_be_more(kept: Sequence[RetainedView]) -> bool:
    """Whether views may lie in more directions than are known: some are not known, or two are oblique."""
    planes = [view.plane for view in kept]
    return None in planes or planes.count(ViewPlane.OBLIQUE) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """Something that a view has to show."""

    what: str
    topic: Topic
    """Under which the procedure's report speaks of it."""
    is_shown: Callable[[RetainedView], bool | None]


def _asked(criterion: Views) -> Iterator[_Shown]:
    if criterion.contrast:
        yield _Shown(
            what="contrast",
            topic=Topic.CONTRAST,
            is_shown=lambda view: True if view.contrast_agent else view.shows_contrast,
        )
    if criterion.needle:
        what = "the needle in its final position"
        yield _Shown(what=what, topic=Topic.NEEDLE, is_shown=lambda view: view.shows_needle)


def _shown(kept: Sequence[RetainedView], asked: _Shown, material: Material, so_far: Answer) -> Answer:
    """Met where a view shows it, or the signed report says so and nobody says that no view does."""
    states = [asked.is_shown(view) for view in kept]
    said = material.anywhere(asked.topic)
    polarities = {one.statement.polarity for one in said}
    is_none = all(state is False for state in states)
    says, pointers, quoted = so_far.sentence, so_far.pointers, quotes(said)
    if polarities == {Polarity.NEGATED} and not any(states):
        return not_met(f"{says} The signed report denies {asked.what}.", *pointers, *quoted)
    if is_none and Polarity.AFFIRMED not in polarities:
        return not_met(f"{says} None shows {asked.what}.", *pointers)
    if any(states) and Polarity.NEGATED not in polarities:
        return met(says, *pointers)
    if polarities == {Polarity.AFFIRMED} and not is_none:
        return met(f"{says} The signed report says that {asked.what} was seen.", *pointers, *quoted)
    if not polarities and not any(states):
        return open_(f"{says} Nobody said whether one shows {asked.what}.", *pointers)
    return open_(f"{says} Images and signed report do not settle whether one shows {asked.what}.", *pointers, *quoted)


def _measurements(
    material: Material, question: Question, name: str, body: Vertebra | None
) -> list[tuple[Seen, Measurement]]:
    found = ((one, one.finding.measurement(name)) for one in seen(material, question, body))
    return [(one, value) for one, value in found if value is not None]
