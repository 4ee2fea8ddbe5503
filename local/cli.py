"""The command `onepass`: its arguments, examples and help. Imports little, so that help is quick."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from local.tables import commands as data

if TYPE_CHECKING:
    from local.storage.service import Place

Value = TypeVar("Value")

MODES = ("File", "FastFile", "Pipe")
DATA_TYPES = ("S3Prefix", "ManifestFile", "AugmentedManifestFile")
DISTRIBUTIONS = ("FullyReplicated", "ShardedByS3Key")
WRONG_ARGUMENTS = 2

TRAIN_EXAMPLES = """examples:
  onepass train kmeans --channel train=points.csv -H k=10 -H feature_dim=64 --output model/
  onepass train kmeans --channel train=records/ --channel test=held-out/ --input-mode Pipe \\
      -H k=10 -H feature_dim=784 --output model/
  onepass train xgboost --channel train=train.csv --channel validation=held-out.csv -H num_round=100 \\
      -H objective=binary:logistic --output model/
  onepass train kmeans --channel train=s3://bucket/records/ --input-mode Pipe -H k=10 -H feature_dim=784 \\
      --output s3://bucket/models
  onepass train kmeans --image registry/kmeans:1 --channel train=records/ -H k=10 -H feature_dim=64 --output model/

Hyperparameters go to the job as they are; the job checks them all before it reads any data.
Ctrl-C asks the job to stop and keeps the model of what it has seen; a second Ctrl-C ends it."""

SERVE_EXAMPLES = """examples:
  onepass serve model/model.tar.gz
  onepass serve model/ --port 9000 --workers 2
  onepass serve model/model.tar.gz --image registry/kmeans:1"""

FINALISE_EXAMPLES = """examples:
  onepass finalise model/model.tar.gz -H k=50 --output model-50/"""

ELBOW_EXAMPLES = """examples:
  onepass elbow model/model.tar.gz
  onepass elbow model/model.tar.gz --largest 50 --output elbow.png
  onepass elbow model/model.tar.gz --json"""

REPORT_EXAMPLES = """examples:
  onepass report model/model.tar.gz
  onepass report model/model.tar.gz --output report.html
  onepass report model/model.tar.gz --json
  onepass report elsewhere/model.tar.gz --algorithm xgboost"""

RECOMMEND_EXAMPLES = """examples:
  onepass recommend model/model.tar.gz --user 17 --items 943:2624
  onepass recommend model/model.tar.gz --user 17,2630,2641:0.5 --user 18 --items 943:2624 --top 20 --json
  onepass recommend model/ --users users.txt --items 943:2624 --seen train.pbr

A user is a set of the model's features, each a KEY of value 1 or KEY:VALUE; in a file, one user on each line. Items are
the features from FIRST to LAST, both included."""

CONVERT_MODEL_EXAMPLES = """examples:
  onepass convert-model --trust xgboost-model converted/xgboost-model
  onepass convert-model --trust model.tar.gz converted/model.tar.gz
  onepass convert-model --trust --python old/bin/python xgboost-model converted/xgboost-model

A pickle can run any code when it is opened, with all your rights: --trust says that you know who made it."""

DESCRIBE_EXAMPLES = """examples:
  onepass describe kmeans
  onepass describe kmeans --format json --image registry/kmeans:1"""


ALGORITHMS_EXAMPLES = """examples:
  onepass algorithms"""


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    from local import commands

    return commands.run(given)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"got '{text}', expected NAME=VALUE")
    return name, value


def _place(text: str) -> Place:
    if not text.startswith("s3://"):
        return Path(text)
    from local.storage.service import Uri
    from recordio.errors import UserError

    try:
        return Uri.parse(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _path(text: str) -> Path:
    if text.startswith("s3://"):
        raise argparse.ArgumentTypeError(f"got '{text}', expected a path on this machine")
    return Path(text)


def _channel(text: str) -> tuple[str, Place]:
    name, place = _pair(text)
    return name, _place(place)


def _of_channel(check: Callable[[str], Value]) -> Callable[[str], tuple[str | None, Value]]:
    """[NAME=]VALUE as (name or None, value). The equals sign of a content type's parameter stands behind a slash."""

    def parsed(text: str) -> tuple[str | None, Value]:
        name, equals, value = text.partition("=")
        return (name, check(value)) if equals and "/" not in name else (None, check(text))

    parsed.__name__ = check.__name__  # in argparse's own messages
    return parsed


