"""`roots export`: an encoder as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from roots_kg.cli.output import JsonOption, print_json, working


def export(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A pretrained name, or the folder of an encoder or a model."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.onnx", help="The file to write.")],
    reading: Annotated[
        Literal["bidirectional", "causal", "hybrid"] | None,
        typer.Option(help="Which tokens a token sees.  [default: the encoder's own]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the text encoder of a model as an ONNX file; of the model's task and graph nothing is in it.

    Example: roots export roots-base --out roots-base.onnx
    """
    from roots_kg.model import RootsModel

    with working("exporting"):
        RootsModel.from_pretrained(model).export_onnx(out, reading)
    size = out.stat().st_size
    if as_json:
        print_json({"metrics": {"bytes": size}, "out": out})
        return
    print(f"The encoder is in {out} ({size / 1e6:.1f} MB)")
