"""``python -m schemas`` writes what is generated from the catalog; ``--check`` says whether it is current."""

import sys
from pathlib import Path
from typing import Final

from schemas.catalog import Catalog
from schemas.catalog_readme import render

README: Final = Path(__file__).parent / "README.md"


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` compare it; return 1 when it is not current."""
    page = render(Catalog.load())
    if arguments == ["--check"]:
        current = README.is_file() and README.read_text(encoding="utf-8") == page
        sys.stderr.write("" if current else f"{README} is not current: run python -m schemas\n")
        return 0 if current else 1
    README.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
