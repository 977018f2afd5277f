"""A pretraining run as a whole: text files in, an encoder out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import yaml
from numpy.typing import NDArray

from roots_kg.bundle import atomic_folder, ensure_replaceable
from roots_kg.config import from_mapping, to_mapping
from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.decoding.text import TextCodec
from roots_kg.encoding.encoder_store import KIND, write_encoder
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.objectives import Masking
from roots_kg.encoding.preprocessing import Pipeline
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.text_files import read_documents
from roots_kg.encoding.tokenization import Tokenizer, library_tokenizer
from roots_kg.encoding.tokenizer_training import TokenizerConfig, train_tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.encoding.words import continues_word, special_tokens
from roots_kg.errors import ConfigError, UsageError
from roots_kg.threads import some_threads
from roots_kg.training.language_model_module import LanguageModelModule
from roots_kg.training.language_model_training import log_frequencies, train_language_model
from roots_kg.training.pretraining_config import PretrainingConfig
from roots_kg.training.runs import Run, damaged, file_sizes, run_folder
from roots_kg.training.token_file import TokenFile, open_tokens, write_tokens

__all__ = ["PretrainingResult", "pretrain"]


@dataclass(frozen=True)
class PretrainingResult:
    """What a run brought forth.

    Args:
        encoder: the trained encoder, which is also in the folder.
        tokens: of the text to train on.
        curve: see `train_language_model`.
    """

    encoder: TextEncoder
    tokens: int
    curve: list[dict[str, float]]


def pretrain(
    config: PretrainingConfig,
    text: Sequence[Path],
    validation: Sequence[Path],
    out: Path,
    *,
    resume: bool = False,
    tensorboard: Path | None = None,
    threads: int = 1,
    progress: bool = False,
    **trainer: Any,
) -> PretrainingResult:
    """Pretrain an encoder and save it.

    Args:
        config: how.
        text: the files to train on.
        validation: the files that are held out; may be none.
        out: the folder to write; `runs.work_folder(out)` is used on the way, and stays if the run is
            stopped.
        resume: go on with a run that was stopped.
        tensorboard: a folder for a log that TensorBoard reads.
        threads: that torch uses.
        progress: show a bar.
        trainer: further arguments of `pytorch_lightning.Trainer`.

    Raises:
        UsageError: if there is a stopped run and `resume` is not said, or the other way round.
        ConfigError: if the settings don't go together, or are not those of the run that is resumed.
        DataError: if the text cannot be used.
    """
    if not text:
        raise UsageError("there is no text to train on", hint="name files, or put `text` into the config")
    ensure_replaceable(out, kind=KIND)
    stated = {
        "config": to_mapping(config),
        "text": file_sizes(text),
    }
    often = config.validate_every
    with run_folder(out, stated, resume=resume, every=often, tensorboard=tensorboard) as run:
        encoder, rows, curve = _run(
            config, text, validation, run, threads=threads, progress=progress, **trainer
        )
        with atomic_folder(out, kind=KIND) as folder:
            settings = yaml.safe_dump(to_mapping(config), sort_keys=False, allow_unicode=True)
            (folder / "pretraining.yaml").write_text(settings, encoding="utf-8", newline="\n")
            write_encoder(encoder, folder)
        run.record(out, KIND)
    return PretrainingResult(encoder, len(rows.tokens), curve)


def _run(
    config: PretrainingConfig,
    text: Sequence[Path],
    validation: Sequence[Path],
    run: Run,
    *,
    threads: int,
    **options: Any,
) -> tuple[TextEncoder, TokenFile, list[dict[str, float]]]:
    torch.manual_seed(config.seed)
    work = run.folder
    assert work is not None
    encoder = _encoder(config, text, work)
    codec = TextCodec(encoder.tokenizer.to_json())
    tokenizer = library_tokenizer(encoder.tokenizer.to_json())
    tokenizer.no_truncation()

    def token_file(name: str, files: Sequence[Path]) -> TokenFile:
        tokens, text_bytes = _tokens(config, tokenizer, files, work / name, codec.end_id)
        return TokenFile(tokens, config.length, codec.start_id, text_bytes)

    rows = token_file("text", text)
    held_out = token_file("validation", validation) if validation else None
    if len(rows) < config.batch_size:
        raise ConfigError(
            f"the text has {len(rows.tokens):,} tokens, which is not one batch of {config.batch_size} rows "
            f"of {config.length}",
            hint="give more text, or lower batch_size or length",
        )
    trunk, head = encoder.encoder.trunk, encoder.head
    assert head is not None
    if head.bias is not None and not head.bias.any():  # an output that was trained keeps what it learnt
        with torch.no_grad():
            head.bias.copy_(log_frequencies(rows, trunk.config.vocab_size))
    module = LanguageModelModule(
        trunk.requires_grad_(True),
        head.requires_grad_(True),
        rows,
        held_out,
        _masking(config, tokenizer),
        {
            "causal": config.objectives.causal,
            "masked": config.objectives.masked,
            "masked_next": config.objectives.masked_next,
            "next_sentence": config.objectives.next_sentence,
        },
        config.optimizer,
        batch_size=config.batch_size,
        accumulate=config.accumulate,
        steps=config.steps,
        sampled=config.sampled,
        adapter=encoder.encoder.adapter,
        separator_id=codec.end_id,
        seed=config.seed,
    )
    with some_threads(threads):
        curve = train_language_model(
            module,
            run,
            validate_every=config.validate_every,
            validation_rows=config.validation_rows,
            precision=config.precision,
            on=config.trainer,
            **options,
        )
    return encoder.cpu().eval().requires_grad_(False), rows, curve


def _encoder(config: PretrainingConfig, text: Sequence[Path], work: Path) -> TextEncoder:
    """Return the encoder to train, which has an output."""
    if config.base is None:
        return _new_encoder(config, text, work)
    base = TextEncoder.from_pretrained(config.base)
    trunk, head, adapter = base.encoder.trunk, base.head, None
    if config.length > trunk.config.max_positions:
        most = trunk.config.max_positions
        raise ConfigError(f"length is {config.length}, and {config.base!r} has {most} positions")
    if config.adapter is not None:
        adapter, head = LowRankAdapter(trunk, config.adapter.rank, config.adapter.embedding_rank), None
    elif config.objectives.only_causal:
        trunk = base.encoder.causal_trunk
    elif base.encoder.adapter is not None:
        head = None  # it belongs to the causal reading
    if head is None:
        head = LanguageModelHead(trunk.config.hidden_size, trunk.config.vocab_size)
        head.start_as_identity()
    return TextEncoder(HybridEncoder(trunk, adapter), base.tokenizer, head, base.reading)


def _new_encoder(config: PretrainingConfig, text: Sequence[Path], work: Path) -> TextEncoder:
    path = work / "tokenizer.json"
    if isinstance(config.tokenizer, str):
        path = Path(config.tokenizer)
    elif not path.exists():
        trained = train_tokenizer(_Texts(config, text), config.tokenizer or TokenizerConfig())
        trained.save(str(path))
    tokenizer = Tokenizer(path, max_length=config.length)
    vocab_size = library_tokenizer(tokenizer.to_json()).get_vocab_size()
    objectives = config.objectives
    shape = {
        "max_positions": config.length,
        "token_types": 2 if objectives.next_sentence else 0,
        **config.model,
        "vocab_size": vocab_size,
    }
    if "vocab_size" in config.model:
        raise ConfigError("model: the size of the vocabulary is the tokenizer's", hint="leave vocab_size out")
    trunk_config = from_mapping(TransformerConfig, shape)
    if trunk_config.max_positions < config.length:
        raise ConfigError(
            f"length is {config.length}, and the model has {trunk_config.max_positions} positions"
        )
    head = LanguageModelHead(trunk_config.hidden_size, vocab_size, layer_norm_eps=trunk_config.layer_norm_eps)
    encoder = TextEncoder(HybridEncoder(Transformer(trunk_config)), tokenizer, head)
    encoder.reading = "causal" if objectives.only_causal else "bidirectional"
    return encoder


class _Texts:
    """The texts after their preprocessing, which can be gone through more than once."""

    def __init__(self, config: PretrainingConfig, paths: Sequence[Path]) -> None:
        self.config, self.paths = config, paths

    def __iter__(self) -> Iterator[str]:
        pipeline = Pipeline(self.config.preprocessing)
        made = (pipeline(piece.text) for piece in read_documents(self.paths, self.config.documents))
        return (text for text in made if text is not None)


def _tokens(
    config: PretrainingConfig,
    tokenizer: tokenizers.Tokenizer,
    files: Sequence[Path],
    path: Path,
    end_id: int | None,
) -> tuple[NDArray[np.integer], int]:
    """Return the tokens of files and the bytes of their text, which a resumed run finds written down."""
    written = path.with_suffix(".bytes")
    if not written.exists():
        pieces, pipeline = read_documents(files, config.documents), Pipeline(config.preprocessing)
        text_bytes = write_tokens(path, pieces, tokenizer, preprocess=pipeline, end_id=end_id)
        written.write_text(str(text_bytes), encoding="utf-8")
    try:
        return open_tokens(path, tokenizer), int(written.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error


def _masking(config: PretrainingConfig, tokenizer: tokenizers.Tokenizer) -> Masking:
    mask_id = tokenizer.token_to_id("[MASK]")
    if mask_id is None and (config.objectives.masked or config.objectives.masked_next):
        raise ConfigError("the tokenizer has no [MASK], which hides tokens", hint="train causally alone")
    continues, special = continues_word(tokenizer), special_tokens(tokenizer)
    return Masking(mask_id or 0, len(special), continues, special, config.mask_rate)
