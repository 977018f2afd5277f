"""`roots generate`: texts that continue prompts."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roots_kg.cli.output import BlockListOption, JsonOption, print_json, progress_bar
from roots_kg.errors import DataError, UsageError

if TYPE_CHECKING:
    from roots_kg.model import RootsModel


def generate(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A pretrained name, or the folder of an encoder or a model."),
    ],
    prompt: Annotated[str | None, typer.Option(help="The text to continue; may be empty.")] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="A file with a prompt on each line.")
    ] = None,
    num_beams: Annotated[int, typer.Option(help="Continuations that beam search follows; 1 for none.")] = 1,
    max_length: Annotated[
        int | None, typer.Option(help="The most tokens, prompt included.  [default: 20 new ones]")
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="The most new tokens.")] = None,
    min_length: Annotated[int, typer.Option(help="The fewest tokens, prompt included.")] = 0,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw tokens rather than take the likeliest.")
    ] = False,
    temperature: Annotated[
        float, typer.Option(help="Above 1 for bolder draws, below 1 for safer ones.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from so many of the likeliest tokens.")] = None,
    top_p: Annotated[
        float, typer.Option(help="Draw from the likeliest tokens of so much probability.")
    ] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1 to repeat words less.")] = 1.0,
    no_repeat_ngram_size: Annotated[int, typer.Option(help="No run of so many tokens twice; 0 for any.")] = 0,
    length_penalty: Annotated[float, typer.Option(help="Above 0, beam search favours long texts.")] = 1.0,
    stop: Annotated[
        list[str] | None, typer.Option(help="End the text before this string; may be given several times.")
    ] = None,
    block_list: BlockListOption = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the draws; without one they differ every time.")
    ] = None,
    num_return_sequences: Annotated[int, typer.Option(help="Texts for each prompt.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Continue a prompt, or each line of a file.

    Example: roots generate roots-base --prompt "The quick brown fox" --num-beams 5 --max-length 20
    """
    if (prompt is None) == (input_file is None):
        raise UsageError("give either --prompt or --input")
    from roots_kg.encoding.decoding.block_list import read_block_list

    settings: dict[str, Any] = {
        "num_beams": num_beams,
        "max_length": max_length,
        "max_new_tokens": max_new_tokens,
        "min_length": min_length,
        "sample": sample,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "no_repeat_ngram_size": no_repeat_ngram_size,
        "length_penalty": length_penalty,
        "stop": tuple(stop or ()),
        "block_list": () if block_list is None else read_block_list(block_list),
        "seed": seed,
        "num_return_sequences": num_return_sequences,
    }
    prompts = [_utf8(prompt)] if prompt is not None else _lines(input_file or Path())
    from roots_kg.config import from_mapping
    from roots_kg.encoding.decoding.config import GenerationConfig
    from roots_kg.model import RootsModel

    from_mapping(GenerationConfig, settings)  # a wrong option is told before the model is loaded
    loaded = RootsModel.from_pretrained(model)
    one = prompt is not None and num_beams == 1 and num_return_sequences == 1
    if one and not as_json and sys.stdout.isatty():
        _print_pieces(loaded.stream(prompts[0], **settings))
    else:
        _print_texts(loaded, prompts, settings, as_json)


def _print_pieces(pieces: Iterator[str]) -> None:
    try:
        for piece in pieces:
            print(piece, end="", flush=True)
    finally:
        print()


def _print_texts(model: RootsModel, prompts: list[str], settings: dict[str, Any], as_json: bool) -> None:
    started = time.perf_counter()
    with progress_bar("prompts", len(prompts)) as advance:
        found = model.generate(prompts, progress=advance, **settings)
    texts = [[text] if isinstance(text, str) else text for text in found]
    if as_json:
        rows = [{"prompt": prompt, "texts": own} for prompt, own in zip(prompts, texts, strict=True)]
        print_json({"generations": rows, "seconds": {"wall": time.perf_counter() - started}})
        return
    for own in texts:
        for text in own:
            print(text)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=path) from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError("not UTF-8", path=path, line=line) from error
    if not text:
        raise DataError("there is no prompt in it", path=path)
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError("the prompt is not UTF-8") from error
    return text
