"""Every coded concept that our objects use, with where it was read: one table, no code outside it.

Policy: a PS3.16 code if there is one; else a SNOMED CT code that was read in a published value set; else our own
private scheme ``99SPINEAI`` (PS3.16 section 8: private schemes begin with 99), which every object declares in Coding
Scheme Identification. No SNOMED code is used that was not read in one of these places. RadElement identifiers are a
documented mapping only and are never sent.
"""

from __future__ import annotations

from dicom_node.concept import Concept
from inference.errors import ReasonCode
from inference.findings import ReviewReason

PRIVATE_SCHEME = "99SPINEAI"
PRIVATE_SCHEME_NAME = "Spine imaging AI findings"
CODE_TABLE_VERSION = "1"
"""Changes when a meaning or a use changes; part of every derived UID."""

PS3_16 = "PS3.16"
"""In the standard's own dictionary, as pydicom carries it; the unit test compares every one."""
TID_1500 = "PS3.16 TID 1500"
"""Printed in the template; not in pydicom's dictionary."""
FSN = "PS3.16's SNOMED CT table, by fully specified name: Source (attribute)"
OIDM = "HL7 guides (FSH) and the OIDM code list"
VSAC = "VSAC value set 2.16.840.1.113762.1.4.1021.95"
LOINC = "LOINC; check digit verified by a unit test"
OWN = "this project"


def _standard(scheme: str, rows: str) -> dict[str, Concept]:
    """Concepts of PS3.16: one ``value meaning`` per line, keyed by value."""
    pairs = (row.strip().split(" ", 1) for row in rows.strip().splitlines())
    return {value: Concept(value=value, scheme=scheme, meaning=meaning, source=PS3_16) for value, meaning in pairs}


def _own(rows: dict[str, str], radelement: dict[str, str] | None = None) -> dict[str, Concept]:
    mapped = radelement or {}
    return {
        value: Concept(
            value=str(value), scheme=PRIVATE_SCHEME, meaning=meaning, source=OWN, radelement=mapped.get(value)
        )
        for value, meaning in rows.items()
    }


DCM = _standard(
    "DCM",
    """
    109102 Processing Equipment
    111001 Algorithm Name
    111002 Algorithm Parameters
    111003 Algorithm Version
    111028 Image Library
    112039 Tracking Identifier
    112040 Tracking Unique Identifier
    114006 Measurement failure
    114007 Measurement not attempted
    114008 Calculation failure
    114011 Value indeterminate
    113001 Rejected for Quality Reasons
    113020 For Report Attachment
    113037 Rejected for Patient Safety Reasons
    121006 Person
    121007 Device
    121058 Procedure reported
    121065 Procedure Description
    121071 Finding
    121094 Performing
    121106 Comment
    121139 Modality
    121322 Source image for image processing operation
    122157 Probability
    123110 Artificial Intelligence
    125007 Measurement Group
    126000 Imaging Measurement Report
    126010 Imaging Measurements
    126200 Image Library Group
    CR Computed Radiography
    CT Computed Tomography
    DX Digital Radiography
    MR Magnetic Resonance
    RF Radiofluoroscopy
    XA X-Ray Angiography
    """,
)

