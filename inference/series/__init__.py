"""Which series can answer which question."""
