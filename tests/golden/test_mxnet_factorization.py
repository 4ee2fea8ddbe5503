"""Factorization machines that the real MXNet opens as the public code does, and its own updates: `make env-mxnet`."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array

from algorithms.factorization_machines.hyperparameters import FactorizationMachinesHyperparameters
from algorithms.factorization_machines.model import FactorizationMachine, load
from algorithms.factorization_machines.network import OUTPUTS, Network
from algorithms.factorization_machines.state import FactorizationMachinesState
from recordio.batch import Batch

MXNET_PYTHON = Path(__file__).parents[2] / ".venv-mxnet" / "bin" / "python"

pytestmark = pytest.mark.skipif(not MXNET_PYTHON.exists(), reason="make env-mxnet installs the real MXNet")

FEATURES, FACTORS = 9, 3

OPENED = """
mod = mx.module.Module.load("./model", 0, False, label_names=["out_label"])
x = np.load("x.npy")
mod.bind(data_shapes=[("data", x.shape)], for_training=False)
np.save("scores.npy", mod.predict(mx.io.NDArrayIter(x, batch_size=len(x))).asnumpy())
print({name: array.shape for name, array in sorted(mod._arg_params.items())})
"""

# The sparse network of MXNet's own example, with the names of the original.
MADE = """
x = np.load("x.npy")
arrays = {name: mx.nd.array(np.load(f"{name}.npy")) for name in ("v", "w1_weight", "w0_weight")}
data = mx.sym.Variable("data", stype="csr")
v, w1, w0 = (mx.sym.Variable(name, shape=array.shape) for name, array in arrays.items())
linear = mx.sym.broadcast_add(mx.sym.dot(data, w1), w0)
sums = mx.sym.square(mx.sym.dot(data, v)) - mx.sym.dot(mx.sym.square(data), mx.sym.square(v))
margins = linear + 0.5 * mx.sym.sum(sums, axis=1, keepdims=True)
symbol = getattr(mx.sym, OUTPUT)(margins, mx.sym.Variable("out_label"), name="out")
mod = mx.module.Module(symbol, label_names=["out_label"])
mod.bind(data_shapes=[mx.io.DataDesc("data", x.shape)], for_training=False)
mod.set_params(arrays, {})
mod.save_checkpoint("model", 0)
rows = mx.nd.array(x).tostype("csr")
iterator = mx.io.NDArrayIter(rows, batch_size=len(x), last_batch_handle="discard")
np.save("scores.npy", mod.predict(iterator).asnumpy())
"""

# Training by MXNet: its autograd, and its Adam with lazy updates of row-sparse weights.
TRAINED = """
x, y = np.load("x.npy"), np.load("y.npy")
params = {name: mx.nd.array(np.load(f"{name}.npy")) for name in ("v", "w1_weight", "w0_weight")}
for name in ("v", "w1_weight"):
    params[name] = params[name].tostype("row_sparse")
adam = mx.optimizer.create("adam", learning_rate=1.0, wd=1.0, rescale_grad=1 / SIZE, lazy_update=True, **OPTIONS)
names = list(params)
adam.set_lr_mult({number: RATES[name][0] for number, name in enumerate(names)})
adam.set_wd_mult({number: RATES[name][1] for number, name in enumerate(names)})
states = [adam.create_state(number, params[name]) for number, name in enumerate(names)]
for start in range(0, len(x), SIZE):
    data = mx.nd.array(x[start:start + SIZE]).tostype("csr")
    labels = mx.nd.array(y[start:start + SIZE])[:, None]
    for name, param in params.items():
        param.attach_grad(stype="default" if name == "w0_weight" else "row_sparse")
    with mx.autograd.record():
        v, w1, w0 = params["v"], params["w1_weight"], params["w0_weight"]
        own = mx.nd.dot(mx.nd.square(data), mx.nd.square(v))
        pairs = mx.nd.square(mx.nd.dot(data, v)) - own
        margins = mx.nd.dot(data, w1) + w0 + 0.5 * pairs.sum(axis=1, keepdims=True)
        out = getattr(mx.nd, OUTPUT)(margins, labels)
    out.backward()
    for number, name in enumerate(names):
        adam.update(number, params[name], params[name].grad, states[number])
for name, param in params.items():
    np.save(f"{name}.trained.npy", param.asnumpy())
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


def some_model(network: Network, task: str) -> FactorizationMachine:
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(FEATURES, FACTORS)).astype(np.float32)
    return FactorizationMachine(factors, rng.normal(size=FEATURES).astype(np.float32), 0.5, task, network)


def some_records(folder: Path, count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(count, FEATURES)) * (rng.random((count, FEATURES)) < 0.4)
    np.save(folder / "x.npy", x.astype(np.float32))
    return x.astype(np.float32)


