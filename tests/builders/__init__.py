"""What tests are made from: DICOM files, and real peer programs."""
