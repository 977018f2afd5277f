"""Fitting a module with Lightning, without what Lightning says of its own insides."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning

__all__ = ["fit", "quiet"]

NOTES = ".*(does not have many workers|in eval mode at the start|__len__|LeafSpec|exists and is not empty).*"


def fit(
    module: lightning.LightningModule, options: Mapping[str, Any], checkpoint: Path | None = None
) -> None:
    """Train a module in place.

    Args:
        module: what is trained.
        options: arguments of `pytorch_lightning.Trainer`.
        checkpoint: take up the training that Lightning saved here; it is read without unpickling code.

    Raises:
        KeyboardInterrupt: if the training is interrupted.
    """
    with quiet():
        try:
            lightning.Trainer(**options).fit(module, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as stopped:  # what Lightning makes of an interruption
            raise KeyboardInterrupt from stopped


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's notes on hardware, on workers that are not wanted and on itself from being printed."""
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=NOTES)
        yield
