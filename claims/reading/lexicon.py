"""What radiologists write, as tables of patterns over folded text; their order of precedence is in ``claims.reading.marks``.

The cues follow the scheme of NegEx and ConText (Chapman 2001, doi:10.1006/jbin.2001.1029; Harkema 2009,
doi:10.1016/j.jbi.2009.05.002): cues that look forward or back, words that only look like cues, words that end a scope.
"""

from __future__ import annotations

import re
from enum import Enum

from claims.report import Acuity, Topic


class Kind(Enum):
    """What a mark does."""

    CONCEPT = "concept"
    SOFT = "soft"
    """A change of shape that the report may or may not mean as a fracture."""
    INTACT = "intact"
    """Says of itself that bodies are whole."""
    LEVEL = "level"
    NEGATES_NEXT = "negates next"
    NEGATES_LAST = "negates last"
    HEDGES_NEXT = "hedges next"
    HEDGES_LAST = "hedges last"
    ASKS = "asks"
    """What follows is looked for or recommended, not found."""
    EARLIER = "earlier"
    """What the sentence says is of an earlier study or of the past ..."""
    STILL = "still"
    """... and still holds."""
    ACUITY = "acuity"
    CORRECTS = "corrects"
    """The level behind it is the wrong one."""
    EXCEPT = "except"
    PART = "part"
    """A part of a vertebra, or a bone, other than a vertebral body."""
    BREAK = "break"
    """A scope ends."""
    COMMA = "comma"
    OR = "or"
    AND = "and"
    IGNORED = "ignored"
    """Looks like one of the others and is none."""


def _any(*patterns: str) -> str:
    return "|".join(patterns)


_FRACTURE = r"(?:fractures?|fractured|fx'?s?|fxs|frx|frature|fractrue|factures?)"
_HEIGHT = r"(?:vertebral |vertebra |body |bodies |the |anterior |central ){0,4}heights?"
_BODIES = r"(?:vertebra\w*|vertebral bod(?:y|ies)|bodies|body|levels?)"
_LESSER = r"(?:significant |interval |appreciable |substantial |further |new ){0,3}"
_FLUID = r"(?:stir|fat[ -]?sat\w*|fat[ -]suppressed|fluid[ -]sensitive|t2 ?/ ?stir|stir ?/ ?t2|t2 and stir)"
_SIGNAL = (
    r"(?:hyper-?intens\w+|hypersignal|signal hyper-?intens\w+|(?:high|bright|increased|abnormal|elevated) signal"
    r"|signal(?: intensity)?(?: increase| elevation| abnormality)?|bright(?:ness)?|o?edema|positive|pos)"
)
_SEEN = (
    r"(?:seen|identified|present|evident|demonstrated|noted|visuali[sz]ed|detected|appreciated|observed|apparent|found"
    r"|visible|shown|displaced)"
)
_BE = r"(?:is |are |was |were |has been |have been |be )"
_SURELY = r"(?:entirely |completely |definitively |reliably |confidently |definitely |clearly )?"
_CANNOT = r"(?:cannot|can not|can't|could not|couldn't)"
_STUDY = (
    r"(?:study|studies|exam\w*|mri?s?|ct|imaging|radiographs?|x-?rays?|reports?|scans?|films?|bone scan|read(?:ing)?)"
)
_REGION = r"(?:lumbar|thoracic|spine|mri?|ct|outside|l-?spine|l|t)"

