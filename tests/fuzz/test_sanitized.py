"""Compiled modules under sanitizers; needs what `tests/fuzz/instrument sanitized` builds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent
ROOT = FUZZ.parents[1]
BUILT = ROOT / "build/sanitized"

pytestmark = pytest.mark.skipif(not BUILT.is_dir(), reason="build/sanitized is not there")


def sanitized(*command: str, path: Path = BUILT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FUZZ / "sanitized", sys.executable, *command],
        env={**os.environ, "SANITIZED": str(path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_tests_run_with_the_modules_that_were_built(tmp_path: Path) -> None:
    test = tmp_path / "test_where.py"
    test.write_text("def test_where():\n    from recordio import tensors\n    assert not tensors.__file__\n")
    found = sanitized("-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", str(test))
    assert f"assert not '{BUILT}/recordio/tensors." in found.stdout


def test_mutated_inputs_touch_no_memory_but_their_own() -> None:
    found = sanitized(str(FUZZ / "mutate.py"), "0", "1000")
    assert found.returncode == 0, found.stderr[-4000:]
    assert "recordio-protobuf: " in found.stdout


def test_a_write_beyond_an_array_is_seen(tmp_path: Path) -> None:
    """The same command fails with a module that writes each cell one place too far."""
    shutil.copytree(BUILT, tmp_path / "planted")
    source = tmp_path / "planted/recordio/csv_cells.pyx"
    right, wrong = "_cell(at, end, out + column)", "_cell(at, end, out + column + 1)"
    text = source.read_text()
    assert right in text
    source.write_text(text.replace(right, wrong))
    subprocess.run([FUZZ / "instrument", "sanitized", tmp_path / "planted"], check=True, capture_output=True)
    decode = "from recordio import decode; decode(b'1,2,3', 'csv')"
    assert sanitized("-c", decode).returncode == 0
    found = sanitized("-c", decode, path=tmp_path / "planted")
    assert "AddressSanitizer: heap-buffer-overflow" in found.stderr
    assert "csv_cells" in found.stderr
