"""``python -m tests.samples.freeze 0.1.0`` keeps today's golden events as those of a version.

The schemas of later versions must read them (test_versions). It can be run again until the release, never
after it.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
VERSIONS: Final = FOLDER / "versions"
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")


def freeze(version: str, versions: Path = VERSIONS) -> int:
    """Copy every golden event into the folder of the version, in place of what is there; return how many."""
    if not _VERSION.fullmatch(version):
        raise ValueError(f"a version is three numbers with dots, got {version!r}")
    place = versions / version
    shutil.rmtree(place, ignore_errors=True)
    golden = [path for provider in ("tencent", "openim") for path in (FOLDER / provider).glob("*.event.json")]
    for path in golden:
        copy = place / path.relative_to(FOLDER)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return len(golden)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.samples.freeze VERSION")
    print(f"{freeze(sys.argv[1])} events")