CONCEPTS: tuple[tuple[Topic, str], ...] = (
    (
        Topic.FRACTURE,
        _any(
            rf"(?:vertebral |body |wedge |burst |osteoporotic |insufficiency |fragility |compression |crush |biconcave ){{0,5}}{_FRACTURE}",
            r"(?:superior |inferior )?end ?-?plate fractures?",
            r"(?:wedge |anterior |vertebral |body ){0,3}compression (?:deformit(?:y|ies)|injur(?:y|ies))",
            r"(?:wedge|vertebral body|vertebral) compressions?",
            r"vcf'?s?",
            r"vertebra plana",
            r"(?:wedge|osteoporotic|compression) collapse",
        ),
    ),
    (
        Topic.EDEMA,
        _any(
            r"(?:bone |vertebral |osseous |marrow |body |endplate |end plate |trabecular |intra-?osseous )*(?:o?edema(?:tous)?|edma)",
            r"(?:bone|marrow|trabecular|intra-?osseous) (?:bruis\w+|contusions?)",
            r"bme",
            rf"{_FLUID}(?: (?:marrow|sequence))? ?-?{_SIGNAL}",
            r"stir(?= ?\+)|stir ?(?:neg(?:ative)?|-ve)",
            r"t2 (?:marrow )?(?:hyper-?intens\w+|bright|high signal)(?=[^.]*(?:marrow|bod(?:y|ies)|end ?-?plate))",
            rf"(?:hyper-?intens\w+|high|increased|bright|elevated|raised|abnormal)(?: (?:signal|marrow|intensity)){{0,2}} (?:on|in) (?:the )?{_FLUID}"
            r"(?: (?:signal|sequences?|images?|imaging|weighted))*",
            rf"(?:hyper-?intens\w+|high|increased|bright|elevated|raised|abnormal) {_FLUID} ?(?:signal)?",
            r"(?:(?:increased|intense|focal|abnormal|avid|moderate|mild|linear|radiotracer|tracer|mdp|fdg|osseous|bony|elevated|high|other) )*"
            r"(?:uptake|tracer activity|radiotracer accumulation|tracer accumulation)",
            r"(?:increased|intense|elevated) (?:radiotracer |tracer )?activity",
            r"(?:increased |elevated |abnormal )?marrow signal (?:change|abnormality|alteration|increase)s?",
            r"(?:increased|elevated|abnormal) marrow signal",
        ),
    ),
    (
        Topic.RETROPULSION,
        _any(
            r"(?:bony |osseous |posterior )?retro-?puls(?:ion|ed|ive)(?: (?:fragments?|bone|of bone))*",
            r"retropulstion",
            r"posterior (?:cortical|wall|cortex|margin)(?: wall)? (?:displacement|bulg\w+|buckl\w+|bow\w+|convexity)",
            r"(?:bowing|bulging|buckling|displacement) of the posterior (?:cortex|wall|cortical margin|margin|vertebral wall)",
        ),
    ),
    (
        Topic.OTHER_CAUSE,
        _any(
            r"metasta(?:s[ie]s|tic)\w*(?: (?:disease|lesions?|deposits?))?",
            r"mets?",
            r"(?:multiple )?myeloma\w*",
            r"plasmacytoma|lymphoma\w*|leuk\w+",
            r"malignan(?:t|cy)(?: (?:lesions?|infiltration|process))?",
            r"neoplas\w+",
            r"tumou?rs?",
            r"(?:osteo)?lytic(?: (?:lesions?|process|destruction))?",
            r"marrow[ -](?:infiltrat\w+|replac\w+)",
            r"infiltrative(?: (?:process|lesion))?",
            rf"path(?:ologic|ological)? (?:compression |vertebral |burst |wedge )*{_FRACTURE}",
            r"pathological|pathologic",
            r"(?:spondylo-?)?dis[ck]itis(?:[ /-]+osteomyelitis)?|osteomyelit\w+|spondylodis[ck]itis",
            r"infecti(?:on|ous)\w*|abscess\w*|tubercul\w+",
            r"schmorl'?s?(?: (?:type )?(?:nodes?|node formation|hernia\w*))?",
            r"intravertebral (?:disc )?hernia\w+",
            r"modic(?: type)?[ -]?(?:changes? )?(?:type )?(?:i|1|one)(?![ivx0-9])(?:[ /-]+(?:ii|2)(?![i3]))?"
            r"(?: (?:end ?-?plate|reactive|signal|type|changes?|degenerative|inflammatory|oedema|edema))*",
            r"type (?:i|1|one) (?:end ?-?plate|modic)(?: changes?)?",
            r"degenerative (?:end ?-?plate|marrow)(?: (?:o?edema|signal|reactive|changes?))*",
            r"reactive (?:marrow |end ?-?plate )*(?:o?edema|changes?|signal)",
            r"(?:degenerative|inflammatory|discogenic) (?:marrow |end ?-?plate )*o?edema",
        ),
    ),
    (
        Topic.AUGMENTED,
        _any(
            r"(?:balloon )?kyph?o-?plast\w+|kypho|vertebro-?plast\w+",
            r"(?:bone )?cement(?:ed|ation)?(?: (?:augmentation|material))?",
            r"pmma|(?:poly)?methyl-?methacrylate",
            r"(?:vertebral |cement )*augment(?:ation|ed)",
        ),
    ),
    (
        Topic.TRANSITIONAL,
        _any(
            r"(?:five|5) (?:non-?rib[ -]?bearing )?lumbar(?:[ -]type)? (?:vertebra\w*|segments?|bodies|vertebral bodies)",
            r"(?:six|6|four|4) (?:non-?rib[ -]?bearing )?lumbar(?:[ -]type)? (?:vertebra\w*|segments?|bodies|vertebral bodies)",
            r"(?:lumbo-?sacral |thoraco-?lumbar )?transitional (?:lumbo-?sacral |lumbar |sacral )?(?:anatomy|vertebra\w*|segment\w*|body|level)",
            r"lstv|castellvi",
            r"(?:partial(?:ly)? |complete(?:ly)? )?(?:sacrali[sz](?:ed|ation)|lumbari[sz](?:ed|ation))",
            r"(?:thirteen|13|eleven|11) (?:pairs? of |rib[ -]bearing )?(?:ribs?|thoracic vertebra\w*)",
            r"(?:hypoplastic|rudimentary) (?:12th |twelfth |last |disc|disk )?(?:ribs?)?",
            r"numbered|numbering|enumerat\w+|numeration|counted (?:from|down\w*|up\w*)|(?:re)?counting|segmentation anomal\w+",
        ),
    ),
)
"""What statements are made of. Among matches that begin at one place the longest counts."""