@pytest.mark.parametrize("task", OUTPUTS)
@pytest.mark.parametrize("network", ["sparse", "dense"])
def test_mxnet_opens_ours_as_the_public_code_does(network: Network, task: str, tmp_path: Path) -> None:
    model, x = some_model(network, task), some_records(tmp_path)
    model.save(tmp_path, "algo-1")
    with zipfile.ZipFile(tmp_path / "model_algo-1") as archive:
        archive.extractall(tmp_path)
    (tmp_path / "symbol.json").rename(tmp_path / "model-symbol.json")
    (tmp_path / "params").rename(tmp_path / "model-0000.params")
    shapes = {"v": (FEATURES, FACTORS), "w0_weight": (1,), "w1_weight": (FEATURES, 1)}
    if network == "dense":
        shapes = {"Linear_Plus_Bias_bias": (1,), "Linear_Plus_Bias_weight": (1, FEATURES), "v": (FACTORS, FEATURES)}
    assert mxnet(OPENED, tmp_path).strip() == str(shapes)
    assert_allclose(model.predict(Batch(x))["score"], np.load(tmp_path / "scores.npy")[:, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lacking", ["linear", "bias"])
def test_mxnet_opens_models_without_a_part(lacking: str, tmp_path: Path) -> None:
    whole, x = some_model("sparse", "regressor"), some_records(tmp_path)
    parts = {"linear": whole.linear, "bias": whole.bias, lacking: None}
    model = FactorizationMachine(whole.factors, parts["linear"], parts["bias"], "regressor")  # type: ignore[arg-type]
    model.save(tmp_path, "algo-1")
    with zipfile.ZipFile(tmp_path / "model_algo-1") as archive:
        archive.extractall(tmp_path)
    (tmp_path / "symbol.json").rename(tmp_path / "model-symbol.json")
    (tmp_path / "params").rename(tmp_path / "model-0000.params")
    mxnet(OPENED, tmp_path)
    assert_allclose(model.predict(Batch(x))["score"], np.load(tmp_path / "scores.npy")[:, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("task", "output"), OUTPUTS.items())
def test_we_serve_what_mxnet_saved(task: str, output: str, tmp_path: Path) -> None:
    model, x = some_model("sparse", task), some_records(tmp_path)
    assert model.linear is not None
    for name, array in (("v", model.factors), ("w1_weight", model.linear[:, None]), ("w0_weight", [model.bias])):
        np.save(tmp_path / f"{name}.npy", np.asarray(array, np.float32))
    mxnet(f"OUTPUT = {output!r}\n{MADE}", tmp_path)
    with zipfile.ZipFile(tmp_path / "model_algo-1", "w") as archive:
        archive.write(tmp_path / "model-symbol.json", "symbol.json")
        archive.write(tmp_path / "model-0000.params", "params")
        archive.writestr("meta.json", json.dumps({"training_parameters": {"feature_dim": FEATURES}}))
    loaded = load(tmp_path)
    assert loaded.predictor_type == task, "told by the network"
    assert_allclose(loaded.predict(Batch(x))["score"], np.load(tmp_path / "scores.npy")[:, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"clip_gradient": 0.03}, {"epsilon": 0.01}], ids=str)
@pytest.mark.parametrize(("task", "output"), OUTPUTS.items())
def test_updates_are_those_of_mxnet(task: str, output: str, options: dict[str, float], tmp_path: Path) -> None:
    """The same first values, batches, rates and decays, as multipliers of a rate and a decay of 1."""
    size, x = 10, some_records(tmp_path, 200)
    rng = np.random.default_rng(3)
    y = (rng.random(200) < 0.4) if task == "binary_classifier" else rng.normal(2, 1, 200)
    np.save(tmp_path / "y.npy", y.astype(np.float32))
    rates = {"v": (0.01, 0.05), "w1_weight": (0.02, 0.1), "w0_weight": (0.03, 0.02)}
    strings = {
        f"{group}_{what}": str(value)
        for (group, values) in (("factors", rates["v"]), ("linear", rates["w1_weight"]), ("bias", rates["w0_weight"]))
        for what, value in zip(("lr", "wd"), values, strict=True)
    }
    names = {"clip_gradient": "clip_gradient", "epsilon": "eps"}
    strings |= {names[name]: str(value) for name, value in options.items()}
    settings = FactorizationMachinesHyperparameters.from_strings(
        {
            "feature_dim": str(FEATURES),
            "num_factors": str(FACTORS),
            "predictor_type": task,
            "factors_init_sigma": "0.3",
            **strings,
        }
    )
    state = FactorizationMachinesState(settings)
    state.table.slots(np.arange(FEATURES, dtype=np.int32))
    first = state.table.weights.copy()
    for name, array in (("v", first[:, :FACTORS]), ("w1_weight", first[:, -1:]), ("w0_weight", state.bias[:1])):
        np.save(tmp_path / f"{name}.npy", np.asarray(array, np.float32))
    for start in range(0, 200, size):
        state.update(Batch(csr_array(x[start : start + size]), y[start : start + size].astype(np.float32)))
    mxnet(f"OUTPUT, SIZE, RATES, OPTIONS = {output!r}, {size}, {rates}, {options}\n{TRAINED}", tmp_path)
    model = state.finalise()
    # Twenty updates in single precision, summed in another order; what Adam divides by may be small.
    for name, ours in (("v", model.factors), ("w1_weight", model.linear), ("w0_weight", model.bias)):
        theirs = np.load(tmp_path / f"{name}.trained.npy").reshape(np.shape(ours) or ())
        assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4, err_msg=name)
