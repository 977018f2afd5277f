"""Rows of source and target: how they are laid out, and that all ways of reading them agree."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.encoding.decoding.reader import CausalReader
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.pairs import (
    PairLayout,
    Sources,
    batch_pairs,
    log_probabilities,
    make_pair,
    parts_of_similar_length,
    places_of,
    target_states,
)
from roots_kg.encoding.transformer import Transformer, TransformerConfig

START, END = 2, 3
LAYOUTS = {
    "two segments": PairLayout(prefix=True, segments=True),
    "prefix": PairLayout(prefix=True, segments=False),
    "causal": PairLayout(prefix=False, segments=False),
    "two segments, causal": PairLayout(prefix=False, segments=True),
}
WORDS = [([7, 8, 9], [10, 11]), ([12], [13, 14, 15, 16]), ([], [17]), ([5, 6, 7, 8, 9, 10], [])]


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def layout(request):
    return request.param


@pytest.fixture
def pairs(layout):
    return [make_pair(source, target, layout, START, END) for source, target in WORDS]


@pytest.fixture(scope="module", params=["rotary", "learned"])
def model(request):
    """A trunk and its output with random weights, decided enough for differences to show."""
    torch.manual_seed(0)
    trunk = Transformer(TransformerConfig(20, 16, 2, 2, 32, 24, positions=request.param, norm="pre"))
    head = LanguageModelHead(16, 20, transform=False)
    for weight in [*trunk.parameters(), *head.parameters()]:
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=0.4)
    return trunk.eval().requires_grad_(False), head.eval().requires_grad_(False)


def test_rows():
    with_segments = make_pair([7, 8], [9], PairLayout(), START, END)
    assert (with_segments.source, with_segments.target, with_segments.given) == ((2, 7, 8, 3), (2, 9, 3), 1)
    assert with_segments.prompt == [2, 7, 8, 3, 2]
    plain = make_pair([7, 8], [9], PairLayout(segments=False), START, END)
    assert (plain.source, plain.target, plain.given) == ((2, 7, 8, 3), (9, 3), 0)
    assert len(plain) == 6


def test_without_a_token_that_starts_a_text_the_end_begins_the_target():
    assert make_pair([7], [9], PairLayout(), None, END).prompt == [7, 3, 3]
    assert make_pair([7], [9], PairLayout(segments=False), None, END).prompt == [7, 3]


def test_what_is_written_is_the_target_and_its_end(pairs):
    batch = batch_pairs(pairs)
    assert batch.labels.tolist() == [token for _, target in WORDS for token in [*target, END]]
    assert batch.written.sum(dim=1).tolist() == [len(target) + 1 for _, target in WORDS]
    assert batch.lengths.tolist() == list(map(len, pairs))


def test_the_target_counts_its_positions_anew_where_it_is_a_segment():
    places, lengths = torch.arange(6)[None], torch.tensor([[4], [2]])
    positions, types = places_of(places, lengths, PairLayout())
    assert positions.tolist() == [[0, 1, 2, 3, 0, 1], [0, 1, 0, 1, 2, 3]]
    assert types.tolist() == [[0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]]
    positions, types = places_of(places, lengths, PairLayout(segments=False))
    assert positions.tolist() == [[0, 1, 2, 3, 4, 5]] * 2
    assert types is None


def test_a_row_has_the_states_in_a_batch_that_it_has_alone(model, pairs, layout):
    trunk, _ = model
    together = target_states(trunk, batch_pairs(pairs), layout)
    alone = torch.cat([target_states(trunk, batch_pairs([pair]), layout) for pair in pairs])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_nothing_of_the_target_to_the_right_is_seen(model, layout):
    trunk, _ = model
    one, other = ([7, 8, 9], [10, 11, 12, 13]), ([7, 8, 9], [10, 11, 18, 5])
    first, second = (
        target_states(trunk, batch_pairs([make_pair(*each, layout, START, END)]), layout)
        for each in (one, other)
    )
    torch.testing.assert_close(first[:3], second[:3])
    assert not torch.allclose(first[3:], second[3:])


def test_in_a_prefix_a_token_of_the_source_sees_what_is_to_its_right(model, layout):
    trunk, _ = model
    other = PairLayout(prefix=not layout.prefix, segments=layout.segments)
    batch = batch_pairs([make_pair([7, 8, 9], [10], layout, START, END)])
    assert not torch.allclose(target_states(trunk, batch, layout), target_states(trunk, batch, other))


def test_tokens_one_at_a_time_get_the_logits_of_the_whole_row(model, pairs, layout):
    """What beam search reads with its cache, prompts padded on the left, is what training reads."""
    trunk, head = model
    sources = Sources([len(pair.source) for pair in pairs], layout)
    targets = [pair.target[pair.given :] for pair in pairs]
    steps = max(map(len, targets))
    with torch.inference_mode():
        reader = CausalReader(trunk, head, [pair.prompt for pair in pairs], steps, sources)
        logits = [reader.logits]
        for step in range(steps - 1):
            reader.add(torch.tensor([target[min(step, len(target) - 1)] for target in targets]))
            logits.append(reader.logits)
        expected = head(target_states(trunk, batch_pairs(pairs), layout), trunk.token_embedding.weight)
    found = [logits[step][row] for row, target in enumerate(targets) for step in range(len(target))]
    torch.testing.assert_close(torch.stack(found), expected, atol=1e-5, rtol=1e-4)


def test_rows_that_are_chosen_stay_what_they_are(model, pairs, layout):
    trunk, head = model
    order = [2, 0, 0, 1]
    sources = Sources([len(pair.source) for pair in pairs], layout)
    chosen = Sources([len(pairs[row].source) for row in order], layout)
    token = torch.tensor([6, 7, 8, 9])
    with torch.inference_mode():
        reader = CausalReader(trunk, head, [pair.prompt for pair in pairs], 2, sources)
        reader.select(order)
        reader.add(token)
        expected = CausalReader(trunk, head, [pairs[row].prompt for row in order], 2, chosen)
        expected.add(token)
    torch.testing.assert_close(reader.logits, expected.logits, atol=1e-5, rtol=1e-4)


def test_log_probabilities_do_not_depend_on_the_batches(model, pairs, layout):
    trunk, head = model
    together, alone = (log_probabilities(trunk, head, pairs, layout, at_once) for at_once in (1000, 1))
    for (first, count), (second, other) in zip(together, alone, strict=True):
        assert first == pytest.approx(second, abs=1e-4)
        assert count == other
    for pair, (total, count) in zip(pairs, together, strict=True):
        states = target_states(trunk, batch_pairs([pair]), layout)
        logits = head(states, trunk.token_embedding.weight).log_softmax(dim=1)
        labels = torch.tensor(pair.target[pair.given :])
        assert total == pytest.approx(float(logits[torch.arange(count), labels].sum()), abs=1e-4)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 40))
def test_parts_hold_every_row_once_and_are_no_larger_than_allowed(sizes, at_once):
    rows = [make_pair([5] * size, [6], PairLayout(), START, END) for size in sizes]
    parts = list(parts_of_similar_length(rows, at_once))
    assert sorted(number for part in parts for number in part) == list(range(len(rows)))
    for part in parts:
        assert len(part) == 1 or len(part) * max(len(rows[number]) for number in part) <= at_once