FLUID_SENSITIVE = re.compile(rf"\b{_FLUID}\b")
SIGNAL = r"hyper-?intens\w+|(?:high|increased|bright|elevated|abnormal) signal"
"""Oedema in a sentence that speaks of a fluid-sensitive sequence."""

SOFT = _any(
    rf"(?:loss of|decreased?|reduced|reduction (?:of|in)|diminished|diminution of) {_HEIGHT}",
    r"loss(?= of (?:the )?(?:th?|l)-?\d\d?(?: vertebral)?(?: body)? height)",
    r"(?:vertebral |body |anterior |central |vertical ){0,3}height (?:loss|reduction|decrease)|loss of ht|ht loss|loss ht",
    r"(?:mild |anterior |vertebral |body |biconcave |wedge |end ?-?plate ){0,3}deformit(?:y|ies)",
    r"(?:anterior )?wedg(?:ing|ed)|wedge[ -]shaped?",
    r"collapsed?|compressed|biconcav\w+",
    r"(?:superior |inferior )?end ?-?plate (?:depression|concavity|irregularity|impaction|infraction|compression|collapse|indentation)",
    r"(?:depression|compression|impaction|concavity|infraction|irregularity|collapse) of the (?:superior|inferior) end ?-?plate",
    r"(?:recent |old )?compression(?= with)",
)
INTACT = _any(
    rf"{_HEIGHT}(?: and alignment)? (?:{_BE}|appears? |remains? )?(?:otherwise )?(?:well |grossly |relatively )?(?:maintained|preserved|normal|intact|unremarkable|nl)",
    rf"(?:normal|preserved|maintained) (?:in |vertebral |body ){{0,2}}heights?(?= of {_BODIES}|$|[.;,])|normal in height",
    rf"heights? of (?:all |the |other |remaining ){{0,4}}{_BODIES} (?:{_BE})?(?:preserved|maintained|normal)",
    rf"(?:maintain(?:s|ed)?|preserv\w+) (?:of )?(?:normal )?{_HEIGHT}|of normal height",
    rf"{_BODIES} (?:is |are |appear )?(?:otherwise )?intact",
)
"""The bodies keep their heights: no compression fracture, said of all of them or of those named."""

