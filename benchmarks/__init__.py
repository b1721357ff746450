"""``make bench``: the node beside Orthanc and DCMTK, in one run, on loopback. Never a test."""
