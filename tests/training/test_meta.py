from dataclasses import replace

import pytest
import torch
from pytorch_lightning.callbacks import Callback

from roots_kg.adaptation.episodes import EpisodeConfig
from roots_kg.adaptation.meta_learning.algorithms import ALGORITHMS
from roots_kg.adaptation.meta_learning.learner import LearnerConfig, MetaLearner
from roots_kg.adaptation.modules import BankShape
from roots_kg.adaptation.task import Task
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.errors import DataError, TaskError, UsageError
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.training.meta import train_meta
from roots_kg.training.meta_config import GraphEpisodes, MetaTrainingConfig, TrunkConfig
from roots_kg.training.meta_texts import graph_task
from roots_kg.training.runs import Run
from roots_kg.training.trainer_config import TrainerConfig

LEARNER = LearnerConfig(algorithm="protomaml", steps=2, bank=BankShape(2, 2, 2), hidden=8)
EPISODES = EpisodeConfig(way=(2, 3), shots=(1, 2), examples=4)
CONFIG = MetaTrainingConfig(
    learner=LEARNER, episodes=EPISODES, tasks=3, steps=4, held_out=0.3, validation=4, seed=1
)
TRUNK = replace(
    CONFIG, learner=LearnerConfig(), trunk=TrunkConfig(train="all"), tasks=1, graph=GraphEpisodes(share=0.0)
)
VERBS = "sing walk read swim cook draw plan rest".split()


@pytest.fixture(scope="module")
def letters_encoder(small_encoder):
    """A text encoder with random weights that reads texts as a whole."""
    return TextEncoder(small_encoder.encoder, small_encoder.tokenizer).requires_grad_(False).eval()


@pytest.fixture(scope="module")
def verbs(write_task, tmp_path_factory):
    """A task of eight labels with six examples each."""
    names = "ida ole per eva jon liv".split()
    lines = [{"text": f"{name} will {verb}", "label": verb} for verb in VERBS for name in names]
    folder = tmp_path_factory.mktemp("tasks") / "verbs"
    return Task.load(write_task(folder, {"head": "classification", "description": "what they do"}, lines))


def state_of(result):
    trained = result.trained if isinstance(result.trained, TextEncoder) else result.trained.learner
    return trained.state_dict()


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("config", [CONFIG, TRUNK], ids=["learner", "trunk"])
def test_training_is_the_same_whenever_it_is_run_and_leaves_the_encoder_alone(config, letters_encoder, verbs):
    before = {name: value.clone() for name, value in letters_encoder.state_dict().items()}
    first, second = (train_meta(letters_encoder, config, [verbs]) for _ in range(2))
    assert same(state_of(first), state_of(second))
    assert first.judgements == second.judgements
    assert same(letters_encoder.state_dict(), before)
    assert not any(value.requires_grad for value in letters_encoder.parameters())
    other = train_meta(letters_encoder, replace(config, seed=2), [verbs])
    assert not same(state_of(first), state_of(other))


@pytest.mark.parametrize("config", [CONFIG, TRUNK], ids=["learner", "trunk"])
def test_two_processes_that_share_episodes_learn_what_one_does(config, letters_encoder, verbs):
    config = replace(config, tasks=4)
    alone = train_meta(letters_encoder, config, [verbs])
    shared = train_meta(letters_encoder, replace(config, trainer=TrainerConfig(devices=2)), [verbs])
    for name, weight in state_of(alone).items():
        if "gate" not in name:  # which is not trained
            torch.testing.assert_close(state_of(shared)[name], weight, atol=1e-5, rtol=0, msg=name)
    assert shared.loss == pytest.approx(alone.loss, abs=1e-5)
    assert [step for step, _, _ in shared.judgements] == [step for step, _, _ in alone.judgements]


@pytest.mark.parametrize("trains", ["nothing", "adapter", "all"])
def test_the_same_is_learnt_on_every_device(letters_encoder, verbs, on, trains):
    config = CONFIG if trains == "nothing" else replace(TRUNK, trunk=TrunkConfig(train=trains))
    alone = train_meta(letters_encoder, config, [verbs], accelerator="cpu")
    found = train_meta(letters_encoder, replace(config, trainer=on), [verbs])
    assert found.loss == pytest.approx(alone.loss, rel=0.01)
    assert {value.device.type for value in state_of(found).values()} == {"cpu"}