ACUITIES: tuple[tuple[Acuity, str], ...] = (
    (
        Acuity.INDETERMINATE,
        _any(
            r"(?:age|acuity|chronicity)[ -](?:is |of )?(?:indeterminate|undetermined|indeterminant|uncertain|unknown|indet)",
            r"(?:indeterminate|undetermined|uncertain|unknown|unclear)(?: in)? (?:age|acuity|chronicity)",
            rf"(?:age|acuity|chronicity) (?:{_CANNOT} be|is not|is difficult to be|not) (?:reliably |accurately )?(?:determined?|assess\w*|establish\w*|known|clear)",
            r"indeterminate",
            r"(?:acute|subacute|recent)[ /-]+(?:on|to|or|versus|vs\.?|and)?[ /-]*(?:chronic|old)",
            r"(?:chronic|old)[ /-]+(?:or|versus|vs\.?)[ /-]+(?:acute|subacute|recent|new)",
            r"non-?acute|not acute|not recent|not chronic|not old",
            r"late subacute|(?:partially )?healing|recent or old",
        ),
    ),
    (
        Acuity.SUBACUTE,
        r"(?:acute|recent)(?: to | ?/ ?| or |-to-|-)(?:early )?sub-?acute|(?:early )?sub-?acute(?:[ -]appearing)?",
    ),
    (
        Acuity.ACUTE,
        r"acute(?:ly)?(?:[ -](?:appearing|looking))?|new(?:ly)?|recent|fresh|interval (?:development|appearance) of|actue",
    ),
    (
        Acuity.CHRONIC,
        r"chronic(?:ally)?(?:[ -]appearing)?|older|old|remote|(?:well[ -]|completely )?healed|united|long-?standing|ancient",
    ),
)
UNCHANGED = rf"stable|unchanged|similar in appearance|without {_LESSER}change|no {_LESSER}change"
"""Says that an earlier study showed the same, not how old it is."""

