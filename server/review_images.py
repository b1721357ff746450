"""The images of one study, for shapes that a reviewer draws."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import dcmread
from sqlalchemy import Connection, select

from dicom_node.frames import pixel_spacing
from dicom_node.spool import Spool
from dicom_node.tables import instances
from inference.geometry import FrameReference
from inference.review import ImageFrame


@dataclass(frozen=True, slots=True)
class SpoolImages:
    """inference.review.Images over what was received of a study."""

    spool: Spool
    connection: Connection
    study_instance_uid: str

    def frame(self, sop_instance_uid: str, number: int | None) -> ImageFrame | None:
        """A frame of a received instance; None where it was not received, has no such frame or no pixels."""
        query = select(instances.c.path).where(
            instances.c.study_instance_uid == self.study_instance_uid,
            instances.c.sop_instance_uid == sop_instance_uid,
        )
        path = self.connection.execute(query).scalar_one_or_none()
        if path is None:
            return None
        header = dcmread(self.spool.path(path), stop_before_pixels=True, force=True)
        frames = int(header.get("NumberOfFrames", None) or 1)
        is_there = number is None if frames == 1 else number is not None and 1 <= number <= frames
        if not is_there or not header.get("Rows") or not header.get("Columns"):
            return None
        source = FrameReference(sop_class_uid=str(header.SOPClassUID), sop_instance_uid=sop_instance_uid, frame=number)
        spacing = pixel_spacing(header, number)
        return ImageFrame(source=source, rows=int(header.Rows), columns=int(header.Columns), spacing_mm=spacing)
