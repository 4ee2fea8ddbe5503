"""What each command does with its arguments; errors become one sentence and an exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recordio.errors import AlgorithmError, PlatformError, UserError

if TYPE_CHECKING:
    from local.platform import Channel

EXIT_CODES: dict[type[Exception], int] = {AlgorithmError: 1, UserError: 2, PlatformError: 3}


def run(given: argparse.Namespace) -> int:
    """Run the command that was parsed; returns the exit code."""
    try:
        return COMMANDS[given.command](given)
    except tuple(EXIT_CODES) as error:
        print(f"onepass {given.command}: {error}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except OSError as error:  # a full disk, a folder of someone else
        print(f"onepass {given.command}: {error.filename or 'input or output'}: {error.strerror}", file=sys.stderr)
        return EXIT_CODES[PlatformError]
    except KeyboardInterrupt:
        return 130  # as a shell gives it


def train(given: argparse.Namespace) -> int:
    from local import jobs
    from local.platform import Job

    job = Job(
        name=jobs.job_name(given.algorithm),
        hyperparameters=_once("-H", given.hyperparameters),
        channels=_channels(given),
        checkpoints=given.checkpoint,
    )
    return jobs.train(job, given.algorithm, given.output, image=given.image, logs=given.logs)


def serve(given: argparse.Namespace) -> int:
    from local import endpoints

    return endpoints.serve(given.model, given.port, algorithm=given.algorithm, image=given.image, workers=given.workers)


def finalise(given: argparse.Namespace) -> int:
    from local import refining

    print(refining.finalise(given.model, _once("-H", given.hyperparameters), given.output))
    return 0


def elbow(given: argparse.Namespace) -> int:
    from local import refining

    curve = refining.elbow(given.model, given.largest)
    if given.json:
        print(json.dumps([{curve.hyperparameter: value, curve.metric: metric} for value, metric in curve.points]))
    else:
        print(refining.table(curve))
    if given.output is not None:
        refining.picture(curve, given.output)
    return 0


def describe(given: argparse.Namespace) -> int:
    from algorithms import algorithm, description

    declared = algorithm(given.algorithm)
    if given.format == "json":
        print(json.dumps(description.create_algorithm(declared, given.image or f"{declared.name}:1"), indent=2))
    else:
        print(description.markdown(declared), end="")
    return 0


def list_algorithms(_: argparse.Namespace) -> int:
    from algorithms import TABLE, algorithm

    for name in sorted(TABLE):
        print(f"{name:<24}{algorithm(name).title}")
    return 0


def _channels(given: argparse.Namespace) -> tuple[Channel, ...]:
    from local.platform import Channel

    paths = _once("--channel", given.channels)
    types = _content_types(given.content_types, list(paths))
    channels = [
        Channel(
            name, Path(path), types.get(name) or _by_name(Path(path)), given.input_mode, given.compression == "Gzip"
        )
        for name, path in paths.items()
    ]
    if given.model is not None:
        channels.append(Channel("model", given.model, "application/x-sagemaker-model"))
    return tuple(channels)


def _content_types(texts: Sequence[str], channels: Sequence[str]) -> dict[str, str]:
    """TYPE is for every channel, NAME=TYPE for one. The equals sign of a type's parameter stands behind a slash."""
    common, own = {}, {}
    for text in texts:
        name, equals, content_type = text.partition("=")
        if not equals or "/" in name:
            common = dict.fromkeys(channels, text)
        elif name in channels:
            own[name] = content_type
        else:
            raise UserError(f"--content-type {text}: got channel '{name}', expected one of {', '.join(channels)}")
    return common | own


def _by_name(path: Path) -> str | None:
    """CSV, where all files are called so; what else there is the job takes for its default."""
    from entrypoint.channels import data_files

    files = data_files(path) if path.exists() else []
    return "text/csv" if files and all(file.name.endswith((".csv", ".csv.gz")) for file in files) else None


def _once(option: str, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{option} {twice[0]} is given twice: leave one out")
    return dict(pairs)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "train": train,
    "serve": serve,
    "finalise": finalise,
    "elbow": elbow,
    "describe": describe,
    "algorithms": list_algorithms,
}
