"""Linear models that the real MXNet opens as the public notebooks do, and that it makes: `make env-mxnet`."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from algorithms.linear_learner.model import LinearModel, load
from recordio.batch import Batch

MXNET_PYTHON = Path(__file__).parents[2] / ".venv-mxnet" / "bin" / "python"

pytestmark = pytest.mark.skipif(not MXNET_PYTHON.exists(), reason="make env-mxnet installs the real MXNet")

FEATURES, CLASSES = 6, 4
KINDS = {
    "squared_loss": ("regressor", "LinearRegressionOutput"),
    "absolute_loss": ("regressor", "MAERegressionOutput"),
    "logistic": ("binary_classifier", "LogisticRegressionOutput"),
    "hinge_loss": ("binary_classifier", "LinearRegressionOutput"),
    "softmax_loss": ("multiclass_classifier", "SoftmaxOutput"),
}

OPENED = """
mod = mx.module.Module.load("mx-mod", 0, label_names=["out_label"])
x = np.load("x.npy")
mod.bind(data_shapes=[("data", x.shape)], for_training=False)
np.save("scores.npy", mod.predict(mx.io.NDArrayIter(x, batch_size=len(x))).asnumpy())
print({name: array.shape for name, array in sorted(mod._arg_params.items())})
"""

MADE = """
x, weight = np.load("x.npy"), np.load("weight.npy")
margins = mx.sym.dot(mx.sym.Variable("data"), mx.sym.Variable("fc0_weight", shape=weight.shape))
arrays = {"fc0_weight": mx.nd.array(weight)}
if BIAS:
    bias = np.load("bias.npy")
    margins = mx.sym.broadcast_add(margins, mx.sym.Variable("fc0_bias", shape=bias.shape, lr_mult=10.0))
    arrays["fc0_bias"] = mx.nd.array(bias)
symbol = getattr(mx.sym, OUTPUT)(margins, mx.sym.Variable("out_label"), name="out")
mod = mx.module.Module(symbol, label_names=["out_label"])
mod.bind(data_shapes=[("data", x.shape)], for_training=False)
mod.set_params(arrays, {})
mod.save_checkpoint("mx-mod", 0)
np.save("scores.npy", mod.predict(mx.io.NDArrayIter(x, batch_size=len(x))).asnumpy())
"""


def mxnet(program: str, folder: Path) -> str:
    done = subprocess.run(
        [MXNET_PYTHON, "-c", f"import mxnet as mx, numpy as np\n{program}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def some_arrays(loss: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    outputs = CLASSES if loss == "softmax_loss" else 1
    x = rng.normal(size=(50, FEATURES)).astype(np.float32)
    return x, rng.normal(size=(FEATURES, outputs)).astype(np.float32), rng.normal(size=(1, outputs)).astype(np.float32)


def ours(model: LinearModel, x: np.ndarray) -> np.ndarray:
    return model.predict(Batch(x))["score"].reshape(len(x), -1)


@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("loss", KINDS)
def test_mxnet_opens_ours_as_the_public_notebooks_do(loss: str, biased: bool, tmp_path: Path) -> None:
    x, weight, bias = some_arrays(loss)
    predictor_type, _ = KINDS[loss]
    threshold = 0.25 if predictor_type == "binary_classifier" else None
    model = LinearModel(weight, bias[0] if biased else None, predictor_type, loss, threshold)
    model.save(tmp_path, "algo-1")
    with zipfile.ZipFile(tmp_path / "model_algo-1") as archive:
        archive.extractall(tmp_path)
    np.save(tmp_path / "x.npy", x)
    shapes: dict[str, Any] = {"fc0_bias": bias.shape} if biased else {}
    assert mxnet(OPENED, tmp_path).strip() == str(shapes | {"fc0_weight": weight.shape})
    assert_allclose(ours(model, x), np.load(tmp_path / "scores.npy"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("loss", KINDS)
def test_we_serve_what_mxnet_saved(loss: str, biased: bool, tmp_path: Path) -> None:
    x, weight, bias = some_arrays(loss)
    predictor_type, output = KINDS[loss]
    for name, array in (("x", x), ("weight", weight), ("bias", bias)):
        np.save(tmp_path / f"{name}.npy", array)
    mxnet(f"BIAS, OUTPUT = {biased}, {output!r}\n{MADE}", tmp_path)
    parameters = {"threshold": 0.25, "loss_type": loss, "predictor_type": predictor_type, "metrics_params": {}}
    with zipfile.ZipFile(tmp_path / "model_algo-1", "w") as archive:
        for name in ("mx-mod-symbol.json", "mx-mod-0000.params"):
            archive.write(tmp_path / name, name)
        archive.writestr("additional-params.json", json.dumps(parameters))
    scores = np.load(tmp_path / "scores.npy")
    model = load(tmp_path)
    assert_allclose(ours(model, x), scores, rtol=1e-5, atol=1e-6)
    if predictor_type != "regressor":
        labels = scores.argmax(axis=1) if predictor_type == "multiclass_classifier" else scores[:, 0] >= 0.25
        assert model.predict(Batch(x))["predicted_label"].tolist() == labels.astype(int).tolist()
