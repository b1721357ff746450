"""The HTTP application: health, metrics, and the API over what the node did."""
