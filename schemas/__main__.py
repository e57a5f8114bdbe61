"""``python -m schemas`` writes what is generated from the catalog; ``--check`` says whether it is current."""

import sys
from pathlib import Path
from typing import Final

from schemas import asyncapi, openapi
from schemas.catalog import Catalog
from schemas.catalog_readme import render
from schemas.yaml_writer import to_yaml

HERE: Final = Path(__file__).parent
README: Final = HERE / "README.md"
ASYNCAPI: Final = HERE / "asyncapi.yaml"
OPENAPI: Final = HERE / "openapi.yaml"


def generated(catalog: Catalog) -> dict[Path, str]:
    """Return what each generated file should hold."""
    return {
        README: render(catalog),
        ASYNCAPI: to_yaml(asyncapi.document(catalog)),
        OPENAPI: to_yaml(openapi.document(catalog)),
    }


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` compare them; return 1 when one is not current."""
    pages = generated(Catalog.load())
    if arguments == ["--check"]:
        old = [path for path, page in pages.items() if not _holds(path, page)]
        sys.stderr.writelines(f"{path} is not current: run python -m schemas\n" for path in old)
        return 1 if old else 0
    for path, page in pages.items():
        path.write_text(page, encoding="utf-8")
    return 0


def _holds(path: Path, page: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == page


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
