"""Greedy choice equals transformers', and draws have the right distribution, whatever else is in a batch."""

import math
import random
from collections import Counter

import pytest
import torch

from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.decoding.sampling import Draws
from roots_kg.encoding.generation import generate_tokens, stream_tokens

NEW = 14


def found(model, prompts, end_id=None, limits=None, stopped=None, **settings):
    limits = limits or [NEW] * len(prompts)
    config = GenerationConfig(**settings)
    return generate_tokens(model.trunk, model.head, prompts, limits, config, end_id=end_id, stopped=stopped)


def expected(model, prompt, end_id=None, **settings):
    ids = torch.tensor([prompt])
    settings = {"eos_token_id": end_id, "pad_token_id": end_id, "bos_token_id": None, **settings}
    (row,) = model.theirs.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW, **settings
    ).tolist()
    row = row[len(prompt) :]
    return row[: row.index(end_id)] if end_id in row else row


def test_greedy_choice_equals_transformers_whether_texts_end_or_not(model, prompts):
    for prompt in prompts:
        row = expected(model, prompt)
        assert found(model, [prompt]) == [[row]]
        assert found(model, [prompt], end_id=row[5]) == [[expected(model, prompt, row[5])]]
        assert len(expected(model, prompt, row[5])) <= 5


def test_greedy_choice_under_rules_equals_transformers(model, prompts):
    rules = {"repetition_penalty": 1.4, "no_repeat_ngram_size": 3, "min_length": 9}
    for prompt in prompts:
        end_id = expected(model, prompt)[1]
        assert found(model, [prompt], end_id, **rules) == [[expected(model, prompt, end_id, **rules)]]


def test_a_batch_of_different_lengths_limits_and_ends_gives_what_each_prompt_gives_alone(model, prompts):
    limits = [14, 2, 9, 11]
    end_id = expected(model, prompts[0])[9]
    together = found(model, prompts, end_id, limits)
    alone = [
        found(model, [prompt], end_id, [limit])[0] for prompt, limit in zip(prompts, limits, strict=True)
    ]
    assert together == alone
    assert len({len(row) for (row,) in together}) > 2


def test_padding_sees_something_whatever_the_kernel_makes_of_a_row_that_sees_nothing(model, prompts):
    masks = []
    hook = model.trunk.register_forward_pre_hook(lambda module, arguments: masks.append(arguments[1]))
    found(model, prompts)
    hook.remove()
    assert masks[0].shape[-2:] == (11, 11)
    assert all(mask.any(dim=-1).all() for mask in masks)


def test_reading_on_with_the_cache_equals_reading_everything_again(model, prompts):
    for prompt in prompts:
        tokens = list(prompt)
        with torch.inference_mode():
            for _ in range(NEW):
                hidden, _ = model.trunk(torch.tensor([tokens]), causal=True)
                logits = model.head(hidden[:, -1], model.trunk.token_embedding.weight)
                tokens.append(int(logits.argmax()))
        assert found(model, [prompt]) == [[tokens[len(prompt) :]]]


def test_tokens_are_streamed_one_by_one_and_are_the_same(model, prompts):
    config = GenerationConfig(sample=True, seed=4)
    tokens = stream_tokens(model.trunk, model.head, prompts[0], NEW, config)
    first = next(tokens)
    assert not torch.is_inference_mode_enabled()
    assert [[first, *tokens]] == found(model, prompts[:1], sample=True, seed=4)[0]


def test_a_stop_ends_one_text_and_not_the_others(model, prompts):
    whole = found(model, prompts)
    wanted = whole[2][0][4]

    def stopped(text, tokens):
        return text == 2 and tokens[-1] == wanted

    cut = found(model, prompts, stopped=stopped)
    assert cut[2][0] == whole[2][0][: whole[2][0].index(wanted) + 1]
    assert cut[:2] + cut[3:] == whole[:2] + whole[3:]


def test_rules_that_leave_nothing_end_the_text(model, prompts):
    everything = torch.ones(model.trunk.config.vocab_size, dtype=torch.bool)
    for settings in ({}, {"sample": True, "seed": 0}):
        config = GenerationConfig(**settings)
        rows = generate_tokens(model.trunk, model.head, prompts, [NEW] * 4, config, forbidden=everything)
        assert rows == [[[]]] * 4


def test_a_seed_gives_the_same_draws_and_another_one_others(model, prompts):
    draws = {seed: found(model, prompts, sample=True, seed=seed) for seed in (0, 1)}
    assert draws[0] == found(model, prompts, sample=True, seed=0)
    assert draws[0] != draws[1]
    assert found(model, prompts, sample=True) != found(model, prompts, sample=True)


def test_what_is_drawn_for_a_prompt_does_not_depend_on_the_others(model, prompts):
    settings = {"sample": True, "seed": 7, "temperature": 2.0, "num_return_sequences": 3}
    together = found(model, prompts, **settings)
    assert together == [found(model, [prompt], **settings)[0] for prompt in prompts]
    assert together == found(model, prompts[::-1], **settings)[::-1]


def test_several_continuations_of_a_prompt_differ(model, prompts):
    (rows,) = found(model, prompts[:1], sample=True, seed=0, temperature=3.0, num_return_sequences=4)
    assert len({tuple(row) for row in rows}) == 4


def test_drawing_leaves_the_random_numbers_of_others_alone(model, prompts):
    torch.manual_seed(5)
    found(model, prompts, sample=True, seed=0)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))


def test_tokens_are_drawn_as_often_as_their_probabilities_say():
    wanted = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05, 0.0])
    draws, count = Draws(seed=0, texts=1, per_prompt=1), 20_000
    tally = Counter(int(draws(wanted.log()[None], [0])) for _ in range(count))
    assert set(tally) == {0, 2, 3, 4}
    for token, times in tally.items():
        share = float(wanted[token])
        assert abs(times / count - share) < 5 * math.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize("share", [0.0, 0.999_999_999, 1 - 2**-53])
def test_the_ends_of_the_range_of_random_numbers_give_a_possible_token(monkeypatch, share):
    scores = torch.randn(1, 30_000, generator=torch.Generator().manual_seed(0))
    scores[:, :100] = scores[:, -100:] = float("-inf")
    monkeypatch.setattr(random.Random, "random", lambda self: share)
    assert 100 <= int(Draws(seed=0, texts=1, per_prompt=1)(scores, [0])) < 29_900
