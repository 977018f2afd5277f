"""What a block list costs: tokens a second with a list of 1,000 phrases, and without one.

Continuations of the same prompts, on one thread, by random weights in the size of roots-base with its
tokenizer (WordPiece), and with a byte-level BPE tokenizer of 4,000 tokens, trained on this package's source.
The phrases hold none of the words that are generated without a list, so both give the same texts and
what is timed is the checking alone; making the list is timed by itself. Every comparison is the median of
paired runs that take turns.

    python benchmarks/block_list.py [--runs 5] [--new-tokens 64] [--phrases 1000] [--json]
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import string
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from common import report

import roots_kg
from roots_kg.encoding.decoding.block_list import BlockList
from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.tokenization import Tokenizer
from roots_kg.encoding.tokenizer_training import TokenizerConfig, train_tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig

PROMPT = "The graph says which towns lie in which countries, and a parcel goes to"
WAYS = {
    "greedy": ({}, 1),
    "sampling, 8 prompts": ({"sample": True, "seed": 1, "top_p": 0.9}, 8),
    "5 beams": ({"num_beams": 5}, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--phrases", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []
    made: dict[str, float] = {}
    for name, encoder in {"WordPiece": _wordpiece(), "byte-level BPE": _byte_level()}.items():
        for way, (settings, count) in WAYS.items():
            prompts = [PROMPT] * count
            plain = GenerationConfig(max_new_tokens=options.new_tokens, **settings)
            texts = encoder.generate(prompts, plain)
            blocking = replace(plain, block_list=_phrases(options.phrases, texts))
            if encoder.generate(prompts, blocking) != texts:
                raise SystemExit("the texts are not the same")
            times: dict[str, list[float]] = {"without": [], "with": []}
            for _ in range(options.runs):
                for case, config in (("without", plain), ("with", blocking)):
                    started = time.process_time()
                    encoder.generate(prompts, config)
                    times[case].append(time.process_time() - started)
            ratios = [one / own for one, own in zip(times["with"], times["without"], strict=True)]
            tokens = count * options.new_tokens
            rows.append(
                {
                    "tokenizer": name,
                    "generation": way,
                    "tokens/s without": f"{tokens / statistics.median(times['without']):,.0f}",
                    "with": f"{tokens / statistics.median(times['with']):,.0f}",
                    "× the time": f"{statistics.median(ratios):.3f}",
                    "from, to": f"{min(ratios):.3f}, {max(ratios):.3f}",
                }
            )
        made[name] = _seconds_to_make(encoder, blocking.block_list)
    told = ", ".join(f"{1000 * seconds:.0f} ms for {name}" for name, seconds in made.items())
    title = (
        f"{options.new_tokens} new tokens, {options.phrases} phrases, median of {options.runs} paired runs; "
        f"the list is made in {told}"
    )
    report(title, rows, options.json)


def _wordpiece() -> TextEncoder:
    encoder = TextEncoder.from_pretrained("roots-base")
    return _random(encoder.tokenizer, encoder.encoder.trunk.config)


def _byte_level() -> TextEncoder:
    sources = [path.read_text(encoding="utf-8") for path in Path(roots_kg.__file__).parent.rglob("*.py")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        tokenizer = train_tokenizer(sources, TokenizerConfig(kind="bpe", vocab_size=4_000))
        tokenizer.save(str(path))
        return _random(Tokenizer(path), TransformerConfig())


def _random(tokenizer: Tokenizer, config: TransformerConfig) -> TextEncoder:
    torch.manual_seed(0)
    head = LanguageModelHead(config.hidden_size, config.vocab_size)
    return TextEncoder(HybridEncoder(Transformer(config)), tokenizer, head).requires_grad_(False).eval()


def _seconds_to_make(encoder: TextEncoder, phrases: tuple[str, ...]) -> float:
    started = time.process_time()
    BlockList(phrases).written_by(encoder.codec)
    return time.process_time() - started


def _phrases(count: int, texts: list[list[str]]) -> tuple[str, ...]:
    """Return phrases of one to three made-up words, none of which is in the texts."""
    known = {word for own in texts for text in own for word in re.findall(r"\w+", text.lower())}
    draw, phrases = random.Random(0), dict[str, None]()
    while len(phrases) < count:
        words = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 9))) for _ in range(3)]
        words = words[: draw.randint(1, 3)]
        if not known.intersection(words):
            phrases[" ".join(words)] = None
    return tuple(phrases)


if __name__ == "__main__":
    main()
