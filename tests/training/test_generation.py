"""Training a model that writes: it learns, can be stopped and taken up, and is loaded as any model is."""

import json
import math
from dataclasses import replace

import pytest
import tokenizers
import torch
from pytorch_lightning.callbacks import Callback

from roots_kg.adaptation.generation.slots import add_slots
from roots_kg.adaptation.generation.writer import SourceTokens
from roots_kg.adaptation.heads.generation import GenerationHead
from roots_kg.adaptation.task import Record, Task, read_records
from roots_kg.encoding.tokenizer_training import TokenizerConfig
from roots_kg.errors import ConfigError, TaskError, UsageError
from roots_kg.model import RootsModel
from roots_kg.training.generation import train_generation
from roots_kg.training.generation_config import GenerationTrainingConfig
from roots_kg.training.generation_data import make_rows, split
from roots_kg.training.generation_module import GenerationModule, _Batches
from roots_kg.training.language_model_module import OptimizerConfig
from roots_kg.training.runs import work_folder
from roots_kg.training.trainer_config import TrainerConfig

MODEL = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 48, "max_positions": 32}
SMALL = GenerationTrainingConfig(
    tokenizer=TokenizerConfig("bpe", 320),
    model={**MODEL, "norm": "pre", "positions": "rotary"},
    optimizer=OptimizerConfig(1e-2, 0.1, 5),
    steps=40,
    average=0.9,
    validate_every=20,
    validation_texts=5,
    beams=2,
)
COLOURS = {"red": "rot", "blue": "blau", "green": "grün", "white": "weiß"}
THINGS = {"dog": "Hund", "tree": "Baum", "ball": "Ball", "table": "Tisch"}


