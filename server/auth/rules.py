"""Which permission each path needs: one table, the first rule that fits is the one. What no rule names is refused.

``*`` stands for one segment of a path, ``**`` for everything that follows. A route that is added without a rule
answers 404, and a test that walks the application's routes says which it is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from dataclasses import dataclass

from server.auth.roles import Permission

READ = ("GET", "HEAD")
POST = ("POST",)
WRITE = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Methods on a path, and what they need."""

    methods: tuple[str, ...]
    path: str
    permission: Permission

    def fits(self, path: str) -> bool:
        """Whether that path is one of these."""
        return _pattern(self.path).fullmatch(path) is not None


def _rule(methods: tuple[str, ...], path: str, permission: Permission) -> Rule:
    return Rule(methods=methods, path=path, permission=permission)


RULES: tuple[Rule, ...] = (
    _rule(READ, "/healthz", Permission.PROBE),
    _rule(READ, "/readyz", Permission.PROBE),
    _rule(READ, "/metrics", Permission.READ_METRICS),
    _rule((*READ, "POST"), "/login", Permission.SIGN_IN),
    _rule(POST, "/logout", Permission.SIGN_IN),
    _rule(READ, "/oidc/login", Permission.SIGN_IN),
    _rule(READ, "/oidc/callback", Permission.SIGN_IN),
    _rule(READ, "/api/docs", Permission.OPEN_PAGES),
    _rule(READ, "/api/openapi.json", Permission.OPEN_PAGES),
    _rule(READ, "/api/v1/me", Permission.OPEN_PAGES),
    _rule(READ, "/api/v1/audit/**", Permission.ADMINISTER),
    _rule(READ, "/api/v1/models/**", Permission.READ_WORKLIST),
    _rule(READ, "/api/v1/deliveries", Permission.READ_WORKLIST),
    _rule(READ, "/api/v1/quarantine", Permission.READ_WORKLIST),
    _rule((*READ, "POST"), "/api/v1/worklist/**", Permission.READ_FINDINGS),
    _rule(READ, "/api/v1/events", Permission.READ_WORKLIST),
    _rule(POST, "/api/v1/retry/*", Permission.OPERATE),
    _rule(READ, "/api/v1/studies", Permission.READ_WORKLIST),
    _rule(READ, "/api/v1/studies/*", Permission.READ_WORKLIST),
    _rule(POST, "/api/v1/studies/*/complete", Permission.OPERATE),
    _rule(("PUT", "DELETE"), "/api/v1/studies/*/hold", Permission.HOLD),
    _rule(READ, "/api/v1/studies/*/hold", Permission.READ_WORKLIST),
    _rule(READ, "/api/v1/holds", Permission.READ_WORKLIST),
    _rule(WRITE, "/api/v1/studies/*/reviews/**", Permission.REVIEW),
    _rule(READ, "/api/v1/studies/*/**", Permission.READ_FINDINGS),
    _rule(WRITE, "/api/v1/reviews/**", Permission.REVIEW),
    _rule(READ, "/api/v1/reviews/**", Permission.READ_FINDINGS),
    _rule(READ, "/api/v1/statistics/**", Permission.READ_WORKLIST),
    _rule(POST, "/api/v1/claims/check", Permission.READ_CLAIMS),
    _rule(READ, "/api/v1/claims/**", Permission.READ_CLAIMS),
    _rule(WRITE, "/api/v1/claims/**", Permission.WRITE_CLAIMS),
    _rule(READ, "/api/v1/attachments/*", Permission.READ_CLAIMS),
    _rule(POST, "/api/v1/attachments/acknowledgements", Permission.WRITE_CLAIMS),
    _rule(READ, "/dicom-web/workitems/**", Permission.READ_WORKITEMS),
    _rule(WRITE, "/dicom-web/workitems/**", Permission.WRITE_WORKITEMS),
    _rule(READ, "/dicom-web/**", Permission.READ_IMAGES),
    _rule(POST, "/dicom-web/**", Permission.STORE_IMAGES),
)

_PAGES = _rule(READ, "/**", Permission.OPEN_PAGES)
"""The viewer's files and the pages of this node, whose addresses are theirs to choose."""
_NOT_PAGES = re.compile(r"/(?:api|dicom-web|metrics|healthz|readyz|login|logout|oidc)(?:/.*)?", re.DOTALL)
"""Under these a page cannot be: a route without a rule stays shut."""


@functools.cache
def _pattern(path: str) -> re.Pattern[str]:
    escaped = re.escape(path).replace(r"/\*\*", "(?:/.*)?").replace(r"\*", "[^/]+")
    return re.compile(escaped, re.DOTALL)


def permission_for(method: str, path: str) -> Permission | None:
    """What a request needs; None where nothing is, or nothing answers that method."""
    for rule in rules_for(path):
        if method in rule.methods:
            return rule.permission
    return None


def rules_for(path: str) -> Collection[Rule]:
    """The rules that fit a path, in order."""
    found = tuple(rule for rule in RULES if rule.fits(path))
    return found if found or _NOT_PAGES.fullmatch(path) else (_PAGES,)
