"""The global generators: what is drawn follows from the seed, and nobody else notices."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
import torch

from tsfcn.common import global_random

Drawn = tuple[float, float, float]


def draw() -> Drawn:
    """Return a number of each generator."""
    return random.random(), float(np.random.random()), float(torch.rand(()))


def states() -> tuple[object, ...]:
    return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_what_is_drawn_follows_from_the_seed_and_leaves_the_generators_alone(seed: int) -> None:
    before = states()
    with global_random.seeded(seed):
        first = [draw(), draw()]
    assert states() == before
    draw()
    with global_random.seeded(seed, torch.device("cpu")):
        assert [draw(), draw()] == first
    with global_random.seeded(seed // 2 + 7):
        assert not set(draw()) & set(first[0])


def test_the_generators_are_put_back_after_an_error() -> None:
    before = states()
    with pytest.raises(KeyError), global_random.seeded(1):
        {draw(): 0}["x"]  # type: ignore[index]
    assert states() == before


def test_threads_take_turns() -> None:
    results: dict[int, list[Drawn]] = {}

    def work(seed: int) -> None:
        with global_random.seeded(seed):
            results[seed] = [draw() for _ in range(2000)]

    work(0)
    work(1)
    alone = dict(results)
    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == alone


def test_seeds_follow_from_a_generator() -> None:
    def seeds(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return [global_random.draw_seed(generator) for _ in range(3)]

    assert seeds(0) == seeds(0) and len({*seeds(0), *seeds(1)}) == 6
