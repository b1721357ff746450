"""Which bundles are installed; nothing is loaded that runs one.

Bundles live in the package's own ``bundles`` folder and, when a site imports its own, in a further folder; a name may
exist once.
"""

from __future__ import annotations

from pathlib import Path

from inference.errors import BundleRefusal
from models.bundle import Bundle, read_bundle

SHIPPED = Path(__file__).parent / "bundles"


def list_bundles(site_folder: Path | None = None) -> tuple[Bundle, ...]:
    """Every installed bundle, by name; BundleRefusal when one is unusable or a name exists twice."""
    folders = [p for root in (SHIPPED, site_folder) if root is not None and root.is_dir() for p in root.iterdir()]
    bundles = sorted((read_bundle(p) for p in folders if p.is_dir()), key=lambda b: b.identity.name)
    names = [b.identity.name for b in bundles]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise BundleRefusal(f"each bundle's name may be installed once, got twice: {', '.join(sorted(twice))}")
    return tuple(bundles)


def find_bundle(name: str, site_folder: Path | None = None) -> Bundle:
    """The installed bundle of that name; BundleRefusal lists the names that there are."""
    bundles = list_bundles(site_folder)
    found = next((b for b in bundles if b.identity.name == name), None)
    if found is None:
        raise BundleRefusal(f"no bundle {name!r}; installed: {', '.join(b.identity.name for b in bundles) or 'none'}")
    return found
