"""The HTTP application: health, metrics, and the API over what the node did. DICOMweb and the viewer are not here yet."""
