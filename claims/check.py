"""Whether a claim is sound enough to be worked on, whatever it came as."""

from __future__ import annotations

import re

from claims.claim import Claim, ClaimRefusal
from claims.procedures import check_procedures

_NPI = re.compile(r"\d{10}")
_NPI_PREFIX = "80840"
_MOST_UNITS = 99


def check_claim(claim: Claim) -> None:
    """Refuse what cannot be worked on.

    Raises:
        ClaimRefusal: no line, a line number or a body of a line twice, units that are no count, a procedure that is
            not known, a provider number that is none.
    """
    if not claim.id.strip():
        raise ClaimRefusal("A claim has a number, got none.")
    if not claim.lines:
        raise ClaimRefusal("A claim bills at least one procedure, got no service line.")
    check_procedures(claim)
    numbers = [line.number for line in claim.lines]
    if len(set(numbers)) < len(numbers):
        raise ClaimRefusal(f"Each service line has a number of its own, got {', '.join(map(str, numbers))}.")
    for line in claim.lines:
        if not 1 <= line.units <= _MOST_UNITS:
            raise ClaimRefusal(f"Units of line {line.number} must lie in [1, {_MOST_UNITS}], got {line.units}.")
        if len(set(line.bodies)) < len(line.bodies):
            raise ClaimRefusal(f"Line {line.number} names a body twice: {', '.join(b.name for b in line.bodies)}.")
    if claim.provider_npi and not is_npi(claim.provider_npi):
        raise ClaimRefusal("The provider's NPI is not one: ten digits of which the last is a check digit.")


def is_npi(number: str) -> bool:
    """Whether it is a National Provider Identifier: ten digits, Luhn-checked with the prefix 80840 (45 CFR 162.406)."""
    if not _NPI.fullmatch(number):
        return False
    digits = [int(digit) for digit in reversed(_NPI_PREFIX + number)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
