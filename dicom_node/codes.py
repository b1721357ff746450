"""Which code says what: levels, questions, answers, measurements, grades, reasons. Tables over ``code_table``."""

from __future__ import annotations

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.coding import Code

from dicom_node import code_table as table
from inference.anatomy import Disc, EndplateSide, Laterality, Numbering, Region, Site, Vertebra, parse_level
from inference.errors import ReasonCode
from inference.findings import Absent, Assessment, Grade, NotAssessed, Present, Question
from inference.provenance import MANUFACTURER
from inference.segmentation import Structure

CODE_TABLE_VERSION = table.CODE_TABLE_VERSION

QUESTIONS: dict[Question, Code] = {
    Question.COMPRESSION_FRACTURE: table.OTHERS["42942008"].code,
    Question.MODIC: table.OWN_FINDINGS["MODIC"].code,
    Question.STENOSIS: table.OTHERS["76107001"].code,
    Question.NEEDLE_PLACEMENT: table.OWN_FINDINGS["NEEDLE_POS"].code,
    Question.HARDWARE_LOOSENING: table.OWN_FINDINGS["LUCENCY"].code,
    Question.DISC_DEGENERATION: table.OTHERS["77547008"].code,
    Question.SPONDYLOLISTHESIS: table.OWN_FINDINGS["LISTHESIS"].code,
    Question.DISC_NARROWING: table.OWN_FINDINGS["DISC_NARROW"].code,
    Question.DISC_BULGING: table.OWN_FINDINGS["DISC_BULGE"].code,
    Question.DISC_HERNIATION: table.OWN_FINDINGS["DISC_HERN"].code,
    Question.ENDPLATE_CHANGE: table.OWN_FINDINGS["ENDPLATE"].code,
}

MEASUREMENTS: dict[str, Code] = {
    "anterior_height": table.OWN_MEASUREMENTS["VBH_A"].code,
    "middle_height": table.OWN_MEASUREMENTS["VBH_M"].code,
    "posterior_height": table.OWN_MEASUREMENTS["VBH_P"].code,
    "height_loss": table.OWN_MEASUREMENTS["VBHLOSS"].code,
    "height_z_score": table.OWN_MEASUREMENTS["VBH_Z"].code,
    "marrow_signal_ratio": table.OWN_MEASUREMENTS["STIR_RATIO"].code,
    "marrow_signal_z_score": table.OWN_MEASUREMENTS["STIR_Z"].code,
    "marrow_oedema_share": table.OWN_MEASUREMENTS["BME_SHARE"].code,
    "endplate_band_t1_ratio": table.OWN_MEASUREMENTS["BAND_T1"].code,
    "endplate_band_t2_ratio": table.OWN_MEASUREMENTS["BAND_T2"].code,
    "anterior_disc_height": table.OWN_MEASUREMENTS["DISC_H_A"].code,
    "middle_disc_height": table.OWN_MEASUREMENTS["DISC_H_M"].code,
    "posterior_disc_height": table.OWN_MEASUREMENTS["DISC_H_P"].code,
    "canal_ap_diameter": table.OWN_MEASUREMENTS["CANAL_AP"].code,
    "foraminal_height": table.OWN_MEASUREMENTS["FORAMEN_H"].code,
    "foraminal_width": table.OWN_MEASUREMENTS["FORAMEN_W"].code,
    "foraminal_area": table.OWN_MEASUREMENTS["FORAMEN_AREA"].code,
    "foraminal_fat_fraction": table.OWN_MEASUREMENTS["FORAMEN_FAT"].code,
    "slip": table.OWN_MEASUREMENTS["SLIP"].code,
    "slip_percent": table.OWN_MEASUREMENTS["SLIP_PCT"].code,
    "body_wedge_angle": table.OWN_MEASUREMENTS["WEDGE_ANGLE"].code,
    "local_kyphosis": table.OWN_MEASUREMENTS["KYPHO_COBB"].code,
    "retropulsion": table.OWN_MEASUREMENTS["RETROPULS"].code,
    "canal_compromise": table.OWN_MEASUREMENTS["CANAL_COMP"].code,
    "dural_sac_area": table.OWN_MEASUREMENTS["DURAL_CSA"].code,
    "dural_sac_ap_diameter": table.OWN_MEASUREMENTS["DURAL_AP"].code,
    "dural_sac_width": table.OWN_MEASUREMENTS["DURAL_W"].code,
}
"""By the measurement names of inference.findings."""

