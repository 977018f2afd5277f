"""How results are judged: classification, written text, and language modelling; all through torchmetrics."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = [
    "CLASSIFICATION",
    "TEXT",
    "bits_per_byte",
    "classification_metrics",
    "perplexity",
    "text_metrics",
]

CLASSIFICATION = (
    "accuracy",
    "precision_macro",
    "precision_micro",
    "recall_macro",
    "recall_micro",
    "f1_macro",
    "f1_micro",
)
_ROUGE = ("rouge1", "rouge2", "rougeL")  # Lsum would download a sentence splitter
TEXT = ("bleu", *_ROUGE)


def classification_metrics(
    predicted: Sequence[int], right: Sequence[int], num_classes: int
) -> dict[str, float]:
    """Judge one class an example.

    Args:
        predicted: the number of the predicted class of each example.
        right: the number of its right class.
        num_classes: N.

    Returns:
        The metrics named in `CLASSIFICATION`, in [0, 1]. Macro is the mean over the classes that occur among
        the predicted or the right ones; micro counts all examples together.
    """
    from torchmetrics.functional import classification as measures

    found, expected = torch.tensor(predicted), torch.tensor(right)
    measure: dict[str, Callable[..., Tensor]] = {
        "accuracy": measures.multiclass_accuracy,
        "precision": measures.multiclass_precision,
        "recall": measures.multiclass_recall,
        "f1": measures.multiclass_f1_score,
    }
    values = {}
    for name in CLASSIFICATION:
        kind, _, average = name.partition("_")
        values[name] = float(measure[kind](found, expected, num_classes, average=average or "micro"))
    return values


def text_metrics(predicted: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Judge written texts by those that people wrote.

    BLEU (Papineni et al. 2002) counts over the corpus, with the words of sacreBLEU's "13a" (Post 2018,
    arXiv:1804.08771) and without smoothing. ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) are F-measures, the mean
    over the texts of the best that a reference gives; words are runs of letters and digits of any script.

    Args:
        predicted: the texts, at least one.
        references: for each of them, one or more.

    Returns:
        The metrics named in `TEXT`, in [0, 1].
    """
    from torchmetrics.functional.text import rouge_score, sacre_bleu_score

    texts = list(predicted), [list(of_one) for of_one in references]
    rouge = rouge_score(*texts, accumulate="best", normalizer=_words, rouge_keys=_ROUGE)
    bleu = sacre_bleu_score(*texts, tokenize="13a")
    return {"bleu": float(bleu), **{key: float(rouge[f"{key}_fmeasure"]) for key in _ROUGE}}


def perplexity(nats: float, tokens: int) -> float:
    """Return exp(Σ −ln p / tokens): among how many tokens a model is, in effect, undecided.

    Args:
        nats: the summed loss, −ln p of each predicted token.
        tokens: how many were predicted, at least 1.
    """
    return math.exp(nats / tokens)


def bits_per_byte(nats: float, num_bytes: int) -> float:
    """Return Σ −log2 p / bytes, which is comparable between models with different tokens.

    Args:
        nats: the summed loss, −ln p of each predicted token.
        num_bytes: the length of the predicted text in UTF-8, at least 1.
    """
    return nats / math.log(2) / num_bytes


def _words(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.lower())
