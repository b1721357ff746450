"""Tables of who may do what over HTTP, and of what is recorded."""

from __future__ import annotations

from docs.blocks.markdown import table
from docs.blocks.sentences import member_sentences
from server.auth.audit.record import CODES
from server.auth.gate import AUDITED
from server.auth.roles import FOR_KEYS, PERMISSIONS, Permission, Role
from server.auth.rules import RULES


def roles() -> str:
    """Every permission, and the roles that have it."""
    sentences = member_sentences(Permission)
    rows = [
        (
            f"`{permission}`",
            sentences[permission.name],
            *("yes" if permission in PERMISSIONS[role] else "" for role in Role),
            "may have" if permission in FOR_KEYS else "",
        )
        for permission in Permission
        if permission not in {Permission.PROBE, Permission.SIGN_IN}
    ]
    return table(("permission", "to", *Role, "a key"), rows)


def routes() -> str:
    """Every rule, in the order in which they are tried."""
    rows = [(f"`{' '.join(rule.methods)}`", f"`{rule.path}`", f"`{rule.permission}`") for rule in RULES]
    rows.append(("`GET HEAD`", "any other page", f"`{Permission.OPEN_PAGES}`"))
    return table(("methods", "path", "permission"), rows)


def audit_events() -> str:
    """Every kind of record with its codes."""
    by_kind = {kind: permission for permission, kind in AUDITED.items()}
    rows = [
        (
            f"`{kind.value}`",
            f"{codes.event.value} {codes.event.meaning}",
            "" if codes.type is None else f"{codes.type.value} {codes.type.meaning}",
            codes.action,
            f"`{by_kind[kind]}`" if kind in by_kind else "",
        )
        for kind, codes in CODES.items()
    ]
    return table(("record", "event (DCM)", "type (DCM)", "action", "of requests that need"), rows)