AREA = table.SCT["42798000"].code
"""Of a drawn outline, in the plane of its image."""

MAIN_MEASUREMENT: dict[Question, str] = {
    Question.COMPRESSION_FRACTURE: "height_loss",
    Question.STENOSIS: "canal_ap_diameter",
    Question.DISC_DEGENERATION: "middle_disc_height",
    Question.SPONDYLOLISTHESIS: "slip",
}
"""The number that a reader expects for a question: where it could not be had, the report says why (QUALIFIERS)."""

FORAMINAL = table.OTHERS["371000119109"].code
"""What stenosis is called at a foramen."""

GRADES: dict[str, tuple[Code, dict[str, Code]]] = {
    "genant": (
        table.OWN_EVALUATIONS["GENANT"].code,
        {grade: table.OWN_EVALUATIONS[f"GENANT{grade}"].code for grade in "0123"},
    ),
    "genant_shape": (
        table.OWN_EVALUATIONS["VFTYPE"].code,
        {
            "wedge": table.OWN_EVALUATIONS["VFT_WEDGE"].code,
            "biconcave": table.OWN_EVALUATIONS["VFT_BICONC"].code,
            "crush": table.OWN_EVALUATIONS["VFT_CRUSH"].code,
        },
    ),
    "canal_narrowing": (
        table.OWN_EVALUATIONS["CANAL_NARROW"].code,
        {degree: table.OWN_EVALUATIONS[f"CANAL_{degree.upper()}"].code for degree in ("none", "relative", "absolute")},
    ),
    "acuity": (
        table.OWN_EVALUATIONS["VFACUITY_IMG"].code,
        {
            "acute-appearing": table.OWN_EVALUATIONS["VFA_ACUTE"].code,
            "chronic-appearing": table.OWN_EVALUATIONS["VFA_CHRONIC"].code,
        },
    ),
    "sac_narrowing": (
        table.OWN_EVALUATIONS["SAC_NARROW"].code,
        {degree: table.OWN_EVALUATIONS[f"SAC_{degree.upper()}"].code for degree in ("none", "relative", "absolute")},
    ),
    "pfirrmann": (
        table.OWN_EVALUATIONS["PFIRRMANN"].code,
        {grade: table.OWN_EVALUATIONS[f"PFIRR{grade}"].code for grade in "12345"},
    ),
    "modic": (
        table.OWN_EVALUATIONS["MODIC_TYPE"].code,
        {kind: table.OWN_EVALUATIONS[f"MODIC{kind}"].code for kind in "123"},
    ),
    "meyerding": (
        table.OWN_EVALUATIONS["MEYERDING"].code,
        {grade: table.OWN_EVALUATIONS[f"MEYER{grade}"].code for grade in "012345"},
    ),
}
"""By the scale and value names of inference.findings."""

SIDES: dict[Laterality, Code] = {
    Laterality.LEFT: table.SCT["7771000"].code,
    Laterality.RIGHT: table.SCT["24028007"].code,
    Laterality.BILATERAL: table.SCT["51440002"].code,
}
"""CID 244."""

REGIONS: dict[Region, Code] = {Region.FORAMEN: table.OWN_REGIONS["FORAMEN"].code}

ENDPLATES: dict[EndplateSide, Code] = {
    EndplateSide.SUPERIOR: table.SCT["264217000"].code,
    EndplateSide.INFERIOR: table.SCT["261089000"].code,
}

_FAILED = table.DCM["114006"].code
_NOT_ATTEMPTED = table.DCM["114007"].code
_INDETERMINATE = table.DCM["114011"].code

QUALIFIERS: dict[ReasonCode, Code] = {
    **dict.fromkeys(ReasonCode, _NOT_ATTEMPTED),
    ReasonCode.SPACING: table.DCM["114008"].code,
    ReasonCode.MOTION: _FAILED,
    ReasonCode.TRUNCATION: _FAILED,
    ReasonCode.METAL: _FAILED,
    ReasonCode.PIXEL_DATA: _FAILED,
    ReasonCode.FAULT: _FAILED,
    ReasonCode.UNCERTAIN: _INDETERMINATE,
    ReasonCode.NUMBERING: _INDETERMINATE,
    ReasonCode.TRANSITIONAL: _INDETERMINATE,
    ReasonCode.OUT_OF_DISTRIBUTION: _INDETERMINATE,
}
"""CID 42, why a number could not be had."""

_BY_MEANING = {concept.meaning: concept for concept in table.ALL_CONCEPTS}


