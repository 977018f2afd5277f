"""`roots pretrain`: an encoder from one's own text."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from roots_kg.cli.output import (
    JsonOption,
    OutOption,
    PrintConfigOption,
    ResumeOption,
    TensorboardOption,
    figures,
    print_json,
    required_out,
    resumable,
    shows_progress,
)
from roots_kg.cli.settings import print_settings


def pretrain(
    config: Annotated[Path, typer.Option(help="A YAML file of settings; the options below win.")],
    out: OutOption = None,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE...]", help="Text files in UTF-8, also .gz or .xz, in place of `text`."),
    ] = None,
    validation: Annotated[
        list[Path] | None, typer.Option(help="A text file that is held out; may be given several times.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the optimizer.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**62, help="Of the random numbers.")] = None,
    resume: ResumeOption = False,
    tensorboard: TensorboardOption = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads; more help where nothing else runs.")] = 1,
    print_config: PrintConfigOption = False,
    as_json: JsonOption = False,
) -> None:
    """Pretrain an encoder on text, or go on with one, or train it to generate.

    Example: roots pretrain --config configs/pretrain.yaml --out runs/encoder
    """
    from roots_kg.config import from_mapping, load_yaml
    from roots_kg.training.pretraining import pretrain as run
    from roots_kg.training.pretraining_config import PretrainingConfig, find_texts

    settings = load_yaml(config)
    settings |= {name: value for name, value in (("steps", steps), ("seed", seed)) if value is not None}
    stated = from_mapping(PretrainingConfig, settings, path=config)
    if print_config:
        print_settings(stated)
        return
    out = required_out(out)
    text = files or find_texts(stated.text, config.parent, config)
    held_out = validation or find_texts(stated.validation, config.parent, config)
    started, cpu = time.perf_counter(), time.process_time()
    with resumable(out):
        result = run(
            stated,
            text,
            held_out,
            out,
            resume=resume,
            tensorboard=tensorboard,
            threads=threads,
            progress=shows_progress(),
        )
    seconds = {"wall": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    metrics = {"text_tokens": result.tokens, **result.curve[-1]}
    if as_json:
        print_json({"metrics": metrics, "curve": result.curve, "seconds": seconds, "out": out})
        return
    figures("Pretraining", {**metrics, "seconds": f"{seconds['wall']:.1f}"})
    print(f"The encoder is in {out}")
