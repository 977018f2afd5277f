"""`roots tokenizer train`: a subword tokenizer made from text files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from roots_kg.cli.output import JsonOption, figures, print_json, shows_progress
from roots_kg.cli.verbs import verb_group
from roots_kg.errors import UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

app = verb_group("Tokenizers.", {"train": ("tokenizer:train", "Train a tokenizer on text.")})

MEASURED = 10_000_000
BATCH = 1_000


def train(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Text files in UTF-8, also .gz or .xz.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="The file to write, such as tokenizer.json. A tokenizer is replaced."
        ),
    ],
    kind: Annotated[
        Literal["wordpiece", "bpe", "unigram"], typer.Option(help="How subwords are made; bpe is byte-level.")
    ] = "wordpiece",
    vocab_size: Annotated[int, typer.Option(help="The most tokens there may be.")] = 30_000,
    min_frequency: Annotated[
        int, typer.Option(help="How often two neighbours must occur to be joined (not in unigram).")
    ] = 2,
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="Treat upper and lower case as one.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a tokenizer on text; the same files and options give the same tokenizer, byte for byte.

    Example: roots tokenizer train novels.txt.xz --kind bpe --vocab-size 16000 --out tokenizer.json
    """
    from roots_kg.config import from_mapping
    from roots_kg.encoding.tokenizer_training import TokenizerConfig, train_tokenizer
    from roots_kg.files import replacing

    settings = {
        "kind": kind,
        "vocab_size": vocab_size,
        "min_frequency": min_frequency,
        "lowercase": lowercase,
    }
    config = from_mapping(TokenizerConfig, settings)
    _ensure_replaceable(out, files)
    started = time.perf_counter()
    texts = _Texts(files)
    tokenizer = train_tokenizer(texts, config, progress=shows_progress())
    with replacing(out) as temporary:
        tokenizer.save(str(temporary))
    metrics = {
        "tokens": tokenizer.get_vocab_size(),
        "files": len(files),
        "characters": texts.characters,
        "characters_per_token": _characters_per_token(tokenizer, texts),
    }
    seconds = time.perf_counter() - started
    if as_json:
        print_json({"metrics": metrics, "out": out, "config": config, "seconds": {"wall": seconds}})
    else:
        figures(f"{out}: {kind}, {seconds:.1f} s", metrics)


class _Texts:
    """The paragraphs of files, read anew each time; `characters` counts those of the last whole reading."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.characters = 0

    def __iter__(self) -> Iterator[str]:
        from roots_kg.encoding.text_files import read_documents

        characters = 0
        for piece in read_documents(self.files):
            characters += len(piece.text)
            yield piece.text
        self.characters = characters


def _characters_per_token(tokenizer: Tokenizer, texts: _Texts) -> float:
    """Return the mean over the first `MEASURED` characters, special tokens left out."""
    characters = tokens = 0
    remaining = iter(texts)
    while characters < MEASURED and (batch := list(islice(remaining, BATCH))):
        characters += sum(map(len, batch))
        tokens += sum(map(len, tokenizer.encode_batch_fast(batch, add_special_tokens=False)))
    return characters / max(tokens, 1)


def _ensure_replaceable(out: Path, files: Sequence[Path]) -> None:
    """Refuse, before any work, an output that cannot be or must not be written."""
    import tokenizers

    if out.is_dir():
        raise UsageError("this is a folder", path=out, hint="name a file, such as tokenizer.json in it")
    if any(out.resolve() == file.resolve() for file in files):
        raise UsageError("this file is read by the same command", path=out, hint="name another one")
    if out.exists():
        try:
            tokenizers.Tokenizer.from_file(str(out))
        except Exception as error:  # the library raises bare Exceptions
            raise UsageError(
                "this file is no tokenizer, and it would be lost", path=out, hint="name another one"
            ) from error
