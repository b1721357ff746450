"""The report feed: HL7 v2 ORU^R01 over MLLP, kept before it is acknowledged."""