CUES: tuple[tuple[Kind, str], ...] = (
    (
        Kind.CORRECTS,
        r"(?:rather than|instead of|and not|not|in place of|(?:erroneously|incorrectly) (?:stated|reported|dictated|described|labell?ed) as"
        r"|misidentified as|mislabell?ed as)(?: (?:at|of|in|the|as|involving))*(?= ?(?:th|[tdlcs]) ?-?\d)",
    ),
    (
        Kind.IGNORED,
        _any(
            rf"(?:no|without) {_LESSER}(?:change|progression|increase|worsening|alteration|difference)s?(?: in| of| to| from| since)*",
            r"not (?:significantly |appreciably |substantially )?(?:changed|progressed)|not only|(?:no|without) doubt",
            rf"{_FRACTURE} (?:risk|lines?|assessment|protocol|clefts?|prevention|liaison|clinic)",
            rf"risk (?:of|for) (?:\w+ ){{0,3}}{_FRACTURE}",
            r"(?:no |without )?(?:\w+ )?cement (?:leak\w*|extravasation)",
            r"(?:dis[ck]|dis[ck][ -]spaces?|intervertebral|interspace) (?:space )?(?:heights?(?: loss)?|collapse|narrowing)",
            r"(?:loss of|decreased|reduced) (?:the )?(?:dis[ck]|intervertebral)(?: space)? height",
            r"loss of (?:normal |the )*(?:cervical|lumbar|thoracic) lordosis",
            r"(?:soft[ -]tissue|paraspinal|paravertebral|prevertebral|subcutaneous|musc\w+|cord|facet|interspinous|ligament\w*"
            r"|dependent|fatty|pedal|presacral|pulmonary|retroperitoneal|periarticular|nerve root)(?: \w+)? (?:o?edema|uptake|contusion|stir \w+)",
            r"o?edema (?:in|of|within|involving) the (?:paraspinal|soft|posterior|cord|spinal cord|muscles?|subcutaneous|interspinous)",
            r"(?:spinal|kyphotic|scoliotic) deformity|deformity of the (?:cord|thecal sac|spine)",
            r"(?:cord|thecal sac|nerve root|neural|root) (?:compression|deformity)",
            r"chronic (?:low |lower |mid |upper )?(?:back )?pain",
            r"chronic (?:kidney|dis[ck]|degenerative|disease|obstructive|opioid|steroid|small|microvascular|renal|pars)\w*",
            r"acute (?:low |lower |mid )?(?:back )?(?:pain|abnormality|findings?|distress|canal|cord)|acute osseous abnormality",
            r"old (?:man|woman|male|female|lady|gentleman|patient)|(?:year|yr|y/?o)s?[ -]old",
            r"stable (?:alignment|appearance of the)|new (?:onset|back|pain|or worsening|symptoms)",
            r"recent (?:fall|trauma|injury|mri|ct|prior|study|exam|surgery|radiographs?|x-?rays?|procedure|augmentation)",
            r"(?:physiologic|normal|expected|symmetric|homogeneous|renal|bladder) (?:\w+ )?(?:uptake|activity)",
            r"tumou?r markers?|no prior|transitional cell|osteoporotic",
        ),
    ),
    (
        Kind.NEGATES_NEXT,
        _any(
            r"no (?:mri |mr |ct |imaging |radiographic |scintigraphic |convincing )?(?:evidence|signs?|findings?|indication|suggestion|features?)"
            r"(?: (?:of|for|to suggest|to indicate|suggesting|suggestive of|suspicious for|concerning for))?",
            r"without(?: (?:any |mri |imaging |significant )?(?:evidence|signs?)(?: of| for)?)?",
            r"no longer (?:shows?|demonstrates?|has|any)|no",
            r"not (?:associated with|accompanied by|due to|related to|representing|(?:the )?(?:result|cause|consequence|sequela\w*) of)",
            r"not|none of (?:them|these|the)|neither|nor|never|nil",
            r"neg(?:ative)?(?: (?:study )?for)?|free of|absence of|lack(?:s|ing)?(?: of)?|w/o|unremarkable for|excludes|denies",
            r"(?:does|do|did)(?: not|n't)(?: (?:show|demonstrate|have))?|rather than|instead of|as opposed to",
            r"(?:complete |interval )*resolution of|argues? against|fails to (?:show|demonstrate)",
        ),
    ),
    (
        Kind.NEGATES_LAST,
        _any(
            rf"{_BE}?(?:not|no longer|never) (?:clearly |definitely )?{_SEEN}",
            rf"{_BE}?(?:absent|ruled out|excluded|resolved|negative|gone)|{_BE}(?:also )?spared",
            r"(?:has|have) (?:completely |fully |now |since |essentially )*(?:resolved|subsided|cleared|normali[sz]ed)",
            r"(?:: ?|- )(?:none|absent|negative|nil)\b|(?:: ?|- )no(?=[ .;]*$)",
            rf"{_BE}not (?:a|an)\b|neg(?:ative)?(?= (?:at|in|th?\d|l\d))",
        ),
    ),
    (
        Kind.HEDGES_NEXT,
        _any(
            rf"(?:{_CANNOT}|unable to|difficult to|not possible to) (?:be )?{_SURELY}(?:exclude|rule out|differentiate|distinguish|assess|determine|say)",
            r"(?:may|might|could)(?: (?:also )?(?:represent|reflect|be|indicate|have))?|maybe|perhaps|seems?",
            r"possibl[ey]|prob(?:ab)?l?[ey]?|likely|presum\w+|potential(?:ly)?|equivocal|borderline|either|if",
            r"suspicious(?: for)?|suspect(?:ed|s)?|susp|suspicion(?: of| for)?|concern(?:ing|s)?(?: for| of)?|worrisome for",
            r"question(?:able|s|ed)?(?: of)?|\?|versus|vs\.?|differential(?: \w+){0,3}",
            r"suggest(?:s|ive|ing|ed)?(?: of)?|favou?r(?:s|ed|ing)?|raises?|typical of|(?:thought|felt|believed) to(?: (?:be|represent|reflect))?",
            r"(?:no|without) (?:definite|definitive|convincing|clear|obvious|gross|discrete|unequivocal|frank)(?: (?:mri |mr |ct )?(?:evidence|signs?)(?: of)?)?",
            r"limited (?:evaluation|assessment)(?: (?:of|for))?|not (?:well|adequately|fully) (?:evaluated|assessed|seen|visualized)",
            r"should not be mistaken for|mimic\w*",
        ),
    ),
    (
        Kind.HEDGES_LAST,
        _any(
            rf"{_CANNOT} (?:be )?{_SURELY}(?:excluded|ruled out|assessed|determined|evaluated)",
            rf"{_BE}?not {_SURELY}(?:excluded|ruled out|assessed|evaluated)|not excluded",
            rf"{_BE}(?:felt )?(?:possible|suspected|questioned|questionable|equivocal|likely|probable|considered|favou?red|uncertain|suggested|unlikely|less likely)",
            rf"{_BE}(?:not certain|not likely|a possibility|a consideration)|less likely|felt unlikely",
            r"limited|precludes?|obscur\w+|difficult to assess|not well (?:seen|assessed|evaluated)|indeterminate for",
        ),
    ),
    (
        Kind.ASKS,
        _any(
            r"(?:to |please )?(?:evaluate|assess|look|check|rule out|exclude|confirm)(?: for)?|whether|mistaken for",
            r"(?:evaluation|assessment|eval)(?: (?:for|of))?|r/o|query|clinical concern|concern clinically",
            r"(?:is |are |would be |be )?recommend(?:s|ed|ation)?|advised?|suggest (?:mri|ct|further|correlation)|helpful",
            r"candidate|candidacy|consider(?:ed|ation)?|plan(?:ned|ning)?|schedul\w+|refer\w*|request\w*|prior to|before|pre",
            r"ignore|instructions?|marked? (?:\w+ ){0,3}as|approve\w*|please|(?:cod|bill|treat)(?:e|ed)? as|must",
            r"eligible|benefit from|amenable|proceed\w*|consult\w*|at the time of",
        ),
    ),
    (
        Kind.EARLIER,
        _any(
            rf"(?:(?:on|in|from|by|at) )?(?:the |a |that )?(?:prior|previous|earlier|outside|comparison|preceding|baseline)(?: {_REGION}){{0,3}} {_STUDY}",
            r"history of|hx of|h/o|in the past|at that time",
            r"previously(?: (?:seen|noted|described|reported|identified|demonstrated|treated|known))?|prior|previous|known",
        ),
    ),
    (
        Kind.STILL,
        _any(
            r"again(?: (?:seen|noted|demonstrated|identified|shown|is))?|re-?demonstrat\w+|persist\w*|remains?|still|residual",
            r"now|currently|today\w*|progress\w+|increased since",
        ),
    ),
    (
        Kind.EXCEPT,
        r"(?:with the exception|except(?:ing)?(?: for)?|other than|aside from|apart from|sparing|outside of|besides)(?: of| for| at)*",
    ),
    (
        Kind.PART,
        _any(
            r"(?:transverse|spinous|articular) process(?:es)?|tps?|pars(?: interarticularis| defects?)?|pedic\w+|lamina[er]?",
            r"facets?|ribs?|costal|stern(?:um|al)|sacr(?:um|al)(?: alae?| alar)?|pelvi[cs]|hips?|femoral|femur|odontoid|dens",
            r"screws?|rods?|hardware|coccy\w+|alae?|alar|posterior elements?|clavic\w+|scapul\w+|pubic|rami?|ramus|acetabul\w+",
            r"ili(?:ac|um)|skull|wrist|humer\w+|limbus|spondyloly\w+|osteophytes?|calcaneal|ankle|trochant\w+",
        ),
    ),
    (
        Kind.BREAK,
        _any(
            r";|: |\. | - |, with\b|, which|, (?:also|additionally)\b",
            r"(?:, )?\b(?:but|however|although|though|yet|whereas|while|nevertheless|nonetheless|therefore)\b",
            r"(?:and )?there (?:is|are|was|were|has been)",
        ),
    ),
    (Kind.OR, r"(?:, )?\b(?:or|nor|and/or)\b|/"),
    (
        Kind.AND,
        _any(
            r"(?:, )?\b(?:and|with|w/?|as well as|plus|including|along with|associated with|in addition to|showing|demonstrating|causing|resulting in)\b",
            r"\+|&|(?:due|secondary|adjacent|next) to|(?:because|as a result) of|(?:immediately )?(?:above|below)",
        ),
    ),
    (Kind.COMMA, r",|\((?! ?(?:acute|chronic|subacute|old|new|recent|age|healed|remote)[^()]*\))"),
)

