"""s3:// URIs, and what they need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from local.storage.service import Uri
from recordio.errors import UserError


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("s3://b/k", "b", "k"),
        ("s3://b/deep/k.csv", "b", "deep/k.csv"),
        ("s3://b", "b", ""),
        ("s3://b/", "b", ""),
        ("s3://b//k", "b", "/k"),
        ("s3://b/a?b#c%20 d", "b", "a?b#c%20 d"),
    ],
)
def test_a_uri_is_a_bucket_and_a_key(text: str, bucket: str, key: str) -> None:
    assert Uri.parse(text) == Uri(bucket, key)
    assert Uri.parse(str(Uri.parse(text))) == Uri(bucket, key)


@pytest.mark.parametrize("text", ["", "s3://", "s3:///k", "b/k", "http://b/k", "s3:/b/k"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected s3://BUCKET/KEY"):
        Uri.parse(text)


def test_control_characters_are_not_printed() -> None:
    assert str(Uri("b", "a\x1b[31m\nb")) == r"s3://b/a\x1b[31m\nb"


@pytest.mark.parametrize(("key", "below"), [("", "x"), ("a", "a/x"), ("a/", "a/x")])
def test_a_name_below_a_prefix(key: str, below: str) -> None:
    assert Uri("b", key).below("x") == Uri("b", below)


def test_without_boto3_we_say_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['boto3'] = None\n"
        "from local.cli import main\n"
        "sys.exit(main(['train', 'kmeans', '--channel', 'train=s3://b/k', '--output', 'out']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == (
        "onepass train: Channel train: s3:// URIs need boto3: install it with pip install 'onepass[local]'\n"
    )


def test_nothing_of_storage_is_imported_for_local_paths() -> None:
    code = (
        "import sys\nfrom local.cli import main\n"
        "main(['train', 'kmeans', '--channel', 'train=.', '--output', sys.executable + '/no folder'])\n"
        "print(*sorted({'boto3', 'botocore', 'urllib3'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
