"""How well reports are read: a labelled corpus of synthetic reports, and what ``read_report`` makes of it."""
