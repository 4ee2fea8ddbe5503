"""What an image runs: `python -m entrypoint train|serve`; any other first argument is run as a command."""

from __future__ import annotations

import os
import sys

USAGE = """usage: python -m entrypoint [train | serve | COMMAND [ARGUMENT ...]]

  train    learn from /opt/ml/input, write the model to /opt/ml/model (what happens without an argument)
  serve    answer GET /ping and POST /invocations on port 8080 with the model in /opt/ml/model
  COMMAND  run another program of the image

variables
  ALGORITHM                  name of the algorithm; set in the image
  SAGEMAKER_BASE_DIR         instead of /opt/ml
  SAGEMAKER_BIND_TO_PORT     instead of port 8080

example
  ALGORITHM=kmeans SAGEMAKER_BASE_DIR=./ml python -m entrypoint train
"""


def main(arguments: list[str]) -> int:
    command = arguments[0] if arguments else "train"
    if command in ("-h", "--help"):
        print(USAGE)
        return 0
    if command == "train":
        from entrypoint.train import train

        return train()
    if command == "serve":
        # Workers are processes: with threads of BLAS in each, they would be in each other's way.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        from entrypoint.serve import serve

        return serve()
    try:
        os.execvp(command, arguments)  # noqa: S606 - the contract: clients run programs of the image this way
    except (OSError, ValueError) as error:  # ValueError for an empty word
        reason = getattr(error, "strerror", error)
        print(f"{command}: {reason}; expected train, serve or a program of this image", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
