"""Check mutated inputs without a fuzzer, such as under sanitizers: mutate.py SEED COUNT [DECODER ...]."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import laws
from mutations import MUTATIONS

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).parents[2] / "build/fuzz"
PLAIN_SHARE = 0.4  # of mutations, which know nothing of a format


def changed(part: bytes, random: Random) -> bytes:
    """Some bytes set, flipped, put in or taken out."""
    data = bytearray(part)
    for _ in range(random.randint(1, 3)):
        place, choice = random.randrange(len(data) + 1), random.randrange(4)
        if choice == 0:
            data[place:place] = random.randbytes(random.randint(1, 4))
        elif choice == 1:
            del data[place : place + random.randint(1, 4)]
        elif place < len(data):
            data[place] = (
                data[place] ^ 1 << random.randrange(8) if choice == 2 else random.choice((0, 1, 127, 128, 255))
            )
    return bytes(data)


def main() -> None:
    seed, count, *names = sys.argv[1:]
    random = Random(int(seed))
    for name in names or laws.DECODERS:
        folders = [folder for folder in (CORPUS / name, FOUND / name) if folder.is_dir()]
        inputs = [path.read_bytes() for folder in folders for path in sorted(folder.iterdir())]
        for data in inputs:
            laws.check(name, data)
        for _ in range(int(count)):
            data = random.choice(inputs)
            head, body = data[: laws.OPTION_BYTES], data[laws.OPTION_BYTES :]
            if random.random() < PLAIN_SHARE or name not in MUTATIONS:
                head, body = changed(head, random), changed(body, random)
            else:
                body = MUTATIONS[name](body, lambda part: changed(part, random), random)
            try:
                laws.check(name, head + body)
            except Exception:
                print(f"{name}: {(head + body).hex()}")
                raise
        print(f"{name}: {len(inputs)} inputs, {count} mutations of them")


if __name__ == "__main__":
    main()
