"""The command line: help with examples, and one sentence for each wrong argument."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from local.cli import main

COMMANDS = (
    "train",
    "serve",
    "finalise",
    "elbow",
    "describe",
    "algorithms",
    "convert",
    "inspect",
    "report",
    "recommend",
)


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and the one line on standard error."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as end:
        assert isinstance(end.code, int)
        code = end.code
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    return code, captured.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"  onepass {command}" in capsys.readouterr().out.partition("examples:")[2]


def test_help_imports_nothing_slow() -> None:
    code = (
        "import sys\nfrom local.cli import main\n"
        "try: main(['train', '--help'])\nexcept SystemExit: pass\n"
        "print(*sorted({'numpy', 'rich', 'matplotlib', 'pydantic', 'subprocess'} & set(sys.modules)), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr.strip() == ""


WRONG = {
    "no command": ([], "arguments are required: COMMAND"),
    "unknown command": (["tran"], "invalid choice: 'tran' (choose from"),
    "no channel": (["train", "kmeans", "--output", "out"], "arguments are required: --channel"),
    "no output": (["train", "kmeans", "--channel", "train=."], "arguments are required: --output"),
    "channel without path": (["train", "kmeans", "--channel", "train"], "--channel: got 'train', expected NAME=VALUE"),
    "hyperparameter without value": (["train", "kmeans", "-H", "k"], "got 'k', expected NAME=VALUE"),
    "no such mode": (["train", "kmeans", "--input-mode", "pipe"], "(choose from 'File', 'FastFile', 'Pipe')"),
    "seed": (["train", "kmeans", "--shuffle-seed", "train=x"], "--shuffle-seed: invalid int value: 'train=x'"),
    "no bucket": (["serve", "s3:///key"], "got 's3:///key', expected s3://BUCKET/KEY"),
    "checkpoints in storage": (["train", "kmeans", "--checkpoint", "s3://b/c"], "expected a path on this machine"),
    "workers": (["serve", "model", "--workers", "0"], "got '0', expected a whole number above 0"),
    "port": (["serve", "model", "--port", "99999"], "--port: got '99999', expected 0 to 65535"),
    "no user": (["recommend", "model", "--items", "3:9"], "one of the arguments --user --users is required"),
    "odd user": (
        ["recommend", "model", "--user", "a", "--items", "3:9"],
        "got 'a', expected KEY[:VALUE][,KEY[:VALUE]…]",
    ),
    "endless user": (["recommend", "model", "--user", "1:inf", "--items", "3:9"], "got '1:inf', expected KEY"),
    "falling items": (["recommend", "model", "--user", "1", "--items", "9:3"], "got '9:3', expected FIRST:LAST"),
    "nothing to refine": (["finalise", "model", "--output", "out"], "arguments are required: -H"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_get_one_sentence(capsys: pytest.CaptureFixture[str], case: str) -> None:
    arguments, sentence = WRONG[case]
    code, line = told(capsys, *arguments)
    assert code == 2
    assert sentence in line
    assert "--help" in line


REFUSED = {
    "unknown algorithm": (["train", "kmean", "--channel", "train={here}"], "Did you mean 'kmeans'?"),
    "missing path": (
        ["train", "kmeans", "--channel", "train={here}/none"],
        "Channel train: {here}/none does not exist",
    ),
    "channel twice": (["train", "kmeans", "--channel", "a={here}", "--channel", "a=."], "--channel a is given twice"),
    "type of no channel": (
        ["train", "kmeans", "--channel", "train={here}", "--content-type", "tran=text/csv"],
        "got channel 'tran', expected one of train",
    ),
    "no model": (["serve", "{here}/none"], "{here}/none does not exist, expected model.tar.gz or a folder"),
    "foreign model": (["serve", "{here}"], "name it with --algorithm"),
    "model without state": (["elbow", "{here}"], "{here} holds no file state_*"),
    "unknown description": (["describe", "kmeens"], "Did you mean 'kmeans'?"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_done_gets_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path, case: str) -> None:
    arguments, sentence = REFUSED[case]
    filled = [argument.format(here=tmp_path) for argument in arguments]
    output = ["--output", tmp_path / "out"] if filled[0] == "train" else []
    code, line = told(capsys, *filled, *output)
    assert code == 2
    assert line.startswith(f"onepass {filled[0]}: ")
    assert sentence.format(here=tmp_path) in line
    assert not (tmp_path / "out").exists()


def test_an_output_that_can_not_be_written_is_told_before_the_job(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    code, line = told(capsys, "train", "kmeans", "--channel", f"train={tmp_path}", "--output", tmp_path / "file" / "x")
    assert code == 2
    assert f"{tmp_path}/file is not a folder that can be written to" in line


def test_trouble_with_files_gets_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").symlink_to("/proc/self/mem")
    code, line = told(capsys, "elbow", tmp_path)
    assert code == 3
    assert "Input/output error" in line
