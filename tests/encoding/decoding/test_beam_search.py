"""Beam search gives what transformers' beam search gives with the same weights."""

import pytest
import torch

from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.generation import generate_tokens

NEW = 12


def expected(model, prompt, end_id, new=NEW, **settings):
    """Return what transformers continues one prompt with."""
    settings = {"eos_token_id": end_id, "pad_token_id": end_id, "bos_token_id": None, **settings}
    ids = torch.tensor([prompt])
    found = model.theirs.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=new, **settings
    )
    return [cut(row, end_id) for row in found[:, len(prompt) :].tolist()]


def cut(row, end_id):
    """Return a row up to the end, which is its padding too."""
    return row[: row.index(end_id)] if end_id in row else row


def found(model, prompts, end_id, new=NEW, **settings):
    limits = [new] * len(prompts)
    config = GenerationConfig(**settings)
    return generate_tokens(model.trunk, model.head, prompts, limits, config, end_id=end_id)


def common_token(model, prompt, **settings):
    """Return a token that beam search reaches early, so that as the end it is often met."""
    rows = expected(model, prompt, None, **settings)
    return rows[0][2]


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [1.0, 2.0, -1.0])
def test_it_equals_transformers_whether_texts_end_or_not(model, prompts, early_stopping, length_penalty):
    settings = {"early_stopping": early_stopping, "length_penalty": length_penalty}
    ended = set()
    for num_beams in (2, 5):
        beams = {"num_beams": num_beams, "num_return_sequences": num_beams, **settings}
        for prompt in prompts[:2]:
            for end in (common_token(model, prompt, num_beams=num_beams), None):
                rows = expected(model, prompt, end, **beams)
                assert found(model, [prompt], end, **beams) == [rows]
                ended |= {len(row) < NEW for row in rows}
    assert ended == {True, False}


def test_a_batch_of_prompts_of_different_lengths_gives_what_each_gives_alone(model, prompts):
    settings = {"num_beams": 4, "num_return_sequences": 2}
    end_id = common_token(model, prompts[0], num_beams=4)
    together = found(model, prompts, end_id, **settings)
    assert together == [found(model, [prompt], end_id, **settings)[0] for prompt in prompts]
    assert together == [expected(model, prompt, end_id, **settings) for prompt in prompts]


def test_prompts_with_limits_of_their_own_give_what_each_gives_alone(model, prompts):
    limits = [1, 9, 4, 6]
    config = GenerationConfig(num_beams=3)
    together = generate_tokens(model.trunk, model.head, prompts, limits, config, end_id=1)
    alone = [
        generate_tokens(model.trunk, model.head, [prompt], [limit], config, end_id=1)[0]
        for prompt, limit in zip(prompts, limits, strict=True)
    ]
    assert together == alone
    assert max(len(row) for rows in together for row in rows) == max(limits)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"repetition_penalty": 1.7}, {"repetition_penalty": 1.7}),
        ({"no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 2}),
        ({"min_length": 11}, {"min_length": 11}),
    ],
)
def test_rules_on_the_scores_have_the_effect_that_they_have_in_transformers(model, prompts, ours, theirs):
    for prompt in prompts:
        end_id = 1 if "repetition_penalty" in ours else common_token(model, prompt, num_beams=3)
        assert found(model, [prompt], end_id, num_beams=3, **ours) == [
            expected(model, prompt, end_id, num_beams=3, **theirs)
        ]


def test_forbidden_tokens_are_never_followed(model, prompts):
    forbidden = torch.zeros(model.trunk.config.vocab_size, dtype=torch.bool)
    forbidden[::2] = True
    config = GenerationConfig(num_beams=4, num_return_sequences=4)
    for rows in generate_tokens(
        model.trunk, model.head, prompts, [NEW] * len(prompts), config, forbidden=forbidden
    ):
        assert rows
        assert not any(forbidden[token] for row in rows for token in row)


def test_a_stop_ends_a_continuation_as_the_end_does(model, prompts):
    prompt = prompts[0]
    (likeliest,) = found(model, [prompt], None, num_beams=3)
    wanted = likeliest[0][4]
    config = GenerationConfig(num_beams=3, num_return_sequences=3, early_stopping=True)
    asked = set()

    def stopped(text, tokens):
        asked.add(text)
        return tokens[-1] == wanted

    rows = generate_tokens(model.trunk, model.head, [prompt], [NEW], config, stopped=stopped)[0]
    assert asked == {0}
    assert any(row[-1] == wanted for row in rows)
    assert all(wanted not in row[:-1] for row in rows)


def test_rules_that_leave_nothing_end_the_text(model, prompts):
    everything = torch.ones(model.trunk.config.vocab_size, dtype=torch.bool)
    config = GenerationConfig(num_beams=3)
    rows = generate_tokens(model.trunk, model.head, prompts[:1], [NEW], config, forbidden=everything)
    assert rows == [[[]]]


def test_more_beams_than_tokens_are_left_still_give_continuations(model, prompts):
    forbidden = torch.ones(model.trunk.config.vocab_size, dtype=torch.bool)
    forbidden[[5, 6]] = False
    config = GenerationConfig(num_beams=5, num_return_sequences=5)
    rows = generate_tokens(model.trunk, model.head, prompts[:1], [2], config, forbidden=forbidden)[0]
    assert sorted(rows) == [[5, 5], [5, 6], [6, 5], [6, 6]]
