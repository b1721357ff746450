"""Roles, what each of them may do, and who is asking: the tables that the gate enforces.

A role is what a person is for this node; a permission is what one route needs. A key of a machine holds permissions
and no role, and never those that only a person can have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Permission(StrEnum):
    """What a route needs."""

    PROBE = "probe"
    """Nothing, from whichever name the node is called by: health, for orchestrators."""
    SIGN_IN = "sign_in"
    """Nothing: the pages that come before an identity."""
    OPEN_PAGES = "open_pages"
    """Open the viewer, the pages of this node and the description of its API; no data of a study."""
    READ_WORKLIST = "read_worklist"
    """Read which studies there are, what became of them, deliveries, what was set aside, and the models."""
    READ_IMAGES = "read_images"
    """Query and retrieve instances by DICOMweb."""
    STORE_IMAGES = "store_images"
    """Store instances by DICOMweb."""
    READ_WORKITEMS = "read_workitems"
    """Read what was asked of this node and what it reads, with the patient's name (UPS-RS)."""
    WRITE_WORKITEMS = "write_workitems"
    """Ask this node to read a study; claim, change, complete and cancel workitems (UPS-RS)."""
    READ_FINDINGS = "read_findings"
    """Read findings, overlays and revisions of a study."""
    REVIEW = "review"
    """Accept, reject or correct findings, as a physician."""
    READ_CLAIMS = "read_claims"
    """Read claims and their imaging evidence."""
    WRITE_CLAIMS = "write_claims"
    """Check a claim and make its attachment."""
    OPERATE = "operate"
    """Have a study read now, and try again what failed."""
    READ_METRICS = "read_metrics"
    """Read counts and times for monitoring."""
    HOLD = "hold"
    """Put a study under legal hold, or end it: its images are then kept, whatever the rules of retention say."""
    ADMINISTER = "administer"
    """Read the audit trail."""


class Role(StrEnum):
    """What a person is for this node."""

    VIEWER = "viewer"
    """Looks at images and findings."""
    RADIOLOGIST = "radiologist"
    """A physician, whose review makes a finding count."""
    CODER = "coder"
    """Prepares claims from findings, without the images."""
    ADMINISTRATOR = "administrator"
    """Runs the node; is not a physician and does not review."""


_EVERYBODY = frozenset({Permission.PROBE, Permission.SIGN_IN})
_PERSON = _EVERYBODY | {Permission.OPEN_PAGES, Permission.READ_WORKLIST}
_VIEWER = _PERSON | {Permission.READ_IMAGES, Permission.READ_WORKITEMS, Permission.READ_FINDINGS}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.RADIOLOGIST: _VIEWER
    | {Permission.REVIEW, Permission.STORE_IMAGES, Permission.WRITE_WORKITEMS, Permission.OPERATE},
    Role.CODER: _PERSON | {Permission.READ_FINDINGS, Permission.READ_CLAIMS, Permission.WRITE_CLAIMS},
    Role.ADMINISTRATOR: frozenset(Permission) - {Permission.REVIEW},
}
"""What each role may do."""

FOR_KEYS = frozenset(Permission) - _EVERYBODY - {Permission.REVIEW, Permission.HOLD, Permission.ADMINISTER}
"""What a machine may be allowed: a review and a legal hold are a person's, and so is the audit trail."""


class Method(StrEnum):
    """How an identity was established."""

    NONE = "none"
    """Not at all: nobody yet."""
    LOOPBACK = "loopback"
    """By being on this machine, where no authentication is configured."""
    PASSWORD = "password"  # noqa: S105 - a name, not a secret
    """By a local user's password."""
    OIDC = "oidc"
    """By the site's identity provider (OpenID Connect)."""
    KEY = "key"
    """By the key of a machine."""
    COMMAND = "command"
    """By being a user of the operating system who can write the database."""
    NODE = "node"
    """By being this node, which does by itself what its settings say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is asking."""

    subject: str
    """Stable and unique: a local user's name, ``sub@issuer`` of a provider, ``key:ID``."""
    display_name: str
    """For people; not unique."""
    role: Role | None
    """None for a machine, for a user of this machine where the node is open, and for nobody."""
    permissions: frozenset[Permission]
    method: Method

    def may(self, permission: Permission) -> bool:
        """Whether a route that needs this permission is open to them."""
        return permission in self.permissions

    @property
    def is_person(self) -> bool:
        """Whether a person proved who they are: what a review needs."""
        return self.method in {Method.PASSWORD, Method.OIDC}


def person(subject: str, display_name: str, role: Role, method: Method) -> Principal:
    """A person with what their role may do."""
    return Principal(
        subject=subject, display_name=display_name, role=role, permissions=PERMISSIONS[role], method=method
    )


NOBODY = Principal(
    subject="anonymous", display_name="Not signed in", role=None, permissions=_EVERYBODY, method=Method.NONE
)
"""Who has shown nothing yet."""

NODE = Principal(subject="node", display_name="This node", role=None, permissions=frozenset(), method=Method.NODE)
"""The node itself."""

LOOPBACK = Principal(
    subject="loopback",
    display_name="User of this machine",
    role=None,
    permissions=frozenset(Permission),
    method=Method.LOOPBACK,
)
"""Whoever reaches a node that is open on loopback."""