SCT = _standard(
    "SCT",
    """
    52101004 Present
    272519000 Absent
    373068000 Undetermined
    363698007 Finding Site
    42798000 Area
    371885007 -, range of lower measurement uncertainty
    371886008 +, range of upper measurement uncertainty
    24028007 Right
    7771000 Left
    51440002 Bilateral
    264217000 Superior
    261089000 Inferior
    91723000 Anatomical Structure
    363679005 Imaging procedure
    421060004 Spine
    122494005 Cervical spine
    122495006 Thoracic spine
    122496007 Lumbar spine
    61853006 Vertebral canal
    54735007 Sacrum
    14806007 C1 vertebra
    39976000 C2 vertebra
    113205007 C3 vertebra
    5329002 C4 vertebra
    36978003 C5 vertebra
    36054005 C6 vertebra
    87391001 C7 vertebra
    64864005 T1 vertebra
    53733008 T2 vertebra
    1626008 T3 vertebra
    73071006 T4 vertebra
    56401006 T5 vertebra
    45296009 T6 vertebra
    62487009 T7 vertebra
    11068009 T8 vertebra
    82687006 T9 vertebra
    7610001 T10 vertebra
    12989004 T11 vertebra
    23215003 T12 vertebra
    66794005 L1 vertebra
    14293000 L2 vertebra
    36470004 L3 vertebra
    11994002 L4 vertebra
    49668003 L5 vertebra
    1078209008 C2/C3 disc
    58820006 C3/C4 disc
    49400002 C4/C5 disc
    73959003 C5/C6 disc
    75095006 C6/C7 disc
    37414007 C7/T1 disc
    40908007 T1/T2 disc
    6004007 T2/T3 disc
    2620004 T3/T4 disc
    82965004 T4/T5 disc
    72692000 T5/T6 disc
    74401007 T6/T7 disc
    28693002 T7/T8 disc
    9188009 T8/T9 disc
    113209001 T9/T10 disc
    34959001 T10/T11 disc
    1537001 T11/T12 disc
    76206002 T12/L1 disc
    80064006 L1/L2 disc
    67459009 L2/L3 disc
    62551000 L3/L4 disc
    84020006 L4/L5 disc
    715056000 L5/S1 disc
    """,
)

UCUM = _standard("UCUM", "1 no units\n% Percent\nmm mm\nmm2 square millimeter\ndeg Degree")

LN_STANDARD = _standard(
    "LN",
    """
    25056-3 MRI unspecified body region
    25045-6 CT unspecified body region
    43468-8 XR unspecified body region
    18748-4 Diagnostic Imaging Report
    55112-7 Summary
    59776-5 Findings
    55111-9 Current Procedure Descriptions
    """,
)

OTHERS: dict[str, Concept] = {
    c.value: c
    for c in (
        Concept(value="C0034375", scheme="UMLS", meaning="Qualitative Evaluations", source=TID_1500),
        Concept(value="260753009", scheme="SCT", meaning="Source", source=FSN),
        Concept(
            value="42942008",
            scheme="SCT",
            meaning="Compression fracture of vertebral column",
            source=OIDM,
            radelement="RDES230",
        ),
        Concept(value="76107001", scheme="SCT", meaning="Spinal stenosis", source=VSAC, radelement="RDES300"),
        Concept(value="371000119109", scheme="SCT", meaning="Stenosis of intervertebral foramina", source=VSAC),
        Concept(value="77547008", scheme="SCT", meaning="Degenerative disc disease", source=VSAC, radelement="RDES300"),
    )
}

LN_PROCEDURES: dict[str, Concept] = {
    value: Concept(value=value, scheme="LN", meaning=meaning, source=LOINC)
    for value, meaning in {
        "24968-0": "MR Lumbar spine",
        "24980-5": "MR Thoracic spine",
        "24935-9": "MR Cervical spine",
        "24963-1": "CT Lumbar spine",
        "24978-9": "CT Thoracic spine",
        "24972-2": "XR Lumbar spine",
        "24983-9": "XR Thoracic spine",
    }.items()
}

OWN_FINDINGS = _own(
    {
        "MODIC": "Modic change of vertebral endplate",
        "NEEDLE_POS": "Needle tip inside the outlined target",
        "LUCENCY": "Peri-implant lucency",
        "LISTHESIS": "Spondylolisthesis",
        "DISC_NARROW": "Intervertebral disc space narrowing",
        "DISC_BULGE": "Intervertebral disc bulging",
        "DISC_HERN": "Intervertebral disc herniation",
        "ENDPLATE": "Vertebral endplate change",
    },
    {"MODIC": "RDES300", "DISC_NARROW": "RDES300"},
)

