"""What is wrong with a document, said so that its author can mend it."""

from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing wrong: where (file or record key, document, line, JSON pointer) and what to write instead.

    ``document`` counts from 1 within the file; 0 where the source is a record or the file as a whole.
    """

    source: str
    document: int
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        """Return one line for people."""
        place = self.source
        if self.document:
            place += f", document {self.document} (line {self.line})"
        return f"{place}, {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


Fault = tuple[str, str]
"""A path within one document and what is wrong there; its place is added by who knows the source."""


def pointer(parts: Iterable[str | int]) -> str:
    """Return the JSON pointer of a path within a document; empty for the document itself."""
    return "".join(f"/{part}" for part in parts)