def level_code(level: str | None) -> Code:
    """The code of ``L1``, ``L4-L5``, ``S1`` (Sacrum: PS3.16 has no S1); the whole spine for None (CID 7603, 7604)."""
    if level is None:
        return table.SCT["421060004"].code
    place = parse_level(level)
    if isinstance(place, Vertebra):
        return _vertebra_code(place)
    return _disc_code(place)


def _vertebra_code(vertebra: Vertebra) -> Code:
    if vertebra is Vertebra.S1:
        return table.SCT["54735007"].code
    if vertebra.is_transitional:
        return table.OWN_SITES[vertebra.name].code
    return _BY_MEANING[f"{vertebra.name} vertebra"].code


def _disc_code(disc: Disc) -> Code:
    above, below = disc.above.name, disc.below.name
    standard = _BY_MEANING.get(f"{above}/{below} disc")
    own = table.OWN_DISCS.get(f"DISC_{above}_{below}")
    concept = standard or own
    if concept is None:
        raise ValueError(f"there is no code for a disc between {above} and {below}")
    return concept.code


def site_codes(site: Site) -> tuple[Code, Code | None, Code | None]:
    """(anatomic location, laterality, topographical modifier: its endplate or region) of a site."""
    part = None if site.endplate is None else ENDPLATES[site.endplate]
    return (
        level_code(site.level),
        None if site.side is None else SIDES[site.side],
        part if site.region is None else REGIONS[site.region],
    )


def question_code(question: Question, site: Site) -> Code:
    """What a question is called at a site."""
    if question is Question.STENOSIS and site.region is Region.FORAMEN:
        return FORAMINAL
    return QUESTIONS[question]


def main_measurement(question: Question, site: Site) -> str | None:
    """The name of the number that a reader expects for a question at a site, None where there is none."""
    if question is Question.STENOSIS and site.region is Region.FORAMEN:
        return "foraminal_height"
    return MAIN_MEASUREMENT.get(question)


def structure_code(structure: Structure, level: str | None) -> Code:
    """Segmented property type of a structure: the level's own code; the canal has one code for all levels."""
    if structure is Structure.SPINAL_CANAL:
        return table.SCT["61853006"].code
    return level_code(level)


def answer_code(assessment: Assessment) -> Code:
    """CID 240: Present, Absent; a question that was not assessed is Undetermined, with its reason beside it."""
    match assessment:
        case Present():
            return table.SCT["52101004"].code
        case Absent():
            return table.SCT["272519000"].code
        case NotAssessed():
            return table.SCT["373068000"].code


def reason_code(reason: ReasonCode) -> Code:
    """Why something was not assessed."""
    return table.OWN_REASONS[reason].code


def numbering_code(numbering: Numbering) -> Code:
    """Whether the levels of a study can be trusted."""
    if numbering.method == "none":
        return table.OWN_EVALUATIONS["NUMB_NONE"].code
    return table.OWN_EVALUATIONS["NUMB_AMBIGUOUS" if numbering.ambiguous else "NUMB_CLEAR"].code


def measurement_code(name: str) -> Code:
    """The concept name of a measurement; ValueError for a name that has no code yet."""
    if name not in MEASUREMENTS:
        raise ValueError(f"measurement {name!r} has no code; add it to codes.MEASUREMENTS ({', '.join(MEASUREMENTS)})")
    return MEASUREMENTS[name]


def grade_codes(grade: Grade) -> tuple[Code, Code]:
    """(name, value) of a grade; ValueError for a scale or value that has no code yet."""
    if grade.scale not in GRADES or grade.value not in GRADES[grade.scale][1]:
        raise ValueError(f"grade {grade.scale} {grade.value!r} has no code; add it to codes.GRADES")
    name, values = GRADES[grade.scale]
    return name, values[grade.value]


def unit_code(unit: str) -> Code:
    """The UCUM concept of a unit; ValueError for a unit that is not in the table."""
    if unit not in table.UCUM:
        raise ValueError(f"unit must be one of {', '.join(table.UCUM)}, got {unit!r}")
    return table.UCUM[unit].code


def coding_scheme() -> CodingSchemeIdentificationItem:
    """The Coding Scheme Identification item of 99SPINEAI (PS3.3 C.12.1)."""
    return CodingSchemeIdentificationItem(
        designator=table.PRIVATE_SCHEME,
        name=table.PRIVATE_SCHEME_NAME,
        version=table.CODE_TABLE_VERSION,
        responsible_organization=MANUFACTURER,
    )
