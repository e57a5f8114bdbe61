"""What every fault test gets: the mark ``faults``, time enough, and the seed in a failure's report."""

import os
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.scale import SEED, SOAK
from tests.faults.shim import Shim, build, compiler

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


@pytest.fixture(scope="session")
def shim_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim of system calls, compiled; skipped, loudly, without a compiler, which fails under CI."""
    if compiler() is None:
        reason = "NOT TESTED WITH FAILING SYSTEM CALLS: there is no C compiler (gcc or cc) on this machine"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    return build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def shim(shim_library: Path, tmp_path: Path) -> Iterator[Shim]:
    """What goes wrong at the system calls of the processes this test starts ``around``."""
    with closing(Shim(shim_library, tmp_path)) as shim:
        yield shim
