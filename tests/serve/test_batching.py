"""Batches grow with what waits, hold one kind, keep their order, and fail one by one."""

import asyncio
import threading

import pytest

from roots_kg.errors import UsageError
from roots_kg.serve.batching import Batcher, Busy


class Model:
    """Answers with twice the number, and remembers in which batches; waits while it is held."""

    def __init__(self):
        self.batches, self.free = [], threading.Event()
        self.free.set()

    def __call__(self, kind, items):
        self.free.wait(10)
        self.batches.append((kind, list(items)))
        if -1 in items:
            raise UsageError("-1 is no text")
        return [2 * item for item in items]


def run(scenario, model, max_batch=4, max_waiting=100):
    async def with_batcher():
        batcher = Batcher(model, max_batch, max_waiting)
        batcher.start()
        try:
            return await scenario(batcher)
        finally:
            model.free.set()
            await batcher.close()

    return asyncio.run(with_batcher())


async def held(batcher, model):
    """Make the model busy with one item, so that others wait."""
    model.free.clear()
    first = asyncio.ensure_future(batcher.ask("a", [0]))
    await asyncio.sleep(0.05)
    return first


def test_what_comes_while_the_model_works_is_answered_together_in_its_order():
    model = Model()

    async def scenario(batcher):
        first = await held(batcher, model)
        others = [asyncio.ensure_future(batcher.ask("a", [number])) for number in range(1, 7)]
        await asyncio.sleep(0.05)
        model.free.set()
        return await asyncio.gather(first, *others)

    assert run(scenario, model) == [[2 * number] for number in range(7)]
    assert model.batches == [("a", [0]), ("a", [1, 2, 3, 4]), ("a", [5, 6])]


def test_a_batch_holds_one_kind_and_the_one_that_waited_longest_goes_first():
    model = Model()

    async def scenario(batcher):
        first = await held(batcher, model)
        asked = [("a", 1), ("b", 2), ("a", 3), ("b", 4)]
        others = [asyncio.ensure_future(batcher.ask(kind, [number])) for kind, number in asked]
        await asyncio.sleep(0.05)
        model.free.set()
        return await asyncio.gather(first, *others)

    assert run(scenario, model) == [[0], [2], [4], [6], [8]]
    assert model.batches[1:] == [("a", [1, 3]), ("b", [2, 4])]


def test_one_that_fails_fails_alone():
    model = Model()

    async def scenario(batcher):
        first = await held(batcher, model)
        others = [asyncio.ensure_future(batcher.ask("a", [number])) for number in (1, -1, 2)]
        await asyncio.sleep(0.05)
        model.free.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    _, one, failed, two = run(scenario, model)
    assert (one, two) == ([2], [4])
    assert isinstance(failed, UsageError)


def test_too_much_is_refused_and_what_was_given_up_is_not_answered():
    model = Model()

    async def scenario(batcher):
        first = await held(batcher, model)
        given_up = asyncio.ensure_future(batcher.ask("a", [1, 2]))
        await asyncio.sleep(0.05)
        with pytest.raises(Busy, match="2 texts wait already"):
            await batcher.ask("a", [3, 4])
        given_up.cancel()
        await asyncio.sleep(0.05)
        model.free.set()
        await first

    run(scenario, model, max_waiting=3)
    assert model.batches == [("a", [0])]


def test_closing_answers_what_waits_and_takes_nothing_more():
    model = Model()

    async def scenario(batcher):
        first = await held(batcher, model)
        second = asyncio.ensure_future(batcher.ask("a", [1]))
        await asyncio.sleep(0.05)
        closing = asyncio.ensure_future(batcher.close())
        await asyncio.sleep(0.05)
        with pytest.raises(Busy, match="about to stop"):
            await batcher.ask("a", [2])
        assert not batcher.working
        model.free.set()
        await closing
        return await first, await second

    async def main():
        batcher = Batcher(model, 4, 100)
        batcher.start()
        return await scenario(batcher)

    assert asyncio.run(main()) == ([0], [2])
