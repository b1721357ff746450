"""Workitems (UPS-RS, PS3.18 chapter 11): what this node was asked to read, and what it reads without being asked."""
