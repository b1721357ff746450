"""Grayscale Softcopy Presentation States: findings over their images, for viewers that read no SR."""

from dicom_node.pr.presentation import encode_presentation_state

__all__ = ["encode_presentation_state"]
