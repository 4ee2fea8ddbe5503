from __future__ import annotations

from contextlib import ExitStack

import pytest

from serving.errors import Busy
from serving.places import RESERVED, Places


def test_places_come_back() -> None:
    places = Places(connections=RESERVED + 1, threads=1, timeout_seconds=0.01)
    for place in (places.open, places.large, places.computing) * 2:
        with place, pytest.raises(Busy, match="All places of this server are taken"), place:
            pass


def test_places_come_back_after_an_error() -> None:
    places = Places(connections=RESERVED + 1, threads=1, timeout_seconds=0.01)
    with pytest.raises(ZeroDivisionError), places.computing:
        raise ZeroDivisionError
    with places.computing:
        pass


def test_pings_keep_connections_of_their_own() -> None:
    places = Places(connections=RESERVED + 3, threads=1, timeout_seconds=0.01)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(places.open)
        with pytest.raises(Busy):
            held.enter_context(places.open)
