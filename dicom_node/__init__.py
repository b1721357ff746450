"""DICOM in and out: receive, keep, read, encode, send. Knows no model."""
