"""A clock that is set back, leaps or stands still ends no verb, and no duration is below zero."""

import itertools
import json
import math
import time

import pytest

from roots_kg.graph.transe import TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.training.transe import train_transe

CLOCKS = {
    "leaps": lambda: itertools.cycle([1.8e9, 0.0, 4.1e9, -1.0, 1.8e9 + 1e-9, 1.7e9]),
    "stands still": lambda: itertools.repeat(1.8e9),
}


@pytest.fixture(params=CLOCKS)
def clock(request, monkeypatch):
    """The wall clock is set to and fro; that which measures durations is coarse and does not move."""
    wall = CLOCKS[request.param]()
    monkeypatch.setattr(time, "time", lambda: next(wall))
    monkeypatch.setattr(time, "time_ns", lambda: int(next(wall) * 1e9))
    monkeypatch.setattr(time, "perf_counter", lambda: 7.0)
    monkeypatch.setattr(time, "process_time", lambda: 7.0)


def numbers(found):
    """Yield all numbers of a result."""
    for value in found.values() if isinstance(found, dict) else found:
        if isinstance(value, (dict, list)):
            yield from numbers(value)
        elif isinstance(value, (int, float)):
            yield value


def test_verbs_tell_durations_that_are_possible(
    clock, roots, towns_file, routing_folder, small_model, tmp_path
):
    examples = routing_folder / "test.jsonl"
    for verb in (
        ("kg", "train", towns_file, "--epochs", 1, "--dimension", 16, "--out", tmp_path / "graph"),
        ("kg", "evaluate", tmp_path / "graph", "--test", towns_file),
        ("kg", "add", tmp_path / "graph", "Hallein|located_in|Austria"),
        ("adapt", routing_folder, "--shots", 2, "--no-knowledge", "--out", tmp_path / "model"),
        ("evaluate", tmp_path / "model", "--test", examples),
        ("generate", small_model, "--prompt", "She", "--max-new-tokens", 2),
        ("tokenizer", "train", examples, "--vocab-size", 200, "--out", tmp_path / "tokenizer.json"),
    ):
        result = roots(*verb, "--json")
        assert result.code == 0, (verb, result.err)
        told = json.loads(result.out)
        assert all(math.isfinite(number) for number in numbers(told)), verb
        assert all(number >= 0 for number in numbers([told.get("seconds", 0.0)])), verb


def test_a_bar_over_training_is_shown_with_a_speed(clock, triples, capsys):
    graph = KnowledgeGraph.from_triples(triples)
    train_transe(graph, TransEConfig(dimension=4, epochs=1, batch_size=8, negatives=4), progress=True)
    shown = capsys.readouterr().err
    assert "triples/s" in shown
    assert not {"inf", "nan"} & set(shown.replace("/s", " ").split())
