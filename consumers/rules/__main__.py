"""``python -m consumers.rules`` writes the tables of acts into the guide, ``deploy/RULES.md``."""

from pathlib import Path
from typing import Final

from consumers.rules.guide import with_tables

GUIDE: Final = Path(__file__).parents[2] / "deploy" / "RULES.md"

if __name__ == "__main__":
    GUIDE.write_text(with_tables(GUIDE.read_text("utf-8")), "utf-8")
