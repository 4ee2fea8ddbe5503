"""What an algorithm is: declared once here, used by training, serving, the command line, the docs and the tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from algorithms.answers import Answers
from algorithms.foreign import Foreign
from algorithms.hyperparameters import Hyperparameters
from algorithms.importances import Importances
from recordio.batch import Batch
from recordio.errors import UserError

Arrays = dict[str, NDArray[Any]]


class Model(Protocol):
    """What was learned. Frozen: any number of threads may predict at once."""

    @property
    def feature_dim(self) -> int: ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """What training itself measured, by metric name."""
        ...

    def predict(self, batch: Batch) -> Arrays:
        """Reply columns by name, each of shape (records,) or (records, n); the same for any batching of the records."""
        ...

    def save(self, directory: Path, host: str) -> None:
        """Write the public artifact. Names end in the host's name, so that archives of several hosts don't clash."""
        ...


class Evaluation(Protocol):
    """Scores of a model on held-out records, summed batch by batch."""

    def update(self, batch: Batch) -> None: ...

    def merge(self, other: Self) -> None: ...

    def finalise(self) -> dict[str, float]:
        """Score by metric name. Empty evaluations give nan."""
        ...


class State(Protocol):
    """Sums and sketches of all records seen, of a size that the hyperparameters fix. Empty states are valid."""

    def update(self, batch: Batch) -> None:
        """Add records; keep no reference to them."""
        ...

    def merge(self, other: Self) -> None:
        """Add what another worker has seen."""
        ...

    def finalise(self) -> Model:
        """Read the state, change nothing."""
        ...

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        """Everything that `Algorithm.restore` needs to go on exactly: arrays, and values that JSON can hold.

        Arrays may be those of the state itself, which the next update changes.
        """
        ...


class Pool(Protocol):
    """Hosts that learn one model in step. All call the same methods in the same order, and get the same answers."""

    @property
    def hosts(self) -> int: ...

    @property
    def rank(self) -> int:
        """Which of the hosts this is, from 0."""
        ...

    @property
    def address(self) -> str:
        """Where all hosts reach the one of rank 0."""
        ...

    def sums(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Sums over the hosts, of arrays of the same shapes on all."""
        ...

    def gathered(self, arrays: Arrays, values: Mapping[str, Any]) -> list[tuple[Arrays, dict[str, Any]]]:
        """What each host gave, in order of rank; values are such that JSON can hold them."""
        ...

    def exchanged(self, parts: Sequence[NDArray[Any]], lengths: Sequence[int] | None = None) -> Sequence[NDArray[Any]]:
        """What each host gave to this one, in order of rank.

        parts     for each host, of one type on all hosts, and of shapes that differ in the first axis only
        lengths   of what comes from each, where that is known already: that spares a message
        """
        ...


