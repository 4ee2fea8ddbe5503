"""A storage service for all tests of this folder that ask for one, emptied between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.storage import service as ours
from tests.contract.storage import BUCKET, Storage, storage


@pytest.fixture(scope="session")
def _server() -> Iterator[Storage]:
    with storage() as found:
        yield found


@pytest.fixture
def s3(_server: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """The storage, which this process uses, too."""
    for name, value in _server.variables.items():
        monkeypatch.setenv(name, value)
    ours.client.cache_clear()
    yield _server
    ours.client.cache_clear()
    for key in _server.names():
        _server.client.delete_object(Bucket=BUCKET, Key=key)