OWN_MEASUREMENTS = _own(
    {
        "VBH_A": "Anterior vertebral body height",
        "VBH_M": "Middle vertebral body height",
        "VBH_P": "Posterior vertebral body height",
        "VBHLOSS": "Vertebral body height loss",
        "VBH_Z": "Vertebral body height z-score, worst of three",
        "STIR_RATIO": "Marrow signal ratio to expected, fat-suppressed MR",
        "STIR_Z": "Marrow signal z-score, fat-suppressed MR",
        "BME_SHARE": "Share of vertebral body with marrow edema signal",
        "BAND_T1": "Endplate marrow signal ratio to its vertebral body, T1",
        "BAND_T2": "Endplate marrow signal ratio to its vertebral body, T2",
        "DISC_H_A": "Anterior disc height",
        "DISC_H_M": "Middle disc height",
        "DISC_H_P": "Posterior disc height",
        "CANAL_AP": "Spinal canal antero-posterior diameter",
        "FORAMEN_H": "Neural foramen height between pedicles",
        "FORAMEN_W": "Neural foramen width at the disc",
        "FORAMEN_AREA": "Neural foramen area in the parasagittal plane",
        "FORAMEN_FAT": "Share of the neural foramen with fat signal, MR",
        "SLIP": "Slip of a vertebra on the one below, anterior positive",
        "SLIP_PCT": "Slip over depth of the lower superior endplate",
        "WEDGE_ANGLE": "Vertebral body wedge angle, kyphotic positive",
        "KYPHO_COBB": "Local kyphosis (Cobb) around a vertebra",
        "RETROPULS": "Retropulsion of the posterior vertebral wall",
        "CANAL_COMP": "Spinal canal compromise behind a vertebra",
        "DURAL_CSA": "Dural sac cross-sectional area",
        "DURAL_AP": "Dural sac antero-posterior diameter",
        "DURAL_W": "Dural sac transverse diameter",
        "SCORE": "Probability estimate, not calibrated on patients",
    }
)

OWN_EVALUATIONS = _own(
    {
        "GENANT": "Genant semiquantitative grade",
        "GENANT0": "Genant grade 0 (normal)",
        "GENANT1": "Genant grade 1 (mild)",
        "GENANT2": "Genant grade 2 (moderate)",
        "GENANT3": "Genant grade 3 (severe)",
        "VFTYPE": "Vertebral deformity shape (Genant)",
        "VFT_WEDGE": "Wedge deformity",
        "VFT_BICONC": "Biconcave deformity",
        "VFT_CRUSH": "Crush deformity",
        "CANAL_NARROW": "Narrowing of the lumbar canal by its mid-sagittal diameter",
        "CANAL_NONE": "Canal not narrow",
        "CANAL_RELATIVE": "Canal relatively narrow",
        "CANAL_ABSOLUTE": "Canal absolutely narrow",
        "VFACUITY_IMG": "Imaging-apparent acuity of vertebral fracture",
        "VFA_ACUTE": "Acute-appearing",
        "VFA_CHRONIC": "Chronic-appearing",
        "SAC_NARROW": "Narrowing of the lumbar dural sac by its cross-sectional area",
        "SAC_NONE": "Dural sac not narrow",
        "SAC_RELATIVE": "Dural sac relatively narrow",
        "SAC_ABSOLUTE": "Dural sac absolutely narrow",
        "PFIRRMANN": "Pfirrmann disc degeneration grade",
        "PFIRR1": "Pfirrmann grade I",
        "PFIRR2": "Pfirrmann grade II",
        "PFIRR3": "Pfirrmann grade III",
        "PFIRR4": "Pfirrmann grade IV",
        "PFIRR5": "Pfirrmann grade V",
        "MODIC_TYPE": "Modic type of a vertebral endplate change, not calibrated",
        "MODIC1": "Modic type 1",
        "MODIC2": "Modic type 2",
        "MODIC3": "Modic type 3",
        "MEYERDING": "Meyerding grade of spondylolisthesis",
        "MEYER0": "No slip by Meyerding",
        "MEYER1": "Meyerding grade I",
        "MEYER2": "Meyerding grade II",
        "MEYER3": "Meyerding grade III",
        "MEYER4": "Meyerding grade IV",
        "MEYER5": "Meyerding grade V (spondyloptosis)",
        "NOT_ASSESSED": "Not assessed, and why",
        "NOT_ASSESSED_WHY": "Reason for not assessing",
        "OPERATING_POINT": "Operating point of the decision",
        "METHOD": "Measurement method, in words",
        "NUMBERING": "Vertebral level numbering",
        "NUMB_CLEAR": "Level numbering not in doubt",
        "NUMB_AMBIGUOUS": "Level numbering ambiguous",
        "NUMB_NONE": "No level was numbered",
    }
)

