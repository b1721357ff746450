"""UIDs of the objects that this node makes: derived from what went in, so that a retry makes the same object again.

Parts: object role, study, revision, sorted SOP Instance UIDs of the input, software version, model digests and what ran
them, configuration digest and code table version. Never the time, the host or the order of arrival.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dicom_node.codes import CODE_TABLE_VERSION
from inference.provenance import SOFTWARE_NAME, ModelIdentity, deterministic_uid


class ObjectRole(StrEnum):
    """What a derived object is, in its study."""

    REPORT = "sr"
    SEGMENTATION = "seg"
    PRESENTATION = "pr"
    KEY_IMAGE = "key_image"
    """A picture of a slice with its findings drawn into it."""
    TEXT_REPORT = "text_sr"
    """The report in words."""
    VERIFIED_REPORT = "verified_sr"
    """The report after a review, with a person who answers for it."""
    VERIFIED_TEXT = "verified_text"
    """The report in words after a review."""
    REJECTION_NOTE = "rejection_note"
    """A key object selection that names objects as rejected (IHE Imaging Object Change Management)."""
    EXCERPT = "excerpt"
    """A report with a part of the findings, for someone who may not have all of them."""
    REPORT_ATTACHMENT = "report_attachment"
    """A key object selection that names what is attached to a report or claim."""
    DOCUMENT = "document"
    """A document as Encapsulated PDF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What one set of derived objects was made from; equal origins give equal UIDs."""

    study_instance_uid: str
    revision: int
    """The study revision, from 1: a later one has other predecessors, so it is another object."""
    inputs: tuple[str, ...]
    """SOP Instance UIDs that were read, in any order."""
    software_version: str
    models: tuple[ModelIdentity, ...]
    config_digest: str = ""

    def uid(self, *role: str) -> str:
        """The UID of one object, or of its series or another entity of it: an ObjectRole and more words."""
        digests = sorted(":".join(filter(None, (m.name, m.version, m.sha256, m.engine))) for m in self.models)
        what = (" ".join(role), self.study_instance_uid, str(self.revision))
        how = (self.software_version, self.config_digest, CODE_TABLE_VERSION)
        return deterministic_uid(*what, *how, *digests, *sorted(set(self.inputs)))


def device_uid(model: ModelIdentity) -> str:
    """Device UID of a model: another one at every retraining (IHE AIR 6.5.3.1)."""
    return deterministic_uid("model device", model.name, model.version, model.sha256)


def server_device_uid(installation: str) -> str:
    """Device Observer UID of one installation of this server, by a name that its site keeps, like its AE title."""
    return deterministic_uid("server device", SOFTWARE_NAME, installation)


def measurement_tracking_uid(finding_id: str, measurement: str) -> str:
    """Tracking UID of one drawn measurement of a finding: OHIF merges groups that share one (ohif.md 1.5)."""
    return deterministic_uid("tracking", finding_id, measurement)