class Alone:
    """The pool of one host."""

    hosts = 1
    rank = 0
    address = "127.0.0.1"

    def sums(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return arrays

    def gathered(self, arrays: Arrays, values: Mapping[str, Any]) -> list[tuple[Arrays, dict[str, Any]]]:
        return [(arrays, dict(values))]

    def exchanged(
        self,
        parts: Sequence[NDArray[Any]],
        lengths: Sequence[int] | None = None,  # noqa: ARG002 - it is that of the part
    ) -> Sequence[NDArray[Any]]:
        return parts


@dataclass(frozen=True)
class Pass:
    """What a gradient state makes of a pass over the train channel.

    qualities   channel, metric as printed, and value, for the lines of this epoch
    candidates  for each model that is trained side by side, values by name
    watched     name and value that early stopping looks at
    improved    whether that is the best so far
    """

    qualities: tuple[tuple[str, str, float], ...]
    candidates: tuple[Mapping[str, float], ...] = ()
    watched: tuple[str, float] | None = None
    improved: bool = True


@runtime_checkable
class GradientState(State, Protocol):
    """A state that takes several passes, and looks at held-out records after each.

    pool   with whom it learns, where the algorithm is declared `pooled`. Each host then calls `update`, `held_out` and
           `end_pass` as often as the others, with empty batches where it has no records left. A state that is `sharded`
           keeps its part of a whole model, once it gets a pool
    """

    pool: Pool

    @property
    def done(self) -> bool:
        """Whether further passes are not worth their while."""
        ...

    def held_out(self) -> Evaluation:
        """An empty evaluation of what was learned so far, for the validation channel."""
        ...

    def end_pass(self, validation: Evaluation | None) -> Pass: ...

    def renew(self) -> None:
        """Begin another job with what was learned: its passes are counted, compared and stopped anew."""
        ...


@dataclass(frozen=True)
class Round:
    """What a guest learned in one round.

    number   rounds learned so far, those before interruptions included
    line     how it does, in the form that users of the engine know
    part     of the work that is done
    """

    number: int
    line: str
    part: float


@runtime_checkable
class Guest(State, Protocol):
    """A state of an engine that wants all records at hand, and learns them in rounds.

    `update` keeps the records of the train channel, outside memory; a restored state is given them again. `snapshot`
    holds what was learned, and no records. `finalise` is of the rounds so far.

    pool   with whom it learns. Each host calls `rounds` and `reports`, also without records, and goes on as long as
           the others
    """

    pool: Pool

    def hold_out(self, batch: Batch) -> None:
        """Keep records of the validation channel."""
        ...

    def rounds(self) -> Generator[Round]:
        """Learn, one round at a time, from where the state stands."""
        ...

    def reports(self) -> Mapping[str, bytes]:
        """Files for the output folder, by name."""
        ...


@runtime_checkable
class Agreeing(Protocol):
    """A state that hosts in step learn in parts, each ahead of the others in some rows, though all have the whole."""

    def agree(self) -> None:
        """Have what the others have learned: all hosts call it before they save, and when a pass is over."""
        ...


@runtime_checkable
class Publishing(Protocol):
    """A state that tells on the way how a pass goes, every `batch_metrics_publish_interval` batches."""

    def progress(self) -> Mapping[str, float]:
        """Training metrics of the pass so far, by the names that are printed."""
        ...


@dataclass(frozen=True)
class Metric:
    """A score that training prints and tuning jobs read.

    mark        `loss` is better when smaller, `score` when larger, unless it is `falling`
    printed     regular expression of the name in log lines, where that is another
    every_pass  channels of which tuning jobs read each epoch's value rather than the last
    line        regular expression of a log line in another form, the value as its one group and {channel} in it
    """

    name: str
    mark: Literal["loss", "score"]
    definition: str
    channels: tuple[str, ...] = ("train", "test")
    printed: str = ""
    every_pass: tuple[str, ...] = ()
    falling: bool = False
    line: str = ""

    @property
    def smaller(self) -> bool:
        """Whether it is better when smaller."""
        return self.mark == "loss" or self.falling

    def regex(self, channel: str) -> str:
        """Finds the value in a log line, as its one group."""
        if self.line:
            return self.line.replace("{channel}", channel)
        when = r"epoch=\S+, " if channel in self.every_pass else ""
        return rf"#quality_metric: host=\S+, {when}{channel} {self.printed or self.name} <{self.mark}>=(\S+)"


@dataclass(frozen=True)
class Channel:
    name: str
    description: str
    required: bool = False


@dataclass(frozen=True)
class Algorithm:
    """One algorithm, joined from its parts.

    name            as in image names: `kmeans`
    dimension       `Algorithm` in the Dimensions of #metrics lines: `AWS/KMeansWebscale`
    label_size      leading CSV columns that are labels when the content type does not say
    sparse          whether states and models take sparse batches; otherwise they are made dense
    missing         whether records may hold nan
    labelled        whether training needs labels: of CSV, `label_size` columns and no other number
    weighted        whether CSV has a column of weights after the labels, by the hyperparameters
    create          an empty state
    restore         a state from its snapshot; hyperparameters may differ where they are declared `refinable`
    load            a model from the folder of an artifact, also one made elsewhere; Raises UserError
    carried         what a job that continues an earlier model goes on with, in words
    alone           likewise, of a model without its state; or why that is not enough, where there is no `adopt`
    adopt           a state that goes on from a model alone, as of an artifact made elsewhere
    evaluate        an empty evaluation of a model, for the test channel where there is one
    artifact        pattern of the names that `Model.save` gives to models
    envelope        the key of the list in a JSON reply
    pooled          whether hosts learn one model in step, by the pool of their states; they learn apart otherwise
    once            whether a record must not count twice: a first pass that begins anew on other hosts forgets itself
    sharded         whether each host in step then keeps a part of the model, not all of it; `merge` puts them together
    lasting         the hyperparameter that says how long to learn: a checkpoint may go on for longer
    stateless       whether the model is all that was learned: no state lies beside it, and `adopt` goes on from it
    load_factor     bytes of memory that a byte of an artifact may take while it is loaded
    content_type    of channels and requests that name none
    curve           a refinable hyperparameter and the training metric to draw against it
    recommend       scores (users, features) of a model for users that get one feature more, of value 1
    foreign         files that only a library of their maker can open, and how they become models of ours
    importances     how much each feature matters to a model
    answers         what a server with these variables replies; Raises UserError for variables that ask for what isn't
    """

    name: str
    title: str
    description: str
    dimension: str
    hyperparameters: type[Hyperparameters]
    channels: tuple[Channel, ...]
    content_types: tuple[str, ...]
    metrics: tuple[Metric, ...]
    create: Callable[[Any, np.random.Generator], State]
    restore: Callable[[Any, Arrays, dict[str, Any]], State]
    load: Callable[[Path], Model]
    carried: str
    alone: str
    evaluate: Callable[[Any, Any], Evaluation] | None = None
    artifact: str = "model_*"
    adopt: Callable[[Any, Any], State] | None = None
    label_size: int = 0
    sparse: bool = False
    missing: bool = False
    labelled: bool = False
    weighted: Callable[[Any], bool] | None = None
    envelope: str = "predictions"
    request_types: tuple[str, ...] = (
        "application/json",
        "application/jsonlines",
        "text/csv",
        "application/x-recordio-protobuf",
    )
    reply_types: tuple[str, ...] = (
        "application/json",
        "application/jsonlines",
        "text/csv",
        "application/x-recordio-protobuf",
    )
    curve: tuple[str, str] | None = None
    recommend: Callable[[Any, Batch, NDArray[np.int64]], NDArray[np.float32]] | None = None
    gpu: bool = False
    pooled: bool = False
    once: bool = False
    sharded: bool = False
    lasting: str = "epochs"
    stateless: bool = False
    load_factor: int = 2  # the file and its arrays
    content_type: str = "application/x-recordio-protobuf"
    foreign: Foreign | None = None
    importances: Callable[[Any], Importances] | None = None
    answers: Callable[[Mapping[str, str]], Answers] = lambda _: Answers()

    def restored(self, settings: Hyperparameters, arrays: Arrays, values: Mapping[str, Any]) -> State:
        """A state from a file. Raises UserError, also for the layout of another version of the algorithm."""
        try:
            return self.restore(settings, arrays, dict(values))
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(
                f"The state of {self.name} is laid out in another way than this version writes it "
                f"({type(error).__name__}: {error}): go on with the version that wrote it, or train anew"
            ) from error

    def metric(self, printed: str) -> Metric | None:
        """The metric that is printed under this name."""
        return next((each for each in self.metrics if re.fullmatch(each.printed or each.name, printed)), None)
