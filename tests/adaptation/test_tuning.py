import copy

import pytest
import torch

from roots_kg.adaptation import sample_tasks
from roots_kg.adaptation.contract import encode_with
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.classification import ClassificationHead
from roots_kg.adaptation.objective import HeadObjective
from roots_kg.adaptation.task import Task
from roots_kg.adaptation.tuning import TuneConfig, _held_out, _Training, tune
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.errors import TaskError, UsageError
from roots_kg.fusion.encoder import KnowledgeEncoder
from roots_kg.registry import get_head

SHORT = TuneConfig(rank=4, learning_rate=5e-3, passes=4, steps=16, looks=2)
FIT = FewShotConfig()
CONSONANTS = "bcdfghjklmnpqrstvwxz"


@pytest.fixture
def random_layers(small_encoder):
    """Layers 1 and 2 with random weights, that know letters only."""
    encoder = TextEncoder(small_encoder.encoder, small_encoder.tokenizer, None, "bidirectional")
    return KnowledgeEncoder(encoder.requires_grad_(False).eval()).eval()


def words(seed, count=60):
    """Return texts of random letters, labelled by the one vowel among them, which is an e or an o."""
    generator = torch.Generator().manual_seed(seed)
    records = []
    for vowel in "eo" * (count // 2):
        letters = [CONSONANTS[number] for number in torch.randint(20, (5,), generator=generator).tolist()]
        place = int(torch.randint(6, (1,), generator=generator))
        records.append(
            {"text": "".join([*letters[:place], vowel, *letters[place:]]), "label": f"has {vowel}"}
        )
    return records


@pytest.fixture
def spelling(random_layers, read):
    """A head for texts that random weights tell apart badly, and its support set."""
    head = ClassificationHead(Task("spelling", "classification"), random_layers.encoder.hidden_size, None)
    return head, read(head, words(0))


def accuracy(layers, head, support, query):
    encode = encode_with(layers, head)
    head.fit(support, encode, FIT)
    found = head.decode(encode([example.text for example in query]))
    return head.metrics(found, [example.target for example in query])["accuracy"]


def test_a_tuned_encoder_tells_apart_what_it_could_not(random_layers, spelling, read):
    head, support = spelling
    query = read(head, words(1, 200))
    before = accuracy(random_layers, head, support, query)
    longer = TuneConfig(learning_rate=2e-2, passes=30, looks=6)
    found = tune(random_layers, head, support, FIT, longer)
    assert found.told["tuned"]
    assert found.told["held_out_accuracy"] >= found.told["held_out_accuracy_before"]
    tuned = KnowledgeEncoder(random_layers.encoder.with_adapter(found.adapter)).eval()
    assert accuracy(tuned, head, support, query) > before + 0.1


def test_layers_are_after_tuning_what_they_were_before(random_layers, spelling):
    head, support = spelling
    encoder, weights = random_layers.encoder, copy.deepcopy(random_layers.state_dict())
    torch.manual_seed(5)
    tune(random_layers, head, support, FIT, SHORT)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    assert random_layers.encoder is encoder
    assert random_layers.reading is None
    assert not any(part.training for part in random_layers.modules())
    assert all(part.p == 0 for part in random_layers.modules() if isinstance(part, torch.nn.Dropout))
    assert all(torch.equal(weights[name], weight) for name, weight in random_layers.state_dict().items())


def test_layers_are_what_they_were_when_tuning_fails(random_layers, spelling, monkeypatch):
    head, support = spelling
    encoder = random_layers.encoder
    monkeypatch.setattr(_Training, "_batches", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tune(random_layers, head, support, FIT, SHORT)
    assert random_layers.encoder is encoder
    assert not encoder.encoder.trunk.training


def test_the_same_seed_gives_the_same_adapter_and_another_another(random_layers, spelling):
    head, support = spelling

    def adapter(seed):
        training = _Training(random_layers, head, random_layers.encoder, support, FIT, TuneConfig(seed=seed))
        training.run_pass()
        return torch.cat([weight.flatten() for weight in training.adapter.parameters()])

    encoder = random_layers.encoder
    found = []
    for seed in (0, 0, 1):
        random_layers.encoder = encoder
        found.append(adapter(seed))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_where_tuning_does_harm_the_encoder_stays_as_it_was(random_layers, read):
    class Worse(ClassificationHead):
        """A head that is judged to be worse whenever the encoder has been tuned."""

        def judge(self, predictions, targets):
            return {"accuracy": 0.9 if random_layers.encoder is encoder else 0.8}

    encoder = random_layers.encoder
    head = Worse(Task("spelling", "classification"), encoder.hidden_size, None)
    found = tune(random_layers, head, read(head, words(0)), FIT, SHORT)
    assert found.adapter is None
    assert found.told["tuned"] is False
    assert found.told["passes"] == 0
    assert found.told["held_out_accuracy"] == found.told["held_out_accuracy_before"] == 0.9


def test_with_one_example_a_label_nothing_can_be_held_out_and_nothing_is_tuned(random_layers, read):
    head = ClassificationHead(Task("letters", "classification"), random_layers.encoder.hidden_size, None)
    support = read(head, [{"text": letter * 3, "label": letter} for letter in "abcdefgh"])
    found = tune(random_layers, head, support, FIT, SHORT)
    assert found.adapter is None
    assert found.told == {"tuned": False, "held_out": 0}


def test_a_fifth_is_held_out_and_one_of_each_label_is_not(random_layers, read):
    head = ClassificationHead(Task("letters", "classification"), random_layers.encoder.hidden_size, None)
    records = [{"text": letter * n, "label": letter} for letter in "abcde" for n in (1, 2, 3)]
    records += [{"text": "z", "label": "z"}]
    support = read(head, records)
    head.labels = list("abcdez")
    held = _held_out(support, head, TuneConfig())
    assert len(held) == 3
    assert {support[index].target for index in range(len(support)) if index not in held} == set("abcdez")
    assert len(_held_out(support, head, TuneConfig(held_out=0.99))) == 10


def test_a_loss_that_is_not_a_number_is_an_error_that_names_the_head(random_layers, spelling, monkeypatch):
    head, support = spelling
    monkeypatch.setattr(
        ClassificationHead, "loss", lambda self, encoded, targets: encoded.features.sum() * torch.nan
    )
    with pytest.raises(TaskError, match="the loss of the head 'classification' is nan"):
        tune(random_layers, head, support, FIT, SHORT)


def test_a_head_that_does_not_learn_through_the_encoder_is_refused(random_layers, spelling, monkeypatch):
    head, support = spelling
    monkeypatch.setattr(
        ClassificationHead,
        "objective",
        lambda self, support, encode: HeadObjective(self, [(each.text, each.target) for each in support]),
    )
    monkeypatch.setattr(ClassificationHead, "loss", lambda self, encoded, targets: self.bias.sum())
    with pytest.raises(TaskError, match="does not learn through the encoder"):
        tune(random_layers, head, support, FIT, SHORT)


def test_progress_is_told_pass_by_pass(random_layers, spelling):
    head, support = spelling
    told = []
    tune(random_layers, head, support, FIT, SHORT, lambda done, most: told.append((done, most)))
    first = [done for done, most in told if most == told[0][1]]
    assert first[:3] == [1, 2, 3]
    assert all(done <= most for done, most in told)


def test_an_encoder_that_cannot_be_tuned_is_refused(random_layers, spelling, small_encoder):
    head, support = spelling
    with pytest.raises(UsageError, match="read in the hybrid way"):
        tune(KnowledgeEncoder(small_encoder), head, support, FIT, SHORT)
    training = _Training(random_layers, head, random_layers.encoder, support, FIT, SHORT)
    tuned = random_layers.encoder.with_adapter(training.adapter.eval())
    with pytest.raises(UsageError, match="has been tuned before"):
        tune(KnowledgeEncoder(tuned), head, support, FIT, SHORT)


def test_a_head_that_reads_no_vectors_is_refused(random_layers):
    head = get_head("generation")(Task("write", "generation"), random_layers.encoder.hidden_size, None)
    with pytest.raises(TaskError, match="'generation' reads no vectors"):
        tune(random_layers, head, [], FIT, SHORT)


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("classification", sample_tasks.CLASSIFICATION),
        ("classification", sample_tasks.PAIRS),
        ("tagging", sample_tasks.TAGGING),
        ("span", sample_tasks.SPAN),
        ("relation", sample_tasks.RELATION),
    ],
)
def test_the_encoder_can_be_tuned_for_heads_of_many_kinds(text_layers, read, name, sample):
    head = get_head(name)(
        Task("sample", name, labels=dict(sample.labels)), text_layers.encoder.hidden_size, None
    )
    support = read(head, sample.train)
    encode = encode_with(text_layers, head)
    head.fit(support, encode, FIT)
    training = _Training(text_layers, head, text_layers.encoder, support, FIT, TuneConfig(steps=1, passes=2))
    try:
        training.run_pass()
        training.run_pass()
        with training.settled():
            head.fit(support, encode, FIT)
            encoded = encode([example.text for example in support])
            assert len(head.decode(encoded)) == len(support)
    finally:
        text_layers.encoder = training._encoder
    changed = [weight for name, weight in training.adapter.named_parameters() if not name.startswith("down")]
    assert any(weight.any() for weight in changed)


@pytest.mark.parametrize("stated", [{"rank": 0}, {"held_out": 0.0}, {"dropout": 1.0}, {"learning_rate": 0.0}])
def test_settings_out_of_range_are_refused(stated):
    with pytest.raises(ValueError, match=r"must be at least 1|are shares below 1"):
        TuneConfig(**stated)
