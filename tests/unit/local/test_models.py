"""Artifacts of earlier jobs: found as archive or folder, and asked for their algorithm."""

from __future__ import annotations

from pathlib import Path

import pytest

from algorithms.artifacts.archives import pack
from local.models import algorithm_name, described, opened
from recordio.errors import UserError


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "model.json").write_text('{"algorithm": "kmeans"}')
    return tmp_path / "files"


def test_an_archive_is_unpacked_for_as_long_as_it_is_used(tmp_path: Path, files: Path) -> None:
    pack(files, tmp_path / "model.tar.gz")
    with opened(tmp_path / "model.tar.gz") as folder:
        assert [path.name for path in folder.iterdir()] == ["model.json"]
    assert not folder.exists()


def test_the_folder_of_an_archive_stands_for_it(tmp_path: Path, files: Path) -> None:
    pack(files, tmp_path / "model.tar.gz")
    with opened(tmp_path) as folder:
        assert [path.name for path in folder.iterdir()] == ["model.json"]


def test_a_folder_of_files_is_used_where_it_is(files: Path) -> None:
    with opened(files) as folder:
        assert folder == files
    assert folder.exists()


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_text("no archive")
    with pytest.raises(UserError, match=r"model\.tar\.gz: the file is damaged"), opened(tmp_path):
        pass


def test_the_artifact_names_its_algorithm(files: Path) -> None:
    assert algorithm_name(files) == "kmeans"


@pytest.mark.parametrize("text", ["", "{}", "[]", "[" * 100_000, '{"algorithm": 1}', "\ud800", '"algorithm"'])
def test_an_artifact_made_elsewhere_names_none(files: Path, text: str) -> None:
    (files / "model.json").write_text(text, errors="surrogatepass")
    assert algorithm_name(files) is None
    (files / "model.json").unlink()
    assert algorithm_name(files) is None


def test_what_an_artifact_tells_of_itself_may_be_hidden(files: Path) -> None:
    (files / "model.json").rename(files / ".model.json")
    assert algorithm_name(files) == "kmeans"
    (files / "model.json").write_text('{"algorithm": "pca"}')
    assert described(files) == {"algorithm": "pca"}
