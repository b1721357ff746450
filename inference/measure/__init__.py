"""Measuring a spine on the outlines that a network drew: class probabilities in, a SpineReading out."""

from inference.measure.read import read_sagittal

__all__ = ["read_sagittal"]
