from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from algorithms.contract import Model
from serving.errors import AlreadyLoaded, Busy, NoRoom, NotFound, NotLoaded
from serving.models import ModelTable, OneModel, load
from tests.unit.serving.toy import TOY, Scale


def saved(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Scale(2).save(folder, "algo-1")
    return folder


def test_files_beside_the_model_do_not_matter(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "model.tar.gz").write_bytes(b"no archive")
    (tmp_path / ".hidden").mkdir()
    assert load(TOY, tmp_path).feature_dim == 2


def test_reason_is_kept(tmp_path: Path) -> None:
    model = OneModel(TOY, tmp_path)
    assert model.reason == f"unable to load model: {tmp_path / 'scale_algo-1'} is missing"
    with pytest.raises(NotLoaded, match=r"unable to load model: .* is missing"):
        _ = model.model


def test_model_too_large_for_memory(tmp_path: Path) -> None:
    def huge(_: Path) -> Model:
        raise MemoryError

    with pytest.raises(NoRoom):
        load(replace(TOY, load=huge), tmp_path)


def test_unloading_waits_for_requests(tmp_path: Path) -> None:
    models = ModelTable(TOY, tmp_path, timeout_seconds=5)
    models.load("a", str(saved(tmp_path / "a")))
    unloaded = threading.Thread(target=models.unload, args=("a",))
    with models.using("a") as model:
        unloaded.start()
        unloaded.join(0.05)
        assert unloaded.is_alive()
        assert model.feature_dim == 2
        with pytest.raises(NotFound):
            models.described("a")
    unloaded.join(5)
    assert not unloaded.is_alive()


def test_unloading_does_not_wait_for_ever(tmp_path: Path) -> None:
    models = ModelTable(TOY, tmp_path, timeout_seconds=0.01)
    models.load("a", str(saved(tmp_path / "a")))
    with models.using("a"), pytest.raises(Busy):
        models.unload("a")
    with pytest.raises(NotFound):
        models.unload("a")


def test_a_model_is_loaded_once_and_takes_its_room_meanwhile(tmp_path: Path) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(folder: Path) -> Model:
        started.set()
        go_on.wait(5)
        return TOY.load(folder)

    size = (saved(tmp_path / "a") / "scale_algo-1").stat().st_size
    models = ModelTable(replace(TOY, load=slow), tmp_path, memory_free=lambda: 3 * size)
    loading = threading.Thread(target=models.load, args=("a", str(tmp_path / "a")))
    loading.start()
    assert started.wait(5)
    with pytest.raises(AlreadyLoaded):
        models.load("a", str(tmp_path / "a"))
    with pytest.raises(NoRoom):
        models.load("b", str(saved(tmp_path / "b")))
    go_on.set()
    loading.join(5)
    models.load("b", str(tmp_path / "b"))
    assert models.page(None, 10)[0][1]["modelName"] == "b"


def test_an_algorithm_says_how_much_room_its_models_take_while_they_are_loaded(tmp_path: Path) -> None:
    size = (saved(tmp_path / "a") / "scale_algo-1").stat().st_size
    greedy = replace(TOY, load_factor=4)
    with pytest.raises(NoRoom, match=f"about {4 * size} bytes"):
        ModelTable(greedy, tmp_path, memory_free=lambda: 4 * size - 1).load("a", str(tmp_path / "a"))
    ModelTable(greedy, tmp_path, memory_free=lambda: 4 * size).load("a", str(tmp_path / "a"))
