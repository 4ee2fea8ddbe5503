"""Records come back from the spool as they went in, whatever their kinds and widths."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from algorithms.xgboost import spool as module
from algorithms.xgboost.spool import Spool
from recordio.batch import Batch
from recordio.errors import PlatformError

Kinds = list[tuple[bool, int, int]]  # sparse, records, width


def batches(kinds: Kinds, seed: int) -> list[Batch]:
    rng = np.random.default_rng(seed)
    made = []
    for sparse, records, width in kinds:
        cells = np.round(rng.normal(size=(records, width)), 1).astype(np.float32)
        labels, weights = rng.random(records).astype(np.float32), rng.random(records).astype(np.float32)
        cells[rng.random(cells.shape) < 0.5] = 0
        groups = np.sort(rng.integers(3, size=records))
        made.append(Batch(csr_array(cells) if sparse else cells, labels, weights, groups))
    return made


def cells_of(batch: Batch, width: int) -> np.ndarray:
    """nan where nothing was given."""
    found = np.full((len(batch), width), np.nan, np.float32)
    if isinstance(batch.features, np.ndarray):
        found[:, : batch.width] = batch.features
    else:
        entries = batch.features.tocoo()
        found[entries.row, entries.col] = entries.data
    return found


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=6),
    st.integers(1, 400),
    st.integers(0, 2**16),
)
@settings(deadline=None, max_examples=60)
def test_what_went_in_comes_back(kinds: Kinds, block_bytes: int, seed: int) -> None:
    given = batches(kinds, seed)
    spool = Spool()
    for batch in given:
        spool.append(batch)
    assert (len(spool), spool.width) == (sum(map(len, given)), max(batch.width for batch in given))
    before, module.BLOCK_BYTES = module.BLOCK_BYTES, block_bytes
    try:
        blocks = list(spool.blocks())
        found = [
            Batch(np.array(x) if isinstance(x := spool.features(block, spool.width), np.ndarray) else x)
            for block in blocks
        ]
    finally:
        module.BLOCK_BYTES = before
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks[:-1])] and blocks[-1].stop == len(
        spool
    )
    expected = np.concatenate([cells_of(batch, spool.width) for batch in given])
    np.testing.assert_array_equal(np.concatenate([cells_of(batch, spool.width) for batch in found]), expected)
    for name in ("labels", "weights", "groups"):
        np.testing.assert_array_equal(getattr(spool, name), np.concatenate([getattr(batch, name) for batch in given]))


def test_blocks_end_where_queries_do(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool()
    spool.append(Batch(np.zeros((10, 2), np.float32)))
    monkeypatch.setattr(module, "BLOCK_BYTES", 24)
    assert [(block.start, block.stop) for block in spool.blocks(np.array([0, 4, 9]))] == [(0, 4), (4, 9), (9, 10)]


def test_a_read_only_machine_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(PlatformError, match="set the variable TMPDIR to one, or mount one at /tmp"):
        Spool().append(Batch(np.zeros((1, 1), np.float32)))


FULL = """
import resource, numpy as np
from algorithms.xgboost.spool import Spool
from recordio.batch import Batch
from recordio.errors import PlatformError
from recordio.errors import PlatformError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
spool = Spool()
try:
    for _ in range(10):
        spool.append(Batch(np.ones((1000, 8), np.float32)))
except PlatformError as error:
    print(error)
"""


def test_a_full_disk_is_told_with_the_way_out() -> None:
    run = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("The records so far take 0 MiB of scratch space, and ")
    assert "has no room for more: File too large." in run.stdout
    assert "or set the variable TMPDIR to a folder of a larger disk" in run.stdout
