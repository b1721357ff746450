"""Unified Procedure Steps: workitems, their states and their attributes (PS3.4 Annex CC; PS3.18 chapter 11)."""
