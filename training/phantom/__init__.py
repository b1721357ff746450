r"""A generated lumbar or thoracolumbar spine on sagittal MR, with exact answers.

numpy and scipy only. Usage::

    from training.phantom import PhantomParameters, generate_spine

    phantom = generate_spine(PhantomParameters(seed=7, fractures={"L1": ("crush", 0.45)}))
    phantom.voxels                           # float32 (slice, row, column): rows run head to foot, columns to the back
    phantom.labels                           # uint8, SPIDER's classes: 1 vertebra, 2 disc, 3 spinal canal
    phantom.affine                           # index to LPS mm; ImageOrientationPatient 0\1\0\0\0\-1
    phantom.truth.vertebra("L1").loss        # 0.45, by construction

`generate_labels` gives labels and truth alone, faster. A second series of the same patient is the same parameters
(`dataclasses.replace`) with another `contrast` or grid. Answers are those of the formulas, not of the voxels.
"""

from training.phantom.generate import LabelMap, Phantom, generate_labels, generate_spine
from training.phantom.parameters import Contrast, Fracture, MarrowChange, PhantomParameters, SacralShape
from training.phantom.truth import DiscTruth, SpineTruth, VertebraTruth

__all__ = [
    "Contrast",
    "DiscTruth",
    "Fracture",
    "LabelMap",
    "MarrowChange",
    "Phantom",
    "PhantomParameters",
    "SacralShape",
    "SpineTruth",
    "VertebraTruth",
    "generate_labels",
    "generate_spine",
]
