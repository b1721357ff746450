"""A measurement in words, as everything that a person reads says it."""

from __future__ import annotations

from inference.findings.finding import Measurement


def describe_measurement(measured: Measurement) -> str:
    """``anterior height 21.3 ± 0.4 mm``."""
    spread = f" ± {measured.uncertainty:.2g}" if measured.uncertainty is not None else ""
    unit = measured.unit if measured.unit != "1" else ""
    return f"{measured.name.replace('_', ' ')} {measured.value:.4g}{spread} {unit}".strip()
