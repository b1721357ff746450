"""Coverage criteria as data: one versioned table for each policy, and what reads and checks them.

A person adds a payer with a file: no threshold, date or level is in the code. The form is in docs/user-guide/claims.md.
"""

from claims.criteria.catalogue import Catalogue, load_catalogue
from claims.criteria.reading import CriteriaRefusal, read_table
from claims.criteria.table import CriteriaTable

__all__ = ["Catalogue", "CriteriaRefusal", "CriteriaTable", "load_catalogue", "read_table"]
