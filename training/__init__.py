"""Training of the detectors: generated spines, data sets, training, evaluation and export to model bundles.

Everything here but `training.phantom` needs the extra `train` (torch, monai, onnx). Nothing here knows DICOM.
"""

import models  # noqa: F401 - before anything here loads ONNX Runtime: without its telemetry
