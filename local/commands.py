"""What each command does with its arguments; errors become one sentence and an exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from local.tables import commands as data
from recordio.errors import AlgorithmError, PlatformError, UserError

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
    from local.channels import channels, once
    from local.platform import Job

    job = Job(
        name=jobs.job_name(given.algorithm),
        hyperparameters=once("-H", given.hyperparameters),
        channels=channels(given),
        checkpoints=given.checkpoint,
    )
    return jobs.train(job, given.algorithm, given.output, hosts=given.hosts, image=given.image, logs=given.logs)


def serve(given: argparse.Namespace) -> int:
    from local import endpoints

    return endpoints.serve(given.model, given.port, algorithm=given.algorithm, image=given.image, workers=given.workers)


def finalise(given: argparse.Namespace) -> int:
    from local import refining
    from local.channels import once

    print(refining.finalise(given.model, once("-H", given.hyperparameters), given.output))
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


def report(given: argparse.Namespace) -> int:
    from local import importances, picturing, reporting

    measured = importances.measured(given.model, given.algorithm)
    if measured is not None:
        if given.output is not None:
            importances.write_page(measured, given.output)
        if given.json:
            print(json.dumps(importances.facts(measured)))
        else:
            importances.show(measured)
        return 0
    found = reporting.selection(given.model)
    if given.output is not None:
        picturing.write_page(found, given.output)
    if given.json:
        print(json.dumps(reporting.facts(found)))
    else:
        reporting.show(found)
    return 0


def recommend(given: argparse.Namespace) -> int:
    from local import recommending

    users = given.user or list(recommending.users_of(given.users))
    found = recommending.recommendations(
        given.model, users, given.items, given.top, seen=given.seen, algorithm=given.algorithm
    )
    if given.json:
        print(json.dumps(recommending.facts(found)))
    else:
        recommending.show(found)
    return 0


def convert_model(given: argparse.Namespace) -> int:
    from local import foreign

    foreign.convert(given.input, given.output, trust=given.trust, algorithm=given.algorithm, python=given.python)
    print(given.output)
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


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "train": train,
    "serve": serve,
    "finalise": finalise,
    "elbow": elbow,
    "report": report,
    "recommend": recommend,
    "describe": describe,
    "algorithms": list_algorithms,
    "convert": data.convert,
    "convert-model": convert_model,
    "inspect": data.inspect,
}
