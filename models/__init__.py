"""Detectors: arrays in, findings out. Knows no DICOM.

ONNX Runtime's builds send telemetry to their maker unless this variable is set before they are loaded; it is set here,
because Python runs this file before any module that loads one. No telemetry is a promise of ours, not a setting.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