@pytest.mark.parametrize("held_out", [0.0, 0.3])
@pytest.mark.parametrize("config", [CONFIG, TRUNK], ids=["learner", "trunk"])
def test_ten_steps_are_five_then_five_bit_for_bit(config, held_out, letters_encoder, verbs, tmp_path):
    config = replace(config, steps=10, validate_every=5, held_out=held_out)
    whole = train_meta(letters_encoder, config, [verbs])

    class Stop(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 6:
                raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        train_meta(letters_encoder, config, [verbs], run=Run(tmp_path, every=5), callbacks=[Stop()])
    resumed = train_meta(letters_encoder, config, [verbs], run=Run(tmp_path, resume=True))
    assert same(state_of(resumed), state_of(whole))
    assert resumed.judgements == whole.judgements
    assert len(whole.judgements) == (3 if held_out else 0)
    assert resumed.loss == whole.loss


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_learns_something(algorithm, letters_encoder, verbs):
    config = replace(CONFIG, learner=replace(LEARNER, algorithm=algorithm), held_out=0.0)
    result = train_meta(letters_encoder, config, [verbs])
    torch.manual_seed(config.seed)
    new = MetaLearner(2 * letters_encoder.hidden_size, 0, config.learner)
    assert not same(result.trained.learner.state_dict(), new.state_dict())
    assert result.judgements == []
    assert result.labels == (8, 0)


def test_training_lowers_the_loss(letters_encoder, verbs):
    config = replace(CONFIG, held_out=0.0, learning_rate=0.02)
    short, long = (train_meta(letters_encoder, replace(config, steps=steps), [verbs]) for steps in (2, 60))
    assert long.loss < 0.9 * short.loss


def test_what_is_kept_is_what_was_best_on_held_out_labels(letters_encoder, verbs):
    config = replace(CONFIG, steps=6, validate_every=2, learning_rate=1.0)
    result = train_meta(letters_encoder, config, [verbs])
    assert [step for step, _, _ in result.judgements] == [0, 2, 4, 6]
    assert result.labels == (6, 2)
    best = max(result.judgements, key=lambda judgement: judgement[1])[0]
    if best == 0:
        assert not result.trained.learner.network.last.weight.any()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(("part", "embeddings"), [("all", False), ("all", True), ("adapter", False)])
def test_a_trunk_is_trained_whole_or_by_an_adapter(part, embeddings, precision, letters_encoder, verbs):
    config = replace(
        TRUNK,
        trunk=TrunkConfig(train=part, rank=2, embeddings=embeddings),
        held_out=0.0,
        precision=precision,
        learning_rate=0.01,
    )
    trained = train_meta(letters_encoder, config, [verbs]).trained
    before = letters_encoder.encoder.trunk.state_dict()
    moved = {
        name for name, value in trained.encoder.trunk.state_dict().items() if not value.equal(before[name])
    }
    tables = {name for name in before if "embedding" in name}
    assert moved
    assert bool(moved & tables) == embeddings
    assert {value.dtype for value in trained.state_dict().values()} == {torch.float32}
    assert not any(weight.requires_grad for weight in trained.parameters())
    assert trained.encode(["ida will sing"]).isfinite().all()


def test_a_graph_alone_is_enough_and_so_are_both(letters_encoder, bundle, verbs):
    config = replace(CONFIG, graph=GraphEpisodes(tails=2), held_out=0.0)
    alone = train_meta(letters_encoder, config, graph=bundle)
    assert alone.labels == (
        6,
        0,
    )  # towns in six countries; currencies and regions have one country each or two
    assert alone.trained.learner.knowledge_size == letters_encoder.hidden_size
    assert train_meta(letters_encoder, config, [verbs], bundle).labels == (14, 0)


def test_texts_of_the_graph_never_tell_what_makes_their_class(triples):
    graph = KnowledgeGraph.from_triples([*triples, ("Graz", "lies_on", "Mur"), ("Graz", "near", "Austria")])
    tasks = list(graph_task(graph, GraphEpisodes(tails=2), 4, seed=0))
    assert [(task.name, task.description) for task in tasks] == [("graph: located_in", "located in")]
    told = dict(zip(tasks[0].texts, tasks[0].labels, strict=True))
    assert set(told.values()) == {"Austria", "Germany", "Sweden", "Norway", "Peru", "Chile"}
    assert all(label not in text for text, label in told.items())
    assert any("Graz" in text and "Mur" in text for text in told)
    assert told["Linz"] == "Austria"  # nothing else is known of it


def test_a_head_with_several_tails_is_no_example():
    triples = [(f"h{number}", "in", tail) for tail in ("a", "b") for number in range(5 * (tail == "b"), 9)]
    graph = KnowledgeGraph.from_triples(triples)
    assert list(graph_task(graph, GraphEpisodes(tails=2), 5, seed=0)) == []


def test_what_cannot_be_learned_from_is_named(
    letters_encoder, small_encoder, verbs, bundle, questions_folder, write_task, tmp_path
):
    with pytest.raises(UsageError, match="nothing to learn from"):
        train_meta(letters_encoder, CONFIG)
    with pytest.raises(TaskError, match="two tasks are called 'verbs'"):
        train_meta(letters_encoder, CONFIG, [verbs, verbs])
    with pytest.raises(TaskError, match="its head is 'answer', and another task's is 'classification'"):
        train_meta(letters_encoder, CONFIG, [verbs, Task.load(questions_folder)], bundle)
    with pytest.raises(TaskError, match="no single label a text"):
        train_meta(letters_encoder, CONFIG, [Task.load(questions_folder)], bundle)
    few = write_task(tmp_path / "few", {"head": "classification"}, [{"text": "a", "label": "b"}] * 3)
    with pytest.raises(DataError, match="too few labels have 4 examples or more"):
        train_meta(letters_encoder, CONFIG, [Task.load(few)])
    with pytest.raises(UsageError, match="in the way 'hybrid'"):
        train_meta(small_encoder, TRUNK, [verbs])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"held_out": 1.0}, "held_out must be from 0 to below 1"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"tasks": 0}, "at least 1"),
        ({"precision": "bf16-mixed"}, "none is trained"),
        ({"trunk": TrunkConfig(train="all")}, "the algorithm is prototypical, found protomaml"),
    ],
)
def test_settings_without_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **settings)
