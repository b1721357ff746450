"""Every operating point that a site may choose, in one value: when a measurement is called a finding."""

from __future__ import annotations

from dataclasses import dataclass, field

from inference.marrow_findings import MarrowPolicy
from inference.sac_findings import SacAreaPolicy
from inference.spine_findings import FracturePolicy
from inference.stenosis import StenosisPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policies of all detectors; the defaults are what ships."""

    fracture: FracturePolicy = field(default_factory=FracturePolicy)
    marrow: MarrowPolicy = field(default_factory=MarrowPolicy)
    stenosis: StenosisPolicy = field(default_factory=StenosisPolicy)
    sac_area: SacAreaPolicy = field(default_factory=SacAreaPolicy)

    @property
    def statements(self) -> tuple[str, ...]:
        """Each in words and numbers."""
        return (self.fracture.statement, self.marrow.statement, self.stenosis.statement, self.sac_area.statement)
