"""The core: what we say about spines, and how it is derived from arrays.

No DICOM library, no model runtime, no database and no HTTP is imported below this package.
"""
