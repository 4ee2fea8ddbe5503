"""What the arguments of `onepass train` say of channels."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import cli
from local.channels import channels
from local.platform import Channel
from recordio.errors import UserError

TRAIN = ["train", "kmeans", "--output", "out"]


def content_type(path: Path, *arguments: str) -> str | None:
    given = cli._parser().parse_args([*TRAIN, "--channel", f"train={path}", *arguments])
    return channels(given)[0].content_type


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.csv"], "text/csv"),
        (["a.csv", "b.csv.gz", "_SUCCESS"], "text/csv"),
        (["a.csv", "b.pbr"], None),
        (["a.pbr"], None),
    ],
)
def test_csv_is_known_by_the_names_of_its_files(tmp_path: Path, names: list[str], expected: str | None) -> None:
    for name in names:
        (tmp_path / name).write_text("1,2")
    assert content_type(tmp_path) == expected
    assert content_type(tmp_path / names[0]) == ("text/csv" if names[0].endswith(".csv") else None)


def test_what_is_said_of_a_channel_goes_first(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    assert content_type(tmp_path, "--content-type", "text/csv;label_size=1") == "text/csv;label_size=1"
    assert content_type(tmp_path, "--content-type", "train=text/csv; label_size=1") == "text/csv; label_size=1"


def parsed(*arguments: str) -> dict[str, Channel]:
    given = cli._parser().parse_args([*TRAIN, *arguments])
    return {channel.name: channel for channel in channels(given)}


def test_an_option_is_of_all_channels_or_of_one(tmp_path: Path) -> None:
    found = parsed(
        *("--channel", f"train={tmp_path}", "--channel", f"test={tmp_path}"),
        *("--input-mode", "Pipe", "--input-mode", "test=FastFile", "--compression", "train=Gzip"),
        *("--record-wrapper", "RecordIO", "--record-wrapper", "test=None", "--distribution", "train=ShardedByS3Key"),
        *("--shuffle-seed", "train=-7"),
    )
    assert found["train"] == Channel("train", tmp_path, None, "Pipe", True, True, True, -7)
    assert found["test"] == Channel("test", tmp_path, None, "FastFile")
    assert found["train"].config["S3DistributionType"] == "ShardedByS3Key"
    assert found["train"].config["RecordWrapperType"] == "RecordIO"


AUGMENTED = ("--s3-data-type", "AugmentedManifestFile")
CONTRADICTIONS = {
    "manifest here": (("--s3-data-type", "ManifestFile"), "expected an s3:// URI with --s3-data-type ManifestFile"),
    "no names": ((*AUGMENTED, "--input-mode", "Pipe"), "expected --attribute-names together with --s3-data-type Aug"),
    "names of nothing": (("--attribute-names", "a,b"), "expected --attribute-names together with --s3-data-type Aug"),
    "not piped": (
        (*AUGMENTED, "--attribute-names", "a"),
        "--s3-data-type AugmentedManifestFile needs --input-mode Pipe",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_are_told_with_the_channel(tmp_path: Path, case: str) -> None:
    arguments, text = CONTRADICTIONS[case]
    with pytest.raises(UserError, match=f"^Channel train: .*{text}"):
        parsed("--channel", f"train={tmp_path}", *arguments)
