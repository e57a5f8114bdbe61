"""How long and how often: what CI has time for, or the long form (IMBRIDGE_SOAK=1, ``make soak``).

Whatever is random starts from SEED: it is printed, and IMBRIDGE_SEED sets it to meet a failure again.
"""

import os
import random
from typing import Final, TypeVar

Number = TypeVar("Number", int, float)
SOAK: Final = os.environ.get("IMBRIDGE_SOAK", "") not in {"", "0"}
SEED: Final = int(os.environ.get("IMBRIDGE_SEED") or random.SystemRandom().randrange(1 << 32))


def scaled(in_ci: Number, in_soak: Number) -> Number:
    """Return the number for this run."""
    return in_soak if SOAK else in_ci


def chance(name: str) -> random.Random:
    """Return a source of randomness of one test's own, the same whenever the seed is."""
    return random.Random(f"{SEED}/{name}")
