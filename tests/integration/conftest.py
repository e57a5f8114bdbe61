"""What the integration tests share."""

import uuid

import pytest


@pytest.fixture
def prefix() -> str:
    """A topic prefix of this test alone."""
    return f"t{uuid.uuid4().hex[:10]}."
