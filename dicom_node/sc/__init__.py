"""Secondary Capture: pictures of slices with their findings drawn into them, for viewers that show images alone."""

from dicom_node.sc.key_image import KeyImage, encode_key_image

__all__ = ["KeyImage", "encode_key_image"]
