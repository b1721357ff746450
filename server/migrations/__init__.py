"""Alembic's scripts; run by server.database, never by hand."""
