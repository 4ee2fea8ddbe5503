"""Open a model that can hold code, and write it as JSON: `python -I unpickling.py IN OUT.json`.

Runs under any Python 3 that has xgboost 1.0 or later, so it imports nothing of this project. Whatever the pickle says
is done: only for files that one trusts.
"""

import pickle
import sys


def main(source: str, target: str) -> None:
    import xgboost

    with open(source, "rb") as file:  # noqa: PTH123 - as old as the models
        pickled = file.read(1) in (b"\x80", b"c")
        file.seek(0)
        found = pickle.load(file) if pickled else xgboost.Booster(model_file=source)  # noqa: S301 - what it is for
    booster = found.get_booster() if hasattr(found, "get_booster") else found
    if not isinstance(booster, xgboost.Booster):
        sys.exit(f"got a {type(found).__name__}, expected a Booster or a model that has one")
    best = getattr(booster, "best_iteration", None) if pickled else None
    if best is not None and booster.attr("best_iteration") is None:
        booster.set_attr(best_iteration=str(best))  # models of old keep it in the object alone
    booster.save_model(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