OWN_REVIEW = _own(
    {
        "REVIEW": "Review of the finding by a person",
        "ACCEPTED": "Accepted as the AI gave it",
        "CORRECTED": "Corrected",
        "REJECTED": "Rejected",
        "ADDED": "Added; the AI did not give it",
        "REVIEW_WHY": "Reason of the review decision",
        ReviewReason.NOT_THERE: "The finding is not there",
        ReviewReason.MISSED: "The finding was missed",
        ReviewReason.ARTEFACT: "An artefact was taken for a finding",
        ReviewReason.OTHER_CAUSE: "Another cause of what is seen",
        ReviewReason.IMAGE_QUALITY: "The images do not allow the answer",
        ReviewReason.LEVEL: "At another level",
        ReviewReason.GRADE: "Of another grade",
        ReviewReason.GEOMETRY: "Mark, line or outline in the wrong place",
        ReviewReason.REPLACED: "Replaced by another finding at its site",
        ReviewReason.OTHER: "Another reason, in words",
    }
)

OWN_SITES = _own({"T13": "T13 vertebra (transitional)", "L6": "L6 vertebra (transitional)"})

OWN_REGIONS = _own({"FORAMEN": "Intervertebral foramen at the disc"})
"""PS3.16 has no neural foramen by level: the site is the disc, its side, and this as topographical modifier."""

OWN_DISCS = _own(
    {
        "DISC_T12_T13": "T12/T13 disc (transitional)",
        "DISC_T13_L1": "T13/L1 disc (transitional)",
        "DISC_L5_L6": "L5/L6 disc (transitional)",
        "DISC_L6_S1": "L6/S1 disc (transitional)",
        "DISC_L4_S1": "L4/S1 disc (transitional)",
    }
)

OWN_REASONS = _own(
    {
        ReasonCode.MODALITY: "The modality cannot answer this question",
        ReasonCode.BODY_PART: "Expected anatomy not found",
        ReasonCode.ORIENTATION: "Plane of the slices not readable for this question",
        ReasonCode.MISSING_SERIES: "No series of the required role",
        ReasonCode.SPACING: "Spacing missing, uneven or out of range",
        ReasonCode.TOO_FEW_SLICES: "Too few slices",
        ReasonCode.LOCALIZER: "Series is a localizer",
        ReasonCode.MOTION: "Motion artefact",
        ReasonCode.TRUNCATION: "Structure touches the edge of the field of view",
        ReasonCode.METAL: "Metal or cement artefact",
        ReasonCode.POST_CONTRAST: "Acquired after contrast agent",
        ReasonCode.PAEDIATRIC: "Patient younger than 18 years",
        ReasonCode.DUPLICATE: "Two instances claim the same position",
        ReasonCode.BURNED_IN: "Text burned into the pixels",
        ReasonCode.GEOMETRY: "Position or orientation missing or inconsistent",
        ReasonCode.PIXEL_DATA: "Pixel data missing or not decodable",
        ReasonCode.MIXED: "Series holds images of different kinds",
        ReasonCode.DERIVED: "Series computed from other images",
        ReasonCode.NOT_DICOM: "Not a readable DICOM instance",
        ReasonCode.NO_MODEL: "No installed detector answers this question",
        ReasonCode.FAULT: "Detector failed by a fault of the program",
        ReasonCode.UNCERTAIN: "Uncertainty too large for a statement",
        ReasonCode.FEW_SLICES: "Few slices limit the measurements",
        ReasonCode.LATERAL_SLICES: "Slices beside the spine were not read",
        ReasonCode.NUMBERING: "Level numbering uncertain",
        ReasonCode.TRANSITIONAL: "Transitional vertebra cannot be excluded",
        ReasonCode.OUT_OF_DISTRIBUTION: "Image differs from the training data",
        ReasonCode.REJECTED: "Rejected by the reviewer",
        ReasonCode.NOT_CHOSEN: "Another series of the study was read instead",
    }
)

ALL_CONCEPTS: tuple[Concept, ...] = tuple(
    concept
    for table in (
        DCM,
        SCT,
        UCUM,
        LN_STANDARD,
        OTHERS,
        LN_PROCEDURES,
        OWN_FINDINGS,
        OWN_MEASUREMENTS,
        OWN_EVALUATIONS,
        OWN_REVIEW,
        OWN_SITES,
        OWN_REGIONS,
        OWN_DISCS,
        OWN_REASONS,
    )
    for concept in table.values()
)
