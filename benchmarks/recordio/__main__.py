"""Record I/O: rates of decoding and writing, ours and the peers' in turn, with the aims.

    python -m benchmarks.recordio [decode|files|text|arrays|write|requests|latency|pipe|all] [--rounds 5]

Rates are medians over the rounds in which other processes used little of the CPU; ratios are taken within a round.
What is printed are rows of Markdown tables for docs/performance.md.
"""

from __future__ import annotations

import argparse
from importlib import import_module

MODULES = ("decode", "files", "text", "arrays", "write", "requests", "latency", "pipe")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="all", choices=[*MODULES, "all"])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for name in MODULES if given.part == "all" else [given.part]:
        import_module(f"benchmarks.recordio.{name}").run(given.rounds)


if __name__ == "__main__":
    main()
