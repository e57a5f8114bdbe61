"""What every fault test gets: the mark ``faults``, time enough, and the seed in a failure's report."""

from pathlib import Path

import pytest

from tests.faults.scale import SEED, SOAK

HERE = Path(__file__).parent
SOAK_SECONDS = 4 * 3600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this directory; in the long form only their own deadlines count."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("faults")
            if SOAK:
                item.add_marker(pytest.mark.timeout(SOAK_SECONDS), append=False)


@pytest.fixture(autouse=True)
def said_seed() -> None:
    """Print the seed: pytest shows it where a test fails."""
    print(f"IMBRIDGE_SEED={SEED}")
