"""From a PDF to PDF/A-1b (ISO 19005-1, level B): metadata that say so, an output intent, and no clock.

What is left to the drawing: embedded fonts, and no transparency, encryption, script, action or embedded file. The
colour profile is sRGB (IEC 61966-2-1) as an ICC 2.3 file, because PDF 1.4 knows no later version.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from io import BytesIO

from pikepdf import Dictionary, Name, ObjectStreamMode, Pdf, StreamDecodeLevel

PRODUCER = "ReportLab PDF Library, pikepdf"
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/">
<pdfaid:part>1</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance></rdf:Description>
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:format>application/pdf</dc:format>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{subject}</rdf:li></rdf:Alt></dc:description></rdf:Description>
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"><xmp:CreatorTool>{creator}</xmp:CreatorTool>
<xmp:CreateDate>{created}</xmp:CreateDate><xmp:ModifyDate>{created}</xmp:ModifyDate></rdf:Description>
<rdf:Description rdf:about="" xmlns:pdf="http://ns.adobe.com/pdf/1.3/"><pdf:Producer>{producer}</pdf:Producer>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
"""Each schema in a description that declares its namespace: some validators look for it there and nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFacts:
    """What a PDF says about itself; none of it identifies a person, because file managers show and index it."""

    title: str
    creator: str
    """The software."""
    subject: str
    created: datetime


def archival(pdf: bytes, facts: DocumentFacts) -> bytes:
    """The document as PDF/A-1b; equal arguments give equal bytes."""
    moment = facts.created.astimezone(UTC)
    with Pdf.open(BytesIO(pdf)) as document:
        date = moment.strftime("D:%Y%m%d%H%M%S+00'00'")
        document.trailer.Info = document.make_indirect(
            Dictionary(
                Title=facts.title,
                Subject=facts.subject,
                Creator=facts.creator,
                Producer=PRODUCER,
                CreationDate=date,
                ModDate=date,
            )
        )
        document.Root.Metadata = document.make_stream(_metadata(facts, moment), Type=Name.Metadata, Subtype=Name.XML)
        profile = document.make_stream(files(__package__).joinpath("fonts", "sRGB.icc").read_bytes(), N=3)
        document.Root.OutputIntents = [
            Dictionary(
                Type=Name.OutputIntent,
                S=Name.GTS_PDFA1,
                OutputConditionIdentifier="sRGB IEC61966-2.1",
                Info="sRGB IEC61966-2.1",
                DestOutputProfile=document.make_indirect(profile),
            )
        ]
        out = BytesIO()
        document.save(
            out,
            force_version="1.4",
            object_stream_mode=ObjectStreamMode.disable,
            stream_decode_level=StreamDecodeLevel.none,
            compress_streams=False,
            deterministic_id=True,
        )
    return out.getvalue()


def _metadata(facts: DocumentFacts, moment: datetime) -> bytes:
    """The same as the document information (6.7.3), for a program that does not know PDF."""
    text = _XMP.format(
        title=escape(facts.title),
        subject=escape(facts.subject),
        creator=escape(facts.creator),
        created=moment.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
        producer=escape(PRODUCER),
    )
    return text.encode()
