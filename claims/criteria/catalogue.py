"""All criteria tables that are at hand, and the one that a claim goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from claims.claim import Claim, ClaimRefusal
from claims.criteria.reading import CriteriaRefusal, read_table
from claims.criteria.table import CriteriaTable
from claims.procedures import check_procedures


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The tables, each id and version once."""

    tables: tuple[CriteriaTable, ...]

    def table_for(self, claim: Claim) -> CriteriaTable:
        """The table that the claim goes by: the one it names, or that of its payer, place, day and procedures.

        Raises:
            ClaimRefusal: a procedure is not known, no table fits, or more than one does.
        """
        check_procedures(claim)
        if claim.policy is not None:
            return self._named(claim, claim.policy)
        codes = {line.procedure for line in claim.lines}
        fits = [t for t in self._of_day(claim) if claim.payer_id in t.payers and t.holds_in(claim.jurisdiction)]
        fits = [table for table in fits if codes <= set(table.procedures)]
        if len(fits) == 1:
            return fits[0]
        if not fits:
            raise ClaimRefusal(
                f"No criteria table is for payer {claim.payer_id!r}, {claim.jurisdiction or 'no jurisdiction'}, "
                f"{claim.service_date} and {', '.join(sorted(codes))}; name one as policy: {self._names()}."
            )
        raise ClaimRefusal(
            f"More than one criteria table fits the claim: {', '.join(sorted(t.id for t in fits))}; name one as policy."
        )

    def _named(self, claim: Claim, policy: str) -> CriteriaTable:
        versions = [table for table in self.tables if table.id == policy]
        if not versions:
            raise ClaimRefusal(f"No criteria table is called {policy!r}; there are {self._names()}.")
        of_day = [table for table in self._of_day(claim) if table.id == policy]
        if not of_day:
            spans = ", ".join(f"{t.effective_from} to {t.effective_to or 'today'}" for t in versions)
            raise ClaimRefusal(f"The table {policy} is for services of {spans}, got {claim.service_date}.")
        if wrong := sorted({line.procedure for line in claim.lines} - set(of_day[0].procedures)):
            raise ClaimRefusal(f"The table {policy} is for {', '.join(of_day[0].procedures)}, got {', '.join(wrong)}.")
        return of_day[0]

    def _of_day(self, claim: Claim) -> list[CriteriaTable]:
        """The tables that hold on the day of service; of one id the newest."""
        newest: dict[str, CriteriaTable] = {}
        for table in self.tables:
            if not table.holds_on(claim.service_date):
                continue
            if table.id not in newest or newest[table.id].effective_from < table.effective_from:
                newest[table.id] = table
        return list(newest.values())

    def _names(self) -> str:
        return ", ".join(sorted({table.id for table in self.tables}))


def load_catalogue(folders: Sequence[Path] = ()) -> Catalogue:
    """The tables that come with the node, and those of a site's own folders.

    Raises:
        CriteriaRefusal: a file of a folder is not a table, or gives an id and version that is taken.
        ClaimRefusal: a folder is not there.
    """
    shipped = resources.files(__package__)
    files = [(item.name, item.read_bytes()) for item in shipped.iterdir() if item.name.endswith(".toml")]
    for folder in folders:
        if not folder.is_dir():
            raise ClaimRefusal(f"There is no folder {folder} with criteria tables.")
        files += [(str(path), path.read_bytes()) for path in folder.glob("*.toml")]
    tables: dict[tuple[str, str], CriteriaTable] = {}
    for name, data in sorted(files):
        table = read_table(data, name)
        if (table.id, table.version) in tables:
            raise CriteriaRefusal(name, [f"{table.id} {table.version} is there already"])
        tables[table.id, table.version] = table
    return Catalogue(tables=tuple(tables.values()))
