"""Generation: prompts to texts, with a trunk that is read causally and a head that tells the next token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from roots_kg.encoding.decoding.beam_search import beam_search
from roots_kg.encoding.decoding.block_list import BlockList
from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.decoding.reader import CausalReader
from roots_kg.encoding.decoding.sampling import Choice, Draws, Stopped, continue_texts, likeliest
from roots_kg.encoding.decoding.scores import Copied, NextTokenRules
from roots_kg.encoding.decoding.text import Continuation, TextCodec
from roots_kg.encoding.decoding.text_rules import AllowedContinuation, Refuses, TextChecks, TextRule
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.pairs import Sources
from roots_kg.encoding.transformer import Transformer
from roots_kg.errors import UsageError

__all__ = ["GenerationConfig", "generate", "generate_tokens", "stream", "stream_tokens"]

TOKENS_AT_A_TIME = 8192  # of which the keys and values are kept at once


def generate(
    trunk: Transformer,
    head: LanguageModelHead,
    codec: TextCodec,
    prompts: Sequence[str],
    config: GenerationConfig,
    progress: Callable[[int], None] | None = None,
    text_rules: Sequence[TextRule] = (),
) -> list[list[str]]:
    """Continue prompts.

    Args:
        trunk: read causally.
        head: its output.
        codec: of its tokens.
        prompts: each of any length that leaves room among the trunk's positions; an empty one begins a text.
        config: how.
        progress: called with the number of prompts done since the last call.
        text_rules: that every text obeys.

    Returns:
        For each prompt `config.num_return_sequences` texts, best first: the prompt and what follows.

    Raises:
        UsageError: if a prompt is empty and cannot be, or is too long.
    """
    encoded = codec.encode(prompts)
    limits = _limits(encoded, config, trunk.config.max_positions)
    forbidden = codec.forbidden(trunk.config.vocab_size)
    text_rules = _text_rules(config, text_rules)
    texts: list[list[str]] = [[] for _ in prompts]
    for part in _parts(encoded, limits, config):

        def stopped(place: int, tokens: Sequence[int], part: Sequence[int] = part) -> bool:
            number = part[place]
            return _read(codec, prompts[number], encoded[number], tokens, config)[1]

        found = generate_tokens(
            trunk,
            head,
            [encoded[number] for number in part],
            [limits[number] for number in part],
            config,
            end_id=codec.end_id,
            forbidden=forbidden,
            stopped=stopped if config.stop else None,
            checks=_checks(
                codec, text_rules, [(prompts[number], encoded[number]) for number in part], config
            ),
        )
        for number, continuations in zip(part, found, strict=True):
            prompt, ids = prompts[number], encoded[number]
            texts[number] = [
                prompt + _read(codec, prompt, ids, tokens, config)[0] for tokens in continuations
            ]
        if progress is not None:
            progress(len(part))
    return texts


def stream(
    trunk: Transformer,
    head: LanguageModelHead,
    codec: TextCodec,
    prompt: str,
    config: GenerationConfig,
    text_rules: Sequence[TextRule] = (),
) -> Iterator[str]:
    """Continue one prompt, giving out text as soon as it is settled; arguments and errors as in `generate`.

    Yields:
        The prompt, then pieces of what follows; together they are the text that `generate` returns.
    """
    if config.num_beams > 1 or config.num_return_sequences > 1:
        raise UsageError("one text is streamed, and not by beam search", hint="give num_beams 1")
    (ids,) = codec.encode([prompt])
    (limit,) = _limits([ids], config, trunk.config.max_positions)
    checks = _checks(codec, _text_rules(config, text_rules), [(prompt, ids)], config)
    text = AllowedContinuation(checks) if checks else Continuation(codec, prompt, ids, config.stop)

    def pieces() -> Iterator[str]:
        yield prompt
        forbidden = codec.forbidden(trunk.config.vocab_size)
        tokens = stream_tokens(
            trunk, head, ids, limit, config, end_id=codec.end_id, forbidden=forbidden, checks=checks
        )
        for token in tokens:
            if piece := text.add(token):
                yield piece
            if text.stopped:
                return
        if piece := text.finish():
            yield piece

    return pieces()


@torch.inference_mode()
def generate_tokens(
    trunk: Transformer,
    head: LanguageModelHead,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    config: GenerationConfig,
    *,
    end_id: int | None = None,
    forbidden: Tensor | None = None,
    stopped: Stopped | None = None,
    checks: TextChecks | None = None,
    sources: Sources | None = None,
    copied: Sequence[int] = (),
    bonus: float = 0.0,
) -> list[list[list[int]]]:
    """Continue prompts of token ids, all at once.

    Args:
        trunk: read causally, or as `sources` says.
        head: its output.
        prompts: B lists of ids, none of them empty.
        limits: the most tokens that each is continued by.
        config: how; its lengths and stop strings are not looked at, but for `min_length`.
        end_id: the token that ends a text, or None.
        forbidden: (V,) booleans, true for tokens that are never generated.
        stopped: whether the text of this number ends with these new tokens.
        checks: what the texts, which have the numbers of their prompts, may be.
        sources: how much of each prompt is a source to write a target for; None where prompts are continued.
        copied: ids of tokens that, where they are in a prompt, should be in what follows it.
        bonus: what each of them adds to the score of a text, see `Copied`.

    Returns:
        For each prompt up to `config.num_return_sequences` lists of new ids, best first, without the end.
    """
    reader = CausalReader(trunk, head, prompts, max(limits), sources)
    wanted = None
    if copied:
        ids = torch.tensor(copied, device=reader.sequences.device)
        wanted = Copied(ids, reader.sequences.shape[1], bonus)
    rules = _rules(reader, config, end_id, forbidden, wanted)
    refuses: Refuses | None = checks.refuses if checks is not None else None
    if config.num_beams > 1:
        found = beam_search(reader, rules, config, limits, end_id, stopped, refuses)
        return [
            [_allowed(checks, text, hypothesis.tokens) for hypothesis in best]
            for text, best in enumerate(found)
        ]
    copies = config.num_return_sequences
    reader.select([row for row in range(len(prompts)) for _ in range(copies)])
    tokens: list[list[int]] = [[] for _ in range(copies * len(prompts))]
    own_limits = [limit for limit in limits for _ in range(copies)]
    own_stopped = stopped and (lambda text, new: stopped(text // copies, new))
    own_refuses = refuses and (lambda text, new, ends: refuses(text // copies, new, ends))
    choose = _choice(config, len(prompts))
    for text, token in continue_texts(reader, rules, choose, own_limits, end_id, own_stopped, own_refuses):
        tokens[text].append(token)
    tokens = [_allowed(checks, text // copies, new) for text, new in enumerate(tokens)]
    return [tokens[start : start + copies] for start in range(0, len(tokens), copies)]


def stream_tokens(
    trunk: Transformer,
    head: LanguageModelHead,
    prompt: Sequence[int],
    limit: int,
    config: GenerationConfig,
    *,
    end_id: int | None = None,
    forbidden: Tensor | None = None,
    checks: TextChecks | None = None,
) -> Iterator[int]:
    """Continue one prompt, giving out every token once it is known; arguments as in `generate_tokens`.

    With `checks`, the text may have come to an end that it may not have; see `TextChecks.allowed_part`.
    """
    with torch.inference_mode():
        reader = CausalReader(trunk, head, [prompt], limit)
        rules = _rules(reader, config, end_id, forbidden)
        refuses = checks.refuses if checks is not None else None
        steps = continue_texts(reader, rules, _choice(config, 1), [limit], end_id, refuses=refuses)
    while True:
        with torch.inference_mode():  # not while the caller has its turn
            step = next(steps, None)
        if step is None:
            return
        yield step[1]


def _rules(
    reader: CausalReader,
    config: GenerationConfig,
    end_id: int | None,
    forbidden: Tensor | None,
    copied: Copied | None = None,
) -> NextTokenRules:
    if forbidden is None:
        forbidden = torch.zeros(reader.logits.shape[1], dtype=torch.bool)
    return NextTokenRules(config, end_id, forbidden.to(reader.logits.device), copied)


def _choice(config: GenerationConfig, prompts: int) -> Choice:
    copies = config.num_return_sequences
    return Draws(config.seed, prompts * copies, copies) if config.sample else likeliest


def _allowed(checks: TextChecks | None, text: int, tokens: Sequence[int]) -> list[int]:
    return list(tokens) if checks is None else checks.allowed_part(text, tokens)


def _text_rules(config: GenerationConfig, more: Sequence[TextRule]) -> list[TextRule]:
    return [*([_block_list(config.block_list)] if config.block_list else []), *more]


@lru_cache(maxsize=4)  # as it takes longer to make than to ask
def _block_list(phrases: tuple[str, ...]) -> BlockList:
    return BlockList(phrases)


def _checks(
    codec: TextCodec,
    text_rules: Sequence[TextRule],
    prompts: Sequence[tuple[str, Sequence[int]]],
    config: GenerationConfig,
) -> TextChecks | None:
    return TextChecks(codec, text_rules, prompts, config.stop) if text_rules else None


def _read(
    codec: TextCodec, prompt: str, ids: Sequence[int], tokens: Sequence[int], config: GenerationConfig
) -> tuple[str, bool]:
    """Return the text of new tokens, and whether it met a stop string."""
    text = Continuation(codec, prompt, ids, config.stop)
    pieces = "".join([text.add(token) for token in tokens])
    return pieces + text.finish(), text.stopped


def _limits(encoded: Sequence[Sequence[int]], config: GenerationConfig, max_positions: int) -> list[int]:
    """Return how many tokens may follow each prompt."""
    limits = []
    for number, ids in enumerate(encoded, start=1):
        which = "the prompt" if len(encoded) == 1 else f"prompt {number}"
        limit = config.new_tokens(len(ids))
        if limit < 1:
            raise UsageError(
                f"{which} has {len(ids)} tokens, and max_length {config.max_length} leaves room for no more",
                hint="raise max_length, or give max_new_tokens",
            )
        if len(ids) + limit > max_positions:
            raise UsageError(
                f"{which} has {len(ids)} tokens, which with {limit} new ones is {len(ids) + limit}; "
                f"this encoder has {max_positions} positions",
                hint="shorten the prompt or ask for less",
            )
        limits.append(limit)
    return limits


def _parts(
    encoded: Sequence[Sequence[int]], limits: Sequence[int], config: GenerationConfig
) -> Iterator[list[int]]:
    """Yield the numbers of prompts of similar length, in parts of a bounded number of tokens."""
    copies = max(config.num_beams, config.num_return_sequences)
    part: list[int] = []
    longest = most = 0
    for number in sorted(range(len(encoded)), key=lambda number: len(encoded[number])):
        longest, most = max(longest, len(encoded[number])), max(most, limits[number])
        if part and (len(part) + 1) * copies * (longest + most) > TOKENS_AT_A_TIME:
            yield part
            part, longest, most = [], len(encoded[number]), limits[number]
        part.append(number)
    if part:
        yield part