def write(folder, records, head="generation", held=()):
    folder.mkdir(exist_ok=True)
    (folder / "task.yaml").write_text(f"head: {head}\ntrain: train.jsonl\n", encoding="utf-8")
    for name, lines in (("train", records), ("held", held)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return Task.load(folder)


@pytest.fixture(scope="module")
def translation(tmp_path_factory):
    """A task: colours and things, from English to German."""
    records = [
        {"source": f"the {thing} is {colour}", "target": f"der {other} ist {word}"}
        for colour, word in COLOURS.items()
        for thing, other in THINGS.items()
    ]
    return write(tmp_path_factory.mktemp("task") / "colours", records, held=records[::3])


@pytest.fixture(scope="module")
def trained(translation, tmp_path_factory):
    """What a short training gives, and its folder."""
    out = tmp_path_factory.mktemp("trained") / "model"
    config = GenerationTrainingConfig(**{**vars(SMALL), "steps": 120, "validate_every": 60, "smoothing": 0.0})
    return train_generation(translation, config, out, translation.folder / "held.jsonl"), out, config


def test_it_learns_to_write_what_it_has_seen(trained):
    result, _, _ = trained
    assert result.curve[-1]["held_out_loss"] < 0.5 * result.curve[0]["held_out_loss"]
    assert result.best["held_out_bleu"] > 0.9
    assert result.model.predict(["the tree is white"])[0].value == "der Baum ist weiß"
    assert (result.examples, result.left_out) == (16, 0)


def test_the_model_is_loaded_as_any_model_is(trained):
    result, out, _ = trained
    loaded = RootsModel.from_pretrained(out)
    assert loaded.predict(["the dog is red"]) == result.model.predict(["the dog is red"])
    assert not work_folder(out).exists()


def test_the_same_seed_gives_the_same_model(translation, tmp_path):
    found = [train_generation(translation, SMALL, tmp_path / name) for name in "ab"]
    for one, other in zip(*([each.curve for each in found]), strict=True):
        assert {**one, "cpu_seconds": 0} == {**other, "cpu_seconds": 0}


def test_two_processes_that_share_a_batch_learn_what_one_does(translation, tmp_path):
    config = replace(SMALL, model={**SMALL.model, "dropout": 0.0}, steps=12, validate_every=6)
    alone = train_generation(translation, config, tmp_path / "alone")
    two = replace(config, trainer=TrainerConfig(devices=2))
    shared = train_generation(translation, two, tmp_path / "shared")
    weights, other = (found.model.layers.encoder.state_dict() for found in (alone, shared))
    for name, weight in weights.items():
        torch.testing.assert_close(other[name], weight, atol=1e-4, rtol=0, msg=name)
    assert [point["held_out_loss"] for point in shared.curve] == pytest.approx(
        [point["held_out_loss"] for point in alone.curve], abs=1e-4
    )


def test_bfloat16_learns_much_the_same_on_every_device(translation, tmp_path, on):
    config = replace(SMALL, precision="bf16")
    whole = train_generation(translation, SMALL, tmp_path / "whole", accelerator="cpu")
    lower = train_generation(translation, replace(config, trainer=on), tmp_path / "lower")
    assert lower.best["held_out_loss"] == pytest.approx(whole.best["held_out_loss"], rel=0.1)
    assert {weight.device.type for weight in lower.model.layers.encoder.parameters()} == {"cpu"}


class Stop(Callback):
    """Interrupts a run after so many steps."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


def test_a_run_that_was_stopped_goes_on_to_the_same_end(translation, tmp_path):
    whole = train_generation(translation, SMALL, tmp_path / "whole")
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train_generation(translation, SMALL, out, callbacks=[Stop(30)])
    with pytest.raises(UsageError, match="a run that was stopped lies here"):
        train_generation(translation, SMALL, out)
    other = GenerationTrainingConfig(**{**vars(SMALL), "seed": 1})
    with pytest.raises(ConfigError, match="not those of the run"):
        train_generation(translation, other, out, resume=True)
    resumed = train_generation(translation, SMALL, out, resume=True)
    assert [point["held_out_loss"] for point in resumed.curve] == [
        pytest.approx(point["held_out_loss"], rel=1e-4) for point in whole.curve
    ]


def test_it_stops_when_looks_bring_nothing_better(translation, tmp_path):
    config = {**vars(SMALL), "optimizer": OptimizerConfig(1e-9), "patience": 2, "validate_every": 5}
    result = train_generation(translation, GenerationTrainingConfig(**config), tmp_path / "out")
    assert [point["step"] for point in result.curve] == [5, 10, 15]


def test_training_goes_on_from_a_model(trained, translation, tmp_path):
    result, out, _ = trained
    config = {**vars(SMALL), "model": {}, "start": "x", "steps": 2, "optimizer": OptimizerConfig(1e-9)}
    held = translation.folder / "held.jsonl"
    further = train_generation(
        translation, GenerationTrainingConfig(**config), tmp_path / "out", held, start=out
    )
    assert further.best["held_out_loss"] == pytest.approx(result.best["held_out_loss"], rel=1e-3)
    assert further.model.predict(["the tree is white"])[0].value == "der Baum ist weiß"


def test_a_model_of_another_task_is_no_start(trained, translation, small_encoder, tmp_path):
    head = GenerationHead(translation, small_encoder.hidden_size, None)
    model = RootsModel(small_encoder)
    model.heads["colours"] = head.eval()
    model.save_pretrained(tmp_path / "other")
    with pytest.raises(UsageError, match="no model to go on from"):
        train_generation(translation, SMALL, tmp_path / "out", start=tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_names_of_triples_are_copied_though_they_were_never_seen(tmp_path):
    names = ["Ada", "Bo", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal"]
    records = [
        {"triples": [[one, "knows", other]], "target": f"{one} knows {other}."}
        for one in names
        for other in names
        if one != other
    ]
    config = {**vars(SMALL), "orders": 2, "steps": 100, "validate_every": 50}
    task = write(tmp_path / "task", records)
    result = train_generation(task, GenerationTrainingConfig(**config), tmp_path / "out")
    assert result.model.predict(['Xenia_Q | knows | "1,000.5"'])[0].value == "Xenia Q knows 1,000.5."


@pytest.mark.parametrize(
    ("records", "head", "message"),
    [
        ([{"source": "a", "target": "b"}], "generation", "too few different sources"),
        ([{"text": "a", "label": "b"}] * 3, "classification", "has the head 'classification'"),
        (
            [{"source": f"{number} " + "a b c d e f g h i j " * 9, "target": "b"} for number in range(3)],
            "generation",
            "every example is longer than the 32 tokens",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused_and_nothing_is_left(tmp_path, records, head, message):
    task = write(tmp_path / "task", records, head)
    with pytest.raises(TaskError, match=message):
        train_generation(task, SMALL, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["task"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"orders": 0}, "orders must be at least 1"),
        ({"slots": -1}, "slots and patience"),
        ({"smoothing": 1.0}, "smoothing must be"),
        ({"average": -0.1}, "average must be"),
        ({"model": {"vocab_size": 5}}, "leave vocab_size out"),
        ({"start": "x", "model": {"num_layers": 2}}, "leave model out"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GenerationTrainingConfig(**settings)


def test_examples_with_one_source_are_held_out_together(translation):
    head = GenerationHead(translation, 1, None)
    examples = [head.example(record) for record in read_records(translation.train)]
    doubled = [*examples, *examples]
    learned, held = split(doubled, 5, seed=0)
    assert len(held) == 2
    assert len(learned) + len(held) == len(doubled)
    assert not {example.text for example in learned} & {example.text for example in held}


def test_every_row_is_in_one_batch_each_time_through(trained):
    result, _, config = trained
    writer = result.model.head_of()._writer(result.model.layers(["a"], read=False))
    rows = writer.tokens.pairs([writer.tokens.source("a b" * n) for n in range(9)], ["c"] * 9, writer.layout)
    small = GenerationTrainingConfig(**{**vars(config), "batch_tokens": 60})
    batches = _Batches(rows, small, lambda: 0)
    first = batches._time(0)
    assert sorted(number for batch in first for number in batch) == list(range(9))
    assert batches._time(1) != first
    stream, later = iter(batches), iter(_Batches(rows, small, lambda: len(first) + 1))
    expected = [next(stream) for _ in range(2 * len(first))][len(first) + 1 :]
    assert [next(later) for _ in expected] == expected


def test_rows_come_in_several_orders_of_their_triples(tmp_path, trained):
    result, _, _ = trained
    head = result.model.head_of()
    tokens = head._writer(result.model.layers(["a"], read=False)).tokens
    triples = [["a", "r", "b"], ["c", "r", "d"]]
    record = Record({"triples": triples, "target": ["a b", "c d"]}, tmp_path, 1)
    rows = make_rows([head.example(record)], tokens, orders=6)
    assert len(rows.pairs) == 12
    assert len({row.source for row in rows.pairs}) == 2
    assert len(rows.sources) == len(rows.wanted) == 1


def test_names_that_a_target_writes_in_other_words_stand_without_slots_in_its_source(tmp_path, trained):
    result, _, _ = trained
    head = result.model.head_of()
    tokenizer = tokenizers.Tokenizer.from_str(result.model.layers.encoder.tokenizer.to_json())
    add_slots(tokenizer, 4)
    tokens = SourceTokens(tokenizer.to_str(), 64)
    record = Record({"triples": [["a", "r", "b"]], "target": ["a c", "a b"]}, tmp_path, 1)
    plain, asking = (make_rows([head.example(record)], tokens, plain_names=share) for share in (0.0, 1.0))
    slots = set(tokens.slot_ids)

    def count(rows):
        return [sum(token in slots for token in row.source) for row in rows.pairs]

    assert count(plain) == [2, 2]
    assert count(asking) == [1, 2]


def test_texts_are_found_in_several_orders_of_the_triples_and_judged_by_the_mean_over_them(trained):
    result, _, _ = trained
    writer = result.model.head_of()._writer(result.model.layers(["a"], read=False))
    several = replace(writer, orders=6)
    source, single = (
        writer.tokens.source(text) for text in ("red | r | dog\nblue | r | tree", "red | r | dog")
    )
    assert several.write([single]) == writer.write([single])
    own, other = several._orders(source)
    assert own == source
    assert set(other.triples) == set(source.triples)
    assert other.triples != source.triples
    ((best, *more),) = several.write([source])
    found = {text for each in (own, other) for text, _ in writer.write([each])[0]}
    assert {text for text, _ in (best, *more)} <= found
    pairs = [writer._likelihoods([each], [best[0]])[0] for each in (own, other)]
    total, count = (sum(part) / 2 for part in zip(*pairs, strict=True))
    assert best[1] == pytest.approx(math.exp(total / count))
    assert several.score([source], [best[0]]) == pytest.approx([best[1]])


def test_the_average_is_that_of_the_weights(trained):
    result, _, config = trained
    writer = result.model.head_of()._writer(result.model.layers(["a"], read=False))
    module = GenerationModule(writer, [], config)
    assert module.averaged.trunk is module.averaged_trunk
    assert not any(weight.requires_grad for weight in module.averaged_trunk.parameters())
    for one, other in zip(module.trunk.parameters(), module.averaged_trunk.parameters(), strict=True):
        assert torch.equal(one, other)
