"""The audit trail: one record, kept in a chain of hashes, said as a DICOM audit message or a FHIR AuditEvent."""
