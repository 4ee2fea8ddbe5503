"""Which objects a host gets, and in which order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from local.platform import Channel
from local.storage.objects import Content, objects_at, shard

OBJECTS = [str(number).encode() for number in range(23)]


def channel(*, sharded: bool = False, seed: int | None = None) -> Channel:
    return Channel("train", OBJECTS, mode="Pipe", sharded=sharded, shuffle_seed=seed)


def order(
    sharded: bool = False, seed: int | None = None, number: int = 0, host: int = 0, hosts: int = 1
) -> list[Content]:
    return list(shard(channel(sharded=sharded, seed=seed), number, host, hosts))


@pytest.mark.parametrize("number", [0, 1, 7])
def test_without_a_seed_every_pass_is_alike(number: int) -> None:
    assert order(number=number) == OBJECTS
    assert order(number=number, host=2, hosts=3) == OBJECTS


@pytest.mark.parametrize("seed", [0, 1, -5, 2**63 - 1])
def test_a_seed_gives_each_pass_an_order_of_its_own(seed: int) -> None:
    passes = [order(seed=seed, number=number) for number in range(5)]
    assert all(sorted(each, key=OBJECTS.index) == OBJECTS for each in passes)
    assert len({tuple(each) for each in [OBJECTS, *passes]}) == 6
    assert passes == [order(seed=seed, number=number) for number in range(5)]
    assert passes[0] != order(seed=seed + 1)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("hosts", [1, 2, 3, 40])
def test_shards_share_all_objects_out(seed: int | None, hosts: int) -> None:
    for number in range(3):
        shards = [order(True, seed, number, host, hosts) for host in range(hosts)]
        assert Counter(content for each in shards for content in each) == Counter(OBJECTS)
        assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_only_with_a_seed_shards_change_from_pass_to_pass() -> None:
    fixed, changing = (
        [frozenset(order(True, seed, number, host=1, hosts=2)) for number in range(4)] for seed in (None, 3)
    )
    assert len(set(fixed)) == 1
    assert len(set(changing)) == 4


def test_the_contents_of_an_entry_stay_together() -> None:
    lines = [(b"image", b"label"), (b"image 2", b"label 2")]
    found = list(shard(Channel("train", lines, mode="Pipe", sharded=True), 0, 1, 2))
    assert found == [b"image 2", b"label 2"]


def test_a_folder_gives_the_files_that_the_job_would_read(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "_SUCCESS", ".hidden", "deep/c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / "empty.csv").touch()
    assert objects_at(tmp_path) == [tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "deep" / "c.csv"]
    assert objects_at(tmp_path / "b.csv") == [tmp_path / "b.csv"]