def _choice(*choices: str) -> Callable[[str], str]:
    def chosen(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"invalid choice: '{text}' (choose from {', '.join(map(repr, choices))})")
        return text

    return chosen


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"got '{text}', expected a whole number above 0")
    return int(text)


def _range(text: str) -> range:
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"got '{text}', expected FIRST:LAST, numbers of features that rise")
    return range(int(first), int(last) + 1)


def _user(text: str) -> object:
    from local.recommending import User

    try:
        return User.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"got '{text}', expected 0 to 65535")
    return int(text)


class _Parser(argparse.ArgumentParser):
    """Faults in one sentence, without the usage lines that would push it out of sight."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_ARGUMENTS, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="onepass",
        description="Train and serve on this machine what otherwise runs in containers: plays the platform's side.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str, examples: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    _train_arguments(command("train", "run a training job and pack its model.tar.gz", TRAIN_EXAMPLES))
    _serve_arguments(command("serve", "answer requests with a model, until stopped", SERVE_EXAMPLES))

    added = command("finalise", "make another model from one pass, with no data read", FINALISE_EXAMPLES)
    _model_argument(added)
    _hyperparameter_argument(added, required=True)
    added.add_argument("--output", metavar="DIR", type=_path, required=True, help="folder for model.tar.gz")

    added = command("elbow", "show how the metric falls with the number of parts", ELBOW_EXAMPLES)
    _model_argument(added)
    added.add_argument("--largest", metavar="N", type=_positive, help="last value (default: twice the trained one)")
    added.add_argument("--output", metavar="FILE", type=_path, help="draw the curve, too; the ending says the format")
    added.add_argument("--json", action="store_true", help="print JSON instead of a table")

    added = command("report", "show the candidates of a model, or the features that matter to it", REPORT_EXAMPLES)
    _model_argument(added)
    added.add_argument("--algorithm", help="where the model does not say which it is of")
    added.add_argument("--output", metavar="FILE.html", type=_path, help="write a page with plots, too")
    added.add_argument("--json", action="store_true", help="print JSON instead of a table")

    _recommend_arguments(command("recommend", "rank items for users by their scores", RECOMMEND_EXAMPLES))

    added = command("describe", "show an algorithm's hyperparameters", DESCRIBE_EXAMPLES)
    added.add_argument("algorithm", metavar="ALGORITHM", help="a name of `onepass algorithms`")
    added.add_argument("--format", choices=("markdown", "json"), default="markdown", help="json is for CreateAlgorithm")
    added.add_argument("--image", help="image named in the JSON (default: ALGORITHM:1)")

    command("algorithms", "list the algorithms", ALGORITHMS_EXAMPLES)

    data.convert_arguments(command("convert", "change the format of records", data.CONVERT_EXAMPLES))
    _convert_model_arguments(
        command("convert-model", "write a model that holds code in a form that can't", CONVERT_MODEL_EXAMPLES)
    )
    data.inspect_arguments(command("inspect", "tell what a file of records holds", data.INSPECT_EXAMPLES))
    return parser


def _train_arguments(added: argparse.ArgumentParser) -> None:
    added.add_argument("algorithm", metavar="ALGORITHM", help="a name of `onepass algorithms`; any with --image")
    _channel_arguments(added)
    _hyperparameter_argument(added)
    place = "folder or s3:// URI for model.tar.gz"
    added.add_argument("--output", metavar="PLACE", type=_place, required=True, help=place)
    added.add_argument("--hosts", metavar="N", type=_positive, default=1, help="hosts, side by side (default: 1)")
    added.add_argument("--image", help="run this image with Docker, ours or any that speaks the contract")
    added.add_argument("--model", metavar="PLACE", type=_place, help="model.tar.gz of an earlier job, to go on from")
    added.add_argument("--checkpoint", metavar="DIR", type=_path, help="folder to resume from when a job was cut off")
    added.add_argument("--logs", action="store_true", help="print the job's log lines in a terminal, too")


def _channel_arguments(added: argparse.ArgumentParser) -> None:
    group = added.add_argument_group(
        "channels", "[NAME=] says of which one; else it is of all. Each may be given again."
    )
    group.add_argument(
        "--channel",
        metavar="NAME=PLACE",
        dest="channels",
        type=_channel,
        action="append",
        required=True,
        help="a file, a folder or an s3:// URI",
    )

    def option(name: str, metavar: str, check: Callable[[str], object], text: str) -> None:
        dest = name.removeprefix("--").replace("-", "_")
        metavar = f"[NAME=]{metavar}"
        group.add_argument(
            name, metavar=metavar, dest=dest, type=_of_channel(check), action="append", default=[], help=text
        )

    option("--content-type", "TYPE", str, "default: text/csv for *.csv, else the algorithm's")
    option("--input-mode", "MODE", _choice(*MODES), "how it reaches the job: File (default), FastFile, Pipe")
    option("--compression", "HOW", _choice("None", "Gzip"), "Gzip is undone on the way into a pipe")
    option("--record-wrapper", "HOW", _choice("None", "RecordIO"), "RecordIO: in a pipe each object is a record")
    option("--distribution", "HOW", _choice(*DISTRIBUTIONS), f"what each host gets: {' or '.join(DISTRIBUTIONS)}")
    option("--shuffle-seed", "N", int, "shuffle the objects of each pass through a pipe")
    option("--s3-data-type", "TYPE", _choice(*DATA_TYPES), f"what the URI names: {', '.join(DATA_TYPES)}")
    option("--attribute-names", "A,B", _names, "what to send of an augmented manifest, in this order")


def _serve_arguments(added: argparse.ArgumentParser) -> None:
    _model_argument(added)
    added.add_argument("--port", metavar="N", type=_port, default=8080, help="0 takes a free one (default: 8080)")
    added.add_argument("--algorithm", help="where the model does not say which it is of")
    added.add_argument("--image", help="serve with this image in Docker")
    added.add_argument("--workers", metavar="N", type=_positive, help="processes (default: one for each core)")


def _recommend_arguments(added: argparse.ArgumentParser) -> None:
    _model_argument(added)
    keys = "KEY[:VALUE][,KEY[:VALUE]…]"
    given = added.add_mutually_exclusive_group(required=True)
    given.add_argument("--user", metavar=keys, dest="user", type=_user, action="append", help="may be given again")
    given.add_argument("--users", metavar="FILE", type=_path, help="users, one on each line")
    added.add_argument("--items", metavar="FIRST:LAST", type=_range, required=True, help="features that are items")
    added.add_argument("--top", metavar="N", type=_positive, default=10, help="items for each user (default: 10)")
    seen = "records, as a file or folder: items in one with all of a user's features are left out for that user"
    added.add_argument("--seen", metavar="IN", help=seen)
    added.add_argument("--algorithm", help="where the model does not say which it is of")
    added.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _convert_model_arguments(added: argparse.ArgumentParser) -> None:
    added.add_argument("input", metavar="IN", type=_path, help="a model file, or model.tar.gz")
    added.add_argument("output", metavar="OUT", type=_path, help="where the same is written")
    added.add_argument("--trust", action="store_true", help="open it, whatever code it may hold")
    added.add_argument("--algorithm", help="whose model it is, where several algorithms have such models")
    added.add_argument(
        "--python", metavar="FILE", type=_path, help="a Python that opens it, with the library of its time"
    )


def _model_argument(added: argparse.ArgumentParser) -> None:
    text = "model.tar.gz, here or at an s3:// URI, or a folder with it or with its files"
    added.add_argument("model", metavar="MODEL", type=_place, help=text)


def _hyperparameter_argument(added: argparse.ArgumentParser, *, required: bool = False) -> None:
    added.add_argument(
        "-H",
        "--hyperparameter",
        metavar="NAME=VALUE",
        dest="hyperparameters",
        type=_pair,
        action="append",
        default=[],
        required=required,
        help="may be given again",
    )


if __name__ == "__main__":
    sys.exit(main())
