"""Choose what is committed: corpus.py adds, for each kind of outcome, the smallest input that was found.

A kind is the text of an error without its numbers and names, or what batches are like.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import laws

FOUND = Path(__file__).parents[2] / "build/fuzz"
CORPUS = Path(__file__).parent / "corpus"
MOST_BYTES = 12_000  # of one decoder


def kind(outcome: Any) -> str:
    if isinstance(outcome, str):
        return re.sub(r"'.*'|\".*\"|\[.*\]|[-+.\d]+", "", outcome)[:60]
    return str([re.sub(r"[-+.e\d]+", "0", repr(part))[:40] for part in outcome[:1]]) + str(len(outcome) > 1)


def main() -> None:
    for name in laws.DECODERS:
        paths = [path for folder in (CORPUS / name, FOUND / name) if folder.is_dir() for path in folder.iterdir()]
        inputs = {path.name: path.read_bytes() for path in paths}
        chosen: dict[str, str] = {}
        for file in sorted(inputs, key=lambda file: len(inputs[file])):
            chosen.setdefault(kind(laws.check(name, inputs[file])), file)
        total = 0
        for file in chosen.values():
            total += len(inputs[file])
            if total <= MOST_BYTES:
                (CORPUS / name / file).write_bytes(inputs[file])
        print(f"{name}: {len(chosen)} kinds of outcome, {total} bytes")


if __name__ == "__main__":
    main()
