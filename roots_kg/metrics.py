"""How results are judged: classification, spans, answers, written text, and language modelling.

Texts are judged through torchmetrics. Classes are not: importing it takes seconds, counting them none.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

__all__ = [
    "CLASSIFICATION",
    "EXTRACTION",
    "MULTILABEL",
    "SPANS",
    "TEXT",
    "bits_per_byte",
    "classification_metrics",
    "extraction_metrics",
    "multilabel_metrics",
    "perplexity",
    "span_metrics",
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
TEXT = ("bleu", "chrf", *_ROUGE)
SPANS = (
    "f1_micro",
    "precision_micro",
    "recall_micro",
    "f1_macro",
    "f1_unlabelled",
)
MULTILABEL = (
    "f1_micro",
    "f1_macro",
    "precision_micro",
    "recall_micro",
    "exact_match",
)
EXTRACTION = ("exact_match", "f1")

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


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
    pairs = torch.tensor(right) * num_classes + torch.tensor(predicted)
    table = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes).double()
    hits = table.diagonal()
    missed, spurious = table.sum(dim=1) - hits, table.sum(dim=0) - hits
    occurs = hits + spurious + missed > 0
    each = {
        "precision": hits / (hits + spurious).clamp_min(1),
        "recall": hits / (hits + missed).clamp_min(1),
        "f1": 2 * hits / (2 * hits + spurious + missed).clamp_min(1),
    }
    accuracy = float(hits.sum()) / len(right)
    values = {}
    for name in CLASSIFICATION:
        kind, _, average = name.partition("_")
        values[name] = float(each[kind][occurs].mean()) if average == "macro" else accuracy
    return values


def multilabel_metrics(predicted: Tensor, right: Tensor) -> dict[str, float]:
    """Judge sets of labels.

    Args:
        predicted: (B, N), 1 where a label is given.
        right: (B, N), 1 where it should be.

    Returns:
        The metrics named in `MULTILABEL`, in [0, 1]. Micro counts all labels of all texts together; macro is
        the mean over the labels that occur among the given or the right ones; `exact_match` is the share of
        texts with exactly the right labels. Where there is nothing to find and nothing is found, all are 1.
    """
    found, there = ({(*place,) for place in each.nonzero().tolist()} for each in (predicted, right))
    labels = {label for _, label in found | there}
    of_each = [
        _overlap({one for one in found if one[1] == label}, {one for one in there if one[1] == label})[2]
        for label in labels
    ]
    precision, recall, f1 = _overlap(found, there)
    same = (predicted == right).all(dim=1)
    return {
        "f1_micro": f1,
        "f1_macro": sum(of_each) / len(labels) if labels else 1.0,
        "precision_micro": precision,
        "recall_micro": recall,
        "exact_match": float(same.float().mean()) if len(same) else 1.0,
    }


def span_metrics(
    predicted: Sequence[Collection[tuple[int, int, str]]], right: Sequence[Collection[tuple[int, int, str]]]
) -> dict[str, float]:
    """Judge labelled spans: one is found if both its ends and its label are right, as in CoNLL 2003.

    Args:
        predicted: for each text, (start, end, label) of each span found in it.
        right: the same of those that are there.

    Returns:
        The metrics named in `SPANS`, in [0, 1]. Micro counts the spans of all texts together; macro is the
        mean over the labels that occur among the predicted or the right ones; `f1_unlabelled` leaves labels
        out of account. Where there is nothing to find and nothing is found, all are 1.
    """
    found = {(index, *span) for index, spans in enumerate(predicted) for span in spans}
    there = {(index, *span) for index, spans in enumerate(right) for span in spans}
    labels = {span[3] for span in found | there}
    of_each = [
        _overlap({span for span in found if span[3] == label}, {span for span in there if span[3] == label})
        for label in labels
    ]
    precision, recall, f1 = _overlap(found, there)
    return {
        "f1_micro": f1,
        "precision_micro": precision,
        "recall_micro": recall,
        "f1_macro": sum(value for _, _, value in of_each) / len(labels) if labels else 1.0,
        "f1_unlabelled": _overlap({span[:3] for span in found}, {span[:3] for span in there})[2],
    }


def extraction_metrics(predicted: Sequence[str], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """Judge answers taken from a text as SQuAD does (Rajpurkar et al. 2016 and 2018, arXiv:1806.03822).

    Answers are compared in lower case, without punctuation and the articles a, an, the.

    Args:
        predicted: the answers; "" for none.
        right: for each of them, those that people gave; none where the text has no answer.

    Returns:
        The metrics named in `EXTRACTION`, in [0, 1]: the share of answers that are the same as one of the
        right ones, and the mean of the best F1 of their words with one of them. To find no answer where there
        is none is 1, and to find one of the two where it is the other is 0.
    """
    exact, f1 = [], []
    for answer, answers in zip(predicted, right, strict=True):
        found = _answer_words(answer)
        expected = [_answer_words(one) for one in answers] or [[]]
        exact.append(float(found in expected))
        f1.append(max(_word_f1(found, one) for one in expected))
    return {"exact_match": sum(exact) / max(1, len(exact)), "f1": sum(f1) / max(1, len(f1))}


def text_metrics(predicted: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Judge written texts by those that people wrote.

    BLEU (Papineni et al. 2002) counts over the corpus, with the words of sacreBLEU's "13a" (Post 2018,
    arXiv:1804.08771) and without smoothing. chrF (Popović 2015) is its F2 over runs of one to six characters,
    likewise over the corpus. ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) are F-measures, the mean
    over the texts of the best that a reference gives; words are runs of letters and digits of any script.

    Args:
        predicted: the texts, at least one.
        references: for each of them, one or more.

    Returns:
        The metrics named in `TEXT`, in [0, 1].
    """
    from torchmetrics.functional.text import chrf_score, rouge_score, sacre_bleu_score

    texts = list(predicted), [list(of_one) for of_one in references]
    rouge = rouge_score(*texts, accumulate="best", normalizer=_words, rouge_keys=_ROUGE)
    bleu = sacre_bleu_score(*texts, tokenize="13a")
    chrf = chrf_score(*texts, n_word_order=0)
    assert isinstance(chrf, Tensor)  # it is a tuple where the score of each sentence is asked for
    return {
        "bleu": float(bleu),
        "chrf": float(chrf),
        **{key: float(rouge[f"{key}_fmeasure"]) for key in _ROUGE},
    }


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


def _overlap(found: Collection[object], there: Collection[object]) -> tuple[float, float, float]:
    """Return precision, recall and F1 of one set against another."""
    both = len(set(found) & set(there))
    precision = both / len(found) if found else float(not there)
    recall = both / len(there) if there else float(not found)
    total = len(found) + len(there)
    return precision, recall, 2 * both / total if total else 1.0


def _answer_words(answer: str) -> list[str]:
    return _ARTICLES.sub(" ", answer.lower().translate(_NO_PUNCTUATION)).split()


def _word_f1(found: list[str], expected: list[str]) -> float:
    if not found or not expected:
        return float(found == expected)
    both = sum((Counter(found) & Counter(expected)).values())
    return 2 * both / (len(found) + len(expected))
