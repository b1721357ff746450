"""The tables of users, sessions, keys and audit. Times are seconds since the epoch (UTC) as a float."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),  # lower case
    Column("display_name", String(128), nullable=False),
    Column("role", String(16), nullable=False),  # Role
    Column("password_hash", Text, nullable=False),  # server.auth.passwords
    Column("generation", Integer, nullable=False),  # grows with each new password and each disabling: sessions end
    Column("created_at", Float(53), nullable=False),
    Column("disabled_at", Float(53)),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("subject", String(255), nullable=False),
    Column("display_name", String(128), nullable=False),
    Column("role", String(16), nullable=False),  # Role, as it was at login
    Column("method", String(16), nullable=False),  # Method
    Column("generation", Integer, nullable=False),  # of the local user at login; 0 for the provider's
    Column("created_at", Float(53), nullable=False),
    Column("last_seen_at", Float(53), nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("key_sha256", String(64), nullable=False),
    Column("permissions", Text, nullable=False),  # Permission, separated by spaces
    Column("created_at", Float(53), nullable=False),
    Column("expires_at", Float(53)),
    Column("revoked_at", Float(53)),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1, 2, 3 and so on without a gap
    Column("record", Text, nullable=False),  # canonical JSON of AuditRecord
    Column("previous_sha256", String(64), nullable=False),  # of the row before; zeros before the first
    Column("sha256", String(64), nullable=False),
)

audit_shipments = Table(  # how far the trail was sent to an audit record repository
    "audit_shipments",
    metadata,
    Column("repository", String(255), primary_key=True),  # HOST:PORT
    Column("number", Integer, nullable=False),  # of the last row that it has taken
    Column("holder", String(255), nullable=False),  # the process that sends
    Column("held_until", Float(53), nullable=False),
    Column("fault", Text),  # one sentence about the last try; NULL where it succeeded
    Column("changed_at", Float(53), nullable=False),
)