ANAPHORA = re.compile(
    r"\b(?:associated|corresponding|accompanying|result(?:ant|ing)|this (?:level|fracture|vertebra\w*|body|deformity|segment|is|represents)"
    r"|(?:the|these|those) (?:fractures?|deformit\w+|fractured|compressed|levels?|vertebral (?:body|bodies)|body|bodies|affected|involved|same|former"
    r"|pattern|appearances?|findings?|are|represent)|at (?:this|these|the same|that) levels?|the above|its?|they|them|both|each|latter|former"
    r"|appearances|age|there(?! (?:is|are|was|were|has|have|may)\b))\b"
)
"""A sentence with one of these goes on about the level of the sentence before."""
DISTRIBUTES = re.compile(r"\b(?:both|each|all (?:\w+ )?(?:levels|of (?:them|these)))\b")
"""... and about each of its levels."""
ANOTHER_CAUSE = re.compile(
    r"\b(?:degenerat\w+|reactive|arthr\w+|h?a?emangioma\w*|cysts?|cord|fissure|(?:either|both) sides? of|(?:around|about|adjacent to) the dis[ck]"
    r"|endplates of)\b"
)
"""In a sentence on oedema: it may be of something else than a fracture."""
CORRECTION = re.compile(
    r"\b(?:should (?:read|be|say|state|have)|in error|error|erroneous\w*|incorrect\w*|correct(?:ed|ion)|wrong|mis(?:numbered|labell?ed|stated|spoke)"
    r"|recount\w*|renumber\w*|(?:original|previous|prior|above|initial) (?:report|impression)|for (?:th?|l)-?\d+ read)\b"
)
"""In an addendum: what the report said is put right."""
WITHDRAWAL = re.compile(
    r"\b(?:disregard\w*|wrong patient|retract\w*|withdrawn|(?:should|to) be ignored|void|supersedes?|replaces? the)\b"
)
"""In an addendum: what the report said is taken back."""
WRONG_THEN_RIGHT = re.compile(r"should (?:read|be|say|state)|\bread\b")
"""Between two levels of an addendum: the first is wrong, the second right."""
_EARLIER_STUDY = re.compile(
    rf"(?:\b(?:the|that|an?|prior|previous|earlier|older|outside|comparison|preceding) )*(?:{_REGION} )*{_STUDY}"
    r"(?: (?:of|from|dated|performed|on|in|the|spine|lumbar|thoracic|outside|hospital|[a-z]+(?= \d)))*"
    r"[ \d/.,-]*(?:(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ \d/.,-]*)*"
    r"(?: ?(?:which|that|had|also|at that time|then|clearly|has become available and))* ?"
    r"(?:showed|demonstrated|described|reported|revealed|documented|depicted|mentions|mentioned|had shown|shown)\b"
)
"""What a sentence goes on to say is what another study showed."""


def tells_earlier_study(folded: str) -> bool:
    """Whether a sentence reports what an earlier study showed."""
    return bool(_EARLIER_STUDY.search(folded))
