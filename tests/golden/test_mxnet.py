"""Array files read and written by the real MXNet, which lives in an environment of its own: `make env-mxnet`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from algorithms import algorithm
from algorithms.artifacts import ndarrays
from recordio.batch import Batch

MXNET_PYTHON = Path(__file__).parents[2] / ".venv-mxnet" / "bin" / "python"

pytestmark = pytest.mark.skipif(not MXNET_PYTHON.exists(), reason="make env-mxnet installs the real MXNet")


def mxnet(program: str, folder: Path) -> str:
    program = f"import mxnet as mx, numpy as np\n{program}"
    done = subprocess.run([MXNET_PYTHON, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "uint8", "int32", "int8", "int64"])
def test_mxnet_reads_our_arrays_and_we_read_its(name: str, tmp_path: Path) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(name)
    (tmp_path / "ours").write_bytes(ndarrays.encode([array, array[0]], ["arg:a", "aux:b"]))
    printed = mxnet(
        "arrays = mx.nd.load('ours')\n"
        "print(sorted(arrays), arrays['arg:a'].dtype.__name__, arrays['arg:a'].asnumpy().tolist())\n"
        "mx.nd.save('theirs', arrays)\n"
        "mx.nd.save('unnamed', [arrays['aux:b']])",
        tmp_path,
    )
    assert printed.strip() == f"['arg:a', 'aux:b'] {name} {array.tolist()}"
    arrays, names = ndarrays.decode((tmp_path / "theirs").read_bytes())
    assert sorted(names) == ["arg:a", "aux:b"]
    assert np.array_equal(arrays[names.index("arg:a")], array) and arrays[0].dtype == array.dtype
    (alone,), names = ndarrays.decode((tmp_path / "unnamed").read_bytes())
    assert names == [] and np.array_equal(alone, array[0])


def test_centroids_as_the_public_notebooks_open_and_make_them(tmp_path: Path) -> None:
    """Bring your own model: mx.ndarray.save("model_algo-1", [centroids]) is served; ours is opened by [0]."""
    centroids = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.save(tmp_path / "centroids.npy", centroids)
    mxnet("mx.ndarray.save('model_algo-1', [mx.nd.array(np.load('centroids.npy'))])", tmp_path)
    model = algorithm("kmeans").load(tmp_path)
    assert model.predict(Batch(centroids))["closest_cluster"].tolist() == [0, 1, 2, 3, 4]
    (tmp_path / "model_algo-1").unlink()
    model.save(tmp_path, "algo-1")
    printed = mxnet(
        "loaded = mx.ndarray.load('model_algo-1')\n"
        "same = (loaded[0].asnumpy() == np.load('centroids.npy')).all()\n"
        "print(type(loaded).__name__, len(loaded), loaded[0].shape, same)",
        tmp_path,
    )
    assert printed.strip() == "list 1 (5, 3) True"


@pytest.mark.parametrize("subtract_mean", [True, False])
def test_components_as_the_public_notebooks_open_and_make_them(subtract_mean: bool, tmp_path: Path) -> None:
    """mx.ndarray.load("model_algo-1") gives mean, s and v by name; the last columns of v are the top components."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(200, 4)) * [1, 5, 2, 0.1] + 3).astype(np.float32)
    given = {"feature_dim": 4, "num_components": 2, "mini_batch_size": 50, "subtract_mean": subtract_mean}
    pca = algorithm("pca")
    state = pca.create(pca.hyperparameters.from_strings(given), rng)
    state.update(Batch(x))
    model = state.finalise()
    model.save(tmp_path, "algo-1")
    np.save(tmp_path / "x.npy", x)
    printed = mxnet(
        "loaded = mx.ndarray.load('model_algo-1')\n"
        "print({name: (array.shape, array.dtype.__name__) for name, array in sorted(loaded.items())})\n"
        "x, s, v = np.load('x.npy'), loaded['s'].asnumpy(), loaded['v'].asnumpy()\n"
        "mean = loaded['mean'].asnumpy() if 'mean' in loaded else 0\n"
        "projections = (x - mean) @ v\n"
        "np.save('projections.npy', projections)\n"
        "np.save('lengths.npy', np.sqrt((projections ** 2).sum(axis=0)) / s)\n"
        "mx.ndarray.save('model_algo-1', loaded)",
        tmp_path,
    )
    shapes = {"mean": ((1, 4), "float32"), "s": ((2,), "float32"), "v": ((4, 2), "float32")}
    assert printed.strip() == str(shapes if subtract_mean else {name: shapes[name] for name in "sv"})
    np.testing.assert_allclose(np.load(tmp_path / "lengths.npy"), 1, rtol=1e-5)
    expected = np.load(tmp_path / "projections.npy")
    assert np.ptp(expected[:, 1]) > np.ptp(expected[:, 0])
    for served in (model, pca.load(tmp_path)):  # which MXNet wrote by now
        # Sums in single precision there.
        np.testing.assert_allclose(served.predict(Batch(x))["projection"], expected, rtol=1e-4, atol=1e-4)
