"""Train the causal side of roots-base on 95 novels, write its file, and judge it on 5 that were held out.

    python benchmarks/roots_base.py --data DIR --out runs/roots-base [--resume]

This is what made `roots_kg/pretrained/roots-base/causal.safetensors`; with an existing `--out` it only judges
that. The settings are those of `configs/roots_base.yaml`. Bits per byte are of the lower-cased text that
the tokenizer sees, over the bytes of the text as it stands.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import tokenizers
import torch
from common import report, split_novels

from roots_kg.bundle import sha256
from roots_kg.config import from_mapping, load_yaml
from roots_kg.encoding.causal_side import read_causal_side, write_causal_side
from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.encoder_store import load_encoder
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.objectives import causal
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.text_files import read_documents
from roots_kg.metrics import bits_per_byte, perplexity
from roots_kg.training.pretraining_config import PretrainingConfig
from roots_kg.training.token_file import TokenFile, open_tokens, write_tokens
from roots_kg.weights import CAUSAL, SHIPPED

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "roots_base.yaml"
HELD_OUT, EVERY = 5, 4
PROMPTS = (
    "The quick brown fox",
    "It was a dark and stormy night, and",
    "She looked at him and said",
    "London is",
)
WAYS = {
    "beams": GenerationConfig(num_beams=5, max_new_tokens=40, no_repeat_ngram_size=3),
    "sampled": GenerationConfig(sample=True, top_p=0.9, temperature=0.8, seed=1, max_new_tokens=60),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder that holds text/novels100.txt.xz")
    parser.add_argument(
        "--out", type=Path, help="the encoder to write; without it the shipped file is judged"
    )
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path("runs/novels") if options.out is None else options.out.with_name("novels")
    folder.mkdir(parents=True, exist_ok=True)
    novels = split_novels(options.data / "text" / "novels100.txt.xz", folder)
    file = SHIPPED / "roots-base" / CAUSAL
    if options.out is not None:
        if not options.out.exists():
            train(novels, options.out, options.resume)
        trained, file = load_encoder(options.out), options.out.with_suffix(".safetensors")
        assert trained.encoder.adapter is not None
        assert trained.head is not None
        write_causal_side(trained.encoder.adapter, trained.head, file)
    base = TextEncoder.from_pretrained("roots-base")
    adapter, head = read_causal_side(file, base.encoder.trunk)
    encoder = TextEncoder(HybridEncoder(base.encoder.trunk, adapter), base.tokenizer, head).eval()
    print(f"{file}: {file.stat().st_size:,} bytes, SHA-256 {sha256(file)}", file=sys.stderr)
    report("Held-out novels", [judge(encoder, novels[-HELD_OUT:], folder)], options.json)
    for name, way in WAYS.items():
        for (text,) in encoder.generate(PROMPTS, way):
            print(f"{name}: {text}", file=sys.stderr)


def train(novels: list[Path], out: Path, resume: bool) -> None:
    held_out = [word for path in novels[-HELD_OUT:] for word in ("--validation", str(path))]
    command = [
        "pretrain",
        *map(str, novels[:-HELD_OUT]),
        *held_out,
        "--config",
        str(CONFIG),
        "--out",
        str(out),
    ]
    subprocess.run(
        [sys.executable, "-m", "roots_kg", *command, *(["--resume"] if resume else [])], check=True
    )


@torch.inference_mode()
def judge(encoder: TextEncoder, novels: list[Path], folder: Path) -> dict[str, object]:
    """Return loss, perplexity, bits per byte and accuracy on every fourth row of the novels."""
    config = from_mapping(PretrainingConfig, load_yaml(CONFIG))
    tokenizer = tokenizers.Tokenizer.from_str(encoder.tokenizer.to_json())
    tokenizer.no_truncation()
    start_id, end_id = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    text_bytes = write_tokens(folder / "held_out.tokens", read_documents(novels), tokenizer, end_id=end_id)
    text = TokenFile(open_tokens(folder / "held_out.tokens", tokenizer), config.length, start_id, text_bytes)
    trunk, head = encoder.encoder.causal_trunk, encoder.head
    assert head is not None
    embedding = trunk.token_embedding.weight
    nats, right, predicted = 0.0, 0, 0
    for numbers in torch.split(torch.arange(0, len(text), EVERY), 8):
        targets = causal(text.rows(numbers))
        hidden, labels = (
            trunk(targets.input_ids, causal=True)[0][:, :-1].flatten(0, 1),
            targets.labels[:, :-1],
        )
        for states, answers in zip(hidden.split(512), labels.flatten().split(512), strict=True):
            scores = head(states, embedding).log_softmax(dim=-1)
            nats -= float(scores.gather(1, answers[:, None]).sum())
            right += int((scores.argmax(dim=-1) == answers).sum())
            predicted += len(answers)
    loss = nats / predicted
    return {
        "tokens": f"{predicted:,}",
        "loss, nats": round(loss, 4),
        "perplexity": round(perplexity(nats, predicted), 1),
        "bits a byte": round(bits_per_byte(loss * len(text.tokens), text.text_bytes), 4),
        "next token right": f"{100 * right / predicted:.1f} %",
    }


if __name__ == "__main__":
    main()
