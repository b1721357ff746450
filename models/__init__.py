"""Detectors: arrays in, findings out. Knows no DICOM."""
