"""What radiologists write, as tables of patterns over folded text; rules and their order are in ``claims.reading.marks``.

The cues follow the scheme of NegEx and ConText (Chapman 2001, doi:10.1006/jbin.2001.1029; Harkema 2009,
doi:10.1016/j.jbi.2009.05.002): forward and backward cues, pseudo-cues and words that end a scope.
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
    """What the sentence says is of an earlier study or of the past."""
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


_VB = r"(?:(?:the )?(?:vertebral |vertebra )?(?:body |bodies )?)"
_FRACTURE = r"(?:fractures?|fx'?s?|fractured|frx|frature|fractrue|factures?)"
_WORSE = r"(?:change|progression|increase|worsening|alteration|difference)s?"

CONCEPTS: tuple[tuple[Topic, str], ...] = (
    (
        Topic.FRACTURE,
        rf"(?:vertebral |wedge |burst |osteoporotic |insufficiency |fragility |endplate |compression |crush |biconcave ){{0,4}}{_FRACTURE}"
        r"|(?:wedge |anterior |vertebral |body ){0,3}compression (?:deformit(?:y|ies)|injur(?:y|ies))|(?:wedge|vertebral body|vertebral) compressions?"
        r"|vcfs?|vertebra plana|(?:wedge|osteoporotic|compression) collapse|compressed vertebra\w*",
    ),
    (
        Topic.EDEMA,
        r"(?:bone |vertebral |osseous )?(?:marrow|bone|osseous|endplate|end plate|vertebral body|intra-?vertebral|intraosseous|trabecular)(?: body)?"
        r"(?: bone)?(?: marrow)? (?:o?edema|bruis\w+|contusion)|(?:stir|fat[ -]?sat\w*|fat[ -]suppressed|t2|t2 ?/ ?stir|stir ?/ ?t2|t2 and stir|fluid[ -]sensitive)"
        r"(?: (?:marrow|bright|sequence))? ?-?(?:hyper-?intens\w+|signal hyper-?intens\w+|high signal|bright signal|bright|signal (?:increase|elevation|abnormality)|signal|o?edema|hypersignal)"
        r"|(?:hyper-?intense|hyper-?intensity|high|increased|bright|elevated|raised|abnormal)(?: (?:signal|marrow|and|in|on|t1|t2|the|intensity|low)){0,4} ?(?:on |in )?(?:the )?"
        r"(?:stir|t2 fat\w*|fat[ -]?sat\w*|fat[ -]suppressed|fluid[ -]sensitive|t2)(?: (?:signal|sequences?|images?|imaging|weighted))*"
        r"|(?:increased|intense|focal|abnormal|avid|moderate|mild|linear|radiotracer|tracer|mdp|fdg|horizontal|markedly|elevated|high|persistent)"
        r"(?: (?:increased|intense|focal|abnormal|radiotracer|tracer|mdp|fdg|linear|osseous|bony|band-?like|horizontal))* (?:uptake|activity|accumulation)"
        r"|uptake|photopeni\w+|(?:increased|elevated|abnormal) marrow signal|o?edema(?:tous)?|edma|marrow signal (?:change|abnormality|alteration)s?",
    ),
    (
        Topic.RETROPULSION,
        r"(?:bony |osseous |posterior |retro)?retro-?puls(?:ion|ed|ive)(?: (?:fragments?|bone|of))*|retropulstion"
        r"|posterior (?:cortical|wall|cortex|margin)(?: wall)? (?:displacement|bulg\w+|buckl\w+|bow\w+|convexity)"
        r"|(?:bowing|bulging|buckling|displacement) of the posterior (?:cortex|wall|cortical margin|margin|vertebral wall)",
    ),
    (
        Topic.OTHER_CAUSE,
        r"metasta(?:s[ie]s|tic)\w*(?: (?:disease|lesions?|deposits?))?|(?:multiple )?myeloma\w*|plasmacytoma|lymphoma\w*|malignan(?:t|cy)(?: (?:lesion|infiltration|process))?"
        r"|neoplas\w+|tumou?rs?|(?:osteo)?lytic(?: (?:lesions?|process))?|marrow[ -](?:infiltrat\w+|replac\w+)|infiltrative(?: (?:process|lesion))?"
        rf"|patholog(?:ic|ical) (?:compression |vertebral |burst |wedge )*{_FRACTURE}"
        r"|(?:spondylo)?dis[ck]it\w+|osteomyelit\w+|infecti(?:on|ous)\w*|abscess|tubercul\w+|spondylodis[ck]itis"
        r"|schmorl'?s?(?: (?:type )?(?:nodes?|node formation|hernia\w*))?|intravertebral (?:disc )?hernia\w+"
        r"|modic(?: type)?[ -]?(?:changes? )?(?:type )?(?:i|1)(?![ivx0-9])(?:[ /-]+(?:ii|2)(?![i3]))?(?: (?:endplate|reactive|signal|type|change|degenerative|inflammatory)\w*){0,3}"
        r"|type (?:i|1)(?: modic)? (?:endplate|modic)(?: changes?)?|degenerative (?:type )?(?:end ?-?plate|marrow) (?:o?edema|signal|reactive)?(?: ?changes?)?"
        r"|reactive (?:marrow |end ?-?plate )*(?:o?edema|changes?)|(?:degenerative|inflammatory|discogenic) (?:marrow |endplate )*(?:o?edema)|discogenic(?: \w+){0,2}",
    ),
    (
        Topic.AUGMENTED,
        r"(?:balloon )?kyph?oplast\w+|vertebro-?plast\w+|(?:bone )?cement(?:ed|ation)?(?: (?:augmentation|material))?|pmma|(?:poly)?methyl-?methacrylate"
        r"|(?:vertebral |cement )augment\w+|augmented|vertebral augmentation",
    ),
    (
        Topic.TRANSITIONAL,
        r"(?:five|5) (?:non-?rib[ -]?bearing )?lumbar(?:[ -]type)?(?: (?:vertebra\w*|segments?|bodies|vertebral bodies))|(?:lumbo-?sacral |thoraco-?lumbar )?transitional (?:lumbo-?sacral )?(?:anatomy|vertebra\w*|segments?(?:ation)?|segmentation|body|level|morphology|lumbar)?"
        r"|(?:lstv)|(?:partial(?:ly)? |complete(?:ly)? )?(?:sacrali[sz](?:ed|ation)|lumbari[sz](?:ed|ation))(?: of)?|castellvi"
        r"|(?:six|6|four|4) (?:non-?rib[ -]?bearing )?lumbar(?:[ -]type)?(?: (?:vertebra\w*|segments?|bodies|vertebral bodies))"
        r"|(?:thirteen|13|eleven|11) (?:pairs? of |rib[ -]bearing )?(?:ribs?|thoracic(?: vertebra\w*)?)|hypoplastic (?:12th |twelfth )?ribs?|rudimentary (?:disc|disk|ribs?)"
        r"|(?:vertebral |level |lumbar )?(?:numbering|enumeration|numeration|segmentation anomal\w+)|(?:levels?|vertebra\w*|bodies) (?:were |are |is |was |have been )?(?:numbered|counted|labell?ed|enumerated)",
    ),
)
"""What statements are made of. Among matches at one place the longest counts."""

SOFT = (
    r"(?:(?:loss of|decreased?|reduced|reduction (?:of|in)|diminished|diminution of) (?:anterior |central |posterior |the |mild ){0,2}(?:vertebral |body |l\d |t\d\d? ){0,2}heights?)"
    r"|(?:vertebral |body |anterior |central |vertical ){0,3}height (?:loss|reduction|decrease)|(?:anterior |mild |vertebral |biconcave |wedge |endplate |vertebral body ){0,2}deformit(?:y|ies)"
    r"|(?:anterior )?wedg(?:ing|ed)|wedge[ -]shaped?|collapsed?|biconcav\w+|(?:superior |inferior )?end ?-?plate (?:depression|concavity|irregularity|impaction|infraction|compression|deformity|collapse|indentation|fragmentation)"
    r"|(?:depression|compression|impaction|concavity|infraction|irregularity|collapse) of the (?:superior|inferior) end ?-?plate"
)
INTACT = (
    r"(?:vertebral |body |bodies |the ){0,3}heights? (?:(?:is|are|appears?|remains?) )?(?:otherwise )?(?:well |grossly |relatively )?(?:maintained|preserved|normal|intact|unremarkable)"
    r"|(?:normal|preserved|maintained) (?:vertebral |body ){0,2}heights?|vertebral bodies (?:are |appear )?(?:otherwise )?(?:intact|normal in height)"
    r"|(?:maintain(?:s|ed)?|preserv\w+) (?:of )?(?:normal )?(?:vertebral |body |the ){0,2}heights?"
)
"""The bodies keep their heights: no compression fracture, said of all of them."""

ACUITIES: tuple[tuple[Acuity, str], ...] = (
    (
        Acuity.INDETERMINATE,
        r"(?:age|acuity|chronicity)[ -](?:is |of )?(?:indeterminate|undetermined|indeterminant|uncertain|unknown)|(?:indeterminate|undetermined|uncertain|unknown|unclear)(?: in)? (?:age|acuity|chronicity)"
        r"|of (?:indeterminate|undetermined|uncertain|unknown) (?:age|acuity)|indeterminate|(?:acute|subacute)(?: |-|/)*(?:on|to|or|versus|vs\.?|and)?(?: |-|/)*chronic"
        r"|chronic (?:or|versus|vs\.?) (?:acute|subacute)|non-?acute|not acute|subacute to chronic|late subacute|healing|partially healed|(?:not|no longer) (?:clearly |definitely )?(?:chronic)",
    ),
    (Acuity.SUBACUTE, r"(?:acute|recent)(?: to | ?/ ?| or |-to-|-)(?:early )?sub-?acute|(?:early )?sub-?acute(?:[ -]appearing)?"),
    (
        Acuity.ACUTE,
        r"acute(?:ly)?(?:[ -]appearing)?|acute-?looking|new(?:ly)?|recent|fresh|interval (?:development|appearance) of|actue|interval new",
    ),
    (
        Acuity.CHRONIC,
        r"chronic(?:[ -]appearing)?|old|remote|(?:well[ -]|completely )?healed|long-?standing|longstanding|previous(?:ly healed)|ancient",
    ),
)
UNCHANGED = r"stable|unchanged|similar(?: in appearance)?(?: to)?|without (?:significant |interval )*change|no (?:significant |interval |appreciable )*change"
"""Says that an earlier study showed the same, not how old it is."""

_VERB = r"(?:is |are |was |were |has been |have been |be )"
_SEEN = r"(?:seen|identified|present|evident|demonstrated|noted|visuali[sz]ed|detected|appreciated|observed|apparent|found|visible|shown)"
CUES: tuple[tuple[Kind, str], ...] = (
    (
        Kind.IGNORED,
        rf"no (?:significant |interval |appreciable |definite |new |further |substantial ){{0,3}}{_WORSE}(?: in| of| to| from| since)?|not (?:significantly |appreciably |substantially )?(?:changed|progressed)"
        rf"|without (?:significant |interval |appreciable ){{0,2}}{_WORSE}(?: in| of)?|fractures? (?:risk|lines?|assessment|protocol|clefts?|prevention|liaison|clinic)"
        r"|risk (?:of|for) (?:\w+ ){0,3}fractures?|not only|no doubt|without doubt|no longer needed|(?:disc|disk|disc space|disk space|disc-space|disk-space|intervertebral|interspace) (?:space )?(?:height(?: loss)?|collapse|narrowing)"
        r"|loss of (?:the )?(?:disc|disk|intervertebral)(?: space)? height|loss of (?:normal )?(?:cervical|lumbar|thoracic) lordosis|(?:soft[ -]tissue|paraspinal|paravertebral|prevertebral|subcutaneous|muscle|muscular|cord|spinal cord|facet|interspinous|peri-?facet\w*|ligament\w*|dependent|fatty|pedal|presacral|pulmonary|retroperitoneal|posterior paraspinal|periarticular|nerve root|adjacent soft tissue)(?: \w+)? (?:o?edema|uptake|contusion|stir \w+)"
        r"|o?edema (?:in|of|within|involving) the (?:paraspinal|soft|posterior|cord|spinal cord|muscles?|subcutaneous|interspinous)|spinal deformity|kyphotic deformity|scoliotic deformity|deformity of the (?:cord|thecal sac|spine)|disc-?osteophyte"
        r"|(?:cord|thecal sac|nerve root|neural|root) (?:compression|deformity)|chronic (?:low |lower |mid |upper )?(?:back )?pain|chronic (?:kidney|disc|degenerative|disease|obstructive|opioid|steroid|pain|small|microvascular|renal|pars)\w*|acute (?:on chronic )?(?:low |lower |mid )?(?:back )?(?:pain|abnormality|findings?|distress|canal|cord|osseous abnormality)"
        r"|old (?:man|woman|male|female|lady|gentleman|patient)|(?:year|yr|y/?o)s?[ -]old|y\.?o\.?|stable (?:alignment|appearance of the)|new (?:onset|back|pain|or worsening|symptoms)|recent (?:fall|trauma|injury|mri|ct|prior|study|exam|surgery|radiographs?|x-?rays?)|(?:physiologic|normal|expected|symmetric|homogeneous|degenerative|facet|renal|bladder) (?:\w+ )?(?:uptake|activity)"
        r"|tumou?r markers?|no prior|transitional cell|(?:mri?|stir|imaging) (?:signal )?(?:sequences?|images?)",
    ),
    (
        Kind.NEGATES_NEXT,
        r"no (?:mri |mr |ct |imaging |radiographic |scintigraphic |convincing )?(?:evidence|signs?|findings?|indication|suggestion|features?)(?: (?:of|for|to suggest|to indicate|suggesting|suggestive of|suspicious for|concerning for))?|no|without(?: (?:any |mri |imaging |significant )?(?:evidence|signs?)(?: of| for)?)?"
        r"|negative for|free of|absence of|lack(?:s|ing)?(?: of)?|neither|nor|not (?:associated with|have|show|demonstrate|see|seen|identify|appreciate|due to|related to|represent(?:ing)?|a|an|fractured|with)|does not|do not|did not|doesn't|denies|rather than|instead of|never"
        r"|no longer (?:shows?|demonstrates?|has|any)|ruled out for|unremarkable for|resolution of|resolved|w/o|as opposed to|excludes|negative study for|argues? against|nil|fails to (?:show|demonstrate)",
    ),
    (
        Kind.NEGATES_LAST,
        rf"{_VERB}?(?:not|no longer|never) (?:clearly |definitely )?(?:{_SEEN}|excluded by)|{_VERB}?(?:absent|ruled out|excluded|resolved|negative|gone)|(?:has|have) (?:completely |fully |now |since |essentially )*(?:resolved|subsided|cleared|normali[sz]ed)|(?:completely |fully |now )resolved|: (?:none|no|absent|negative|nil)\b|not {_SEEN}|{_VERB}not (?:a|an)",
    ),
    (
        Kind.HEDGES_NEXT,
        r"(?:cannot|can not|can't|could not|unable to|difficult to|not possible to) (?:be )?(?:entirely |completely |definitively |reliably |confidently )?(?:exclude|rule out|differentiate|distinguish|assess|determine)|may (?:represent|reflect|be|also|indicate|have)|may|might|could (?:represent|reflect|be)|could|possibl[ey]|probabl[ey]|likely|presum\w+|suspicious(?: for)?|suspect(?:ed|s)?|suspicion (?:of|for)|suspicion|concern(?:ing|s)?(?: for| of)?|worrisome for|question(?:able|s|ed)?(?: of)?"
        r"|\?|versus|vs\.?|differential(?: \w+){0,3}|equivocal|suggest(?:s|ive|ing|ed)?(?: of)?|favou?r(?:s|ed|ing)?|raises?|potential(?:ly)?|perhaps|seems?|(?:no|without) (?:definite|definitive|convincing|clear|obvious|gross|discrete|unequivocal)(?: (?:mri |mr |ct )?(?:evidence|signs?)(?: of)?)?|limited (?:evaluation|assessment)(?: (?:of|for))?|not (?:well|adequately|fully) (?:evaluated|assessed|seen|visualized)|borderline|subtle possible|either|if",
    ),
    (
        Kind.HEDGES_LAST,
        rf"(?:cannot|can not|can't|could not) (?:be )?(?:entirely |completely |definitively |reliably )?(?:excluded|ruled out|assessed|determined|evaluated)|(?:{_VERB})?(?:not |not entirely |not completely |not definitively )(?:excluded|ruled out|assessed|evaluated)|{_VERB}(?:possible|suspected|questioned|questionable|equivocal|likely|probable|considered|favou?red|uncertain|not certain|a possibility|a consideration|suggested)|\?|(?:limited|precludes?|obscur\w+|difficult to assess|not well (?:seen|assessed|evaluated))|indeterminate for (?:fracture|malignancy)",
    ),
    (
        Kind.ASKS,
        r"(?:(?:to |please )?(?:evaluate|assess|look|check|rule out|exclude)|evaluation|assessment|eval|r/o|rule out|query|clinical concern|concern clinically)(?: (?:for|of))?|(?:is |are |would be |be )?recommend(?:s|ed|ation)?|advised?|suggest (?:mri|ct|further|correlation)|(?:candidate|candidacy|consider(?:ed|ation)?|plan(?:ned|ning)?|schedul\w+|refer\w*|request\w*|prior to|before|pre|eligible|benefit from|amenable|proceed\w*|for possible|eval(?:uation)? (?:for|prior to))(?: (?:for|to|of))?|status post fall|consult\w*",
    ),
    (
        Kind.EARLIER,
        r"(?:(?:on|in|from|by|at) )?(?:the |a |that )?(?:prior|previous|earlier|outside|comparison|preceding|old|baseline)(?: (?:lumbar|thoracic|spine|mr|mri|ct|outside|l|t)){0,3} (?:study|exam\w*|mri?|ct|imaging|radiographs?|x-?rays?|reports?|scans?|films?|bone scan)|history of|hx of|previously(?: (?:seen|noted|described|reported|identified|demonstrated|treated|known))?|(?:the )?(?:prior|previous|known)(?= )|in the past|h/o",
    ),
    (
        Kind.STILL,
        r"again(?: (?:seen|noted|demonstrated|identified|shown|is))?|redemonstrat\w+|re-?demonstrat\w+|persist\w*|remains?|still|residual|unchanged|stable|now|similar|currently|today|is (?:again )?(?:noted|present|seen)|interval(?:ly)?|progress\w+|increased since|known",
    ),
    (Kind.CORRECTS, r"(?:rather than|instead of|and not|not|in place of|erroneously (?:stated|reported|dictated) as|incorrectly (?:stated|reported|dictated|described|labell?ed) as|misidentified as|mislabell?ed as)(?: (?:at|of|in|the|as|involving|a|an))*(?= ?(?:th|[tdlcs]) ?-?\d)"),
    (Kind.EXCEPT, r"(?:with the exception|except(?:ing)?(?: for)?|other than|aside from|apart from|sparing|outside of|besides)(?: of| for| at)*"),
    (
        Kind.PART,
        r"(?:transverse|spinous|articular) process(?:es)?|pars(?: interarticularis| defects?)?|pedicles?|pedicular|lamina[er]?|laminae?|facets?|ribs?|costal|sternum|sternal|sacr(?:um|al|al ala)|sacral alae?|pelvi[cs]|hips?|femoral|femur|odontoid|dens|screws?|rods?|hardware|coccy\w+|ala[er]?|posterior elements?|clavic\w+|scapul\w+|pubic|ramus|rami|acetabul\w+|ili(?:ac|um)|skull|wrist|humer\w+|limbus|spondyloly\w+|osteophytes?|calcaneal|ankle",
    ),
    (
        Kind.BREAK,
        r";|(?:, )?\b(?:but|however|although|though|yet|whereas|while|nevertheless|nonetheless)\b|, which|(?:and )?there (?:is|are|was|were|has been)|: |\. |, with|secondary to|due to|(?:because|as a result) of|therefore|, there's| - |, (?:also|additionally)|\) ",
    ),
    (Kind.OR, r",? (?:or|nor|and/or)\b|/"),
    (Kind.AND, r",? (?:and|with|as well as|plus|including|along with|associated with|in addition to|\+|&|showing|demonstrating|causing|resulting in)\b"),
    (Kind.COMMA, r",|\("),
)

ANAPHORA = re.compile(
    r"\b(?:associated|corresponding|accompanying|resultant|resulting|this (?:level|fracture|vertebra\w*|body|deformity|segment)|(?:the|these|those|both) (?:fractures?|deformit\w+|fractured|compressed|levels?|vertebral (?:body|bodies)|body|bodies|affected|involved|same|former)"
    r"|at (?:this|these|the same|that) levels?|the above|its?\b|they|latter|former|therein|here)\b"
)
"""A sentence with one of these goes on about the level of the sentence before."""
_EARLIER_STUDY = re.compile(
    r"(?:^|\b)(?:the |that |an? )?(?:prior|previous|earlier|outside|comparison|preceding|same|that)?\s*(?:lumbar |thoracic |spine |outside |mri? |ct |l-?spine ){0,3}(?:study|exam\w*|mri?|ct|imaging|radiographs?|reports?|scans?|films?|bone scan)"
    r"(?: (?:of|from|dated|performed|on|in|the|spine|lumbar|thoracic|outside))*(?:[ \d/.,-]|january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|20\d\d)*"
    r"(?: ?(?:which|that|had|also|at that time|then|clearly))* ?(?:showed|demonstrated|described|reported|revealed|documented|depicted|mentioned|had shown)"
)
"""What a sentence goes on to say is what another study showed."""


def tells_earlier_study(folded: str) -> bool:
    """Whether a sentence reports what an earlier study showed."""
    return bool(_EARLIER_STUDY.search(folded))
