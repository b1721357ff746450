"""The findings of a study as HL7 FHIR R4 resources.

After HL7's *DICOM SR to FHIR Resource Mapping* (hl7.fhir.uv.dicom-sr 1.0.0), which is written for R5: its elements that
R4 has too are used, its profiles are not claimed, and ImagingSelection, which R4 lacks, is left to SR and overlay.
Each finding is one Observation (ImagingQualitativeEvaluation), each of its measurements another (ImagingMeasurement)
that it has as member. Three answers: *present* and *absent* are values, *not assessed* is a data absent reason with its
sentence.
"""
