import pytest
import torch
from torch.nn import functional

from roots_kg.adaptation import few_shot
from roots_kg.adaptation.few_shot import FewShotConfig, Trust, choose_trust, fit_linear, sample_support

CLASSES, SIZE = 4, 64


def around(centres, labels, spread, generator):
    """Return unit vectors scattered around the centres of their classes."""
    noise = functional.normalize(torch.randn(len(labels), centres.shape[1], generator=generator), dim=1)
    return functional.normalize(centres[labels] + spread * noise, dim=1)


def unit(*shape, generator):
    return functional.normalize(torch.randn(*shape, generator=generator), dim=-1)


def support(shots, seed=0):
    """Return a generator, the labels of a support set, and a random centre for each class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(CLASSES).repeat_interleave(shots)
    return generator, labels, unit(CLASSES, SIZE, generator=generator)


@pytest.mark.parametrize("name_weight", [0.0, 0.5])
def test_leaving_one_out_equals_computing_everything_again_without_it(name_weight):
    generator, labels, centres = support(3)
    labels = torch.cat([labels, torch.tensor([0, 0])])[
        :-3
    ]  # classes of different sizes, one of a single example
    vectors, names = around(centres, labels, 1.0, generator), unit(CLASSES, SIZE, generator=generator)
    assert sorted(torch.bincount(labels).tolist()) == [2, 3, 3, 3]
    vectors, labels = torch.cat([vectors, vectors[:1]]), torch.cat([labels, torch.tensor([4])])
    names = torch.cat([names, unit(1, SIZE, generator=generator)])
    expected = torch.zeros(len(labels), 5)
    for left_out in range(len(labels)):
        kept = torch.arange(len(labels)) != left_out
        for label in range(5):
            members = vectors[kept & (labels == label)]
            prototype = functional.normalize(members.sum(dim=0), dim=0)
            weight = functional.normalize(prototype + name_weight * names[label], dim=0)
            expected[left_out, label] = vectors[left_out] @ weight
    found = few_shot._left_out_cosines(vectors, labels, names, name_weight)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_leave_one_out_accuracy_on_noise_is_no_better_than_chance():
    generator, labels, _ = support(8)
    noise, nothing = unit(len(labels), SIZE, generator=generator), torch.zeros(len(labels), SIZE)
    names = torch.zeros(CLASSES, SIZE)
    trust, _ = choose_trust(noise, nothing, labels, names, names, FewShotConfig())
    assert trust.accuracy < 0.5
    included = noise @ functional.normalize(few_shot.class_means(noise, labels, CLASSES), dim=1).T
    assert (included.argmax(dim=1) == labels).float().mean() > 0.8


@pytest.mark.parametrize("seed", range(6))
def test_random_knowledge_beside_good_text_is_not_trusted(seed):
    generator, labels, centres = support(5, seed)
    text = around(centres, labels, 0.8, generator)
    noise = unit(len(labels), SIZE, generator=generator)
    nothing = torch.zeros(CLASSES, SIZE)
    trust, text_only = choose_trust(text, noise, labels, nothing, nothing, FewShotConfig())
    assert trust.knowledge_weight == 0
    assert trust == text_only


def test_random_knowledge_beside_poor_text_is_seldom_trusted():
    trusted = 0
    for seed in range(60):
        generator, labels, centres = support(5, seed)
        text = around(centres, labels, 2.0, generator)
        noise = unit(len(labels), SIZE, generator=generator)
        nothing = torch.zeros(CLASSES, SIZE)
        trust, _ = choose_trust(text, noise, labels, nothing, nothing, FewShotConfig())
        trusted += trust.knowledge_weight > 0
    assert trusted <= 9  # one standard error lets in about one in seven; no margin at all, one in three


@pytest.mark.parametrize("seed", range(6))
def test_knowledge_that_tells_the_classes_apart_where_text_cannot_is_trusted(seed):
    generator, labels, centres = support(5, seed)
    text = unit(len(labels), SIZE, generator=generator)
    knowledge = around(centres, labels, 0.5, generator)
    nothing = torch.zeros(CLASSES, SIZE)
    trust, text_only = choose_trust(text, knowledge, labels, nothing, nothing, FewShotConfig())
    assert trust.knowledge_weight > 0
    assert trust.accuracy == 1.0
    assert text_only.accuracy < 0.7


def test_without_any_knowledge_its_weight_is_zero():
    generator, labels, centres = support(3)
    text, nothing = around(centres, labels, 0.5, generator), torch.zeros(len(labels), SIZE)
    names = torch.zeros(CLASSES, SIZE)
    assert choose_trust(text, nothing, labels, names, names, FewShotConfig())[0].knowledge_weight == 0


def test_label_names_are_trusted_where_they_say_what_the_class_is_and_not_where_they_mislead():
    generator, labels, centres = support(2)
    text, nothing = around(centres, labels, 1.5, generator), torch.zeros(len(labels), SIZE)
    no_names = torch.zeros(CLASSES, SIZE)
    good, _ = choose_trust(text, nothing, labels, centres, no_names, FewShotConfig())
    misleading, _ = choose_trust(text, nothing, labels, centres.roll(1, dims=0), no_names, FewShotConfig())
    assert good.name_weight == 2.0
    assert misleading.name_weight == 0.0
    assert good.accuracy > misleading.accuracy


def test_only_weights_among_the_candidates_are_chosen():
    generator, labels, centres = support(3)
    text = around(centres, labels, 1.0, generator)
    config = FewShotConfig(name_weights=(0.3,), knowledge_weights=(0.0, 0.7))
    trust, _ = choose_trust(text, around(centres, labels, 0.1, generator), labels, centres, centres, config)
    assert (trust.name_weight, trust.knowledge_weight) == (0.3, 0.7)


def test_the_fit_starts_from_prototypes_plus_names_with_knowledge_beside_them():
    generator = torch.Generator().manual_seed(0)
    text, text_names, knowledge, knowledge_names = unit(4, 2, 8, generator=generator)
    trust = Trust(name_weight=0.5, knowledge_weight=0.64, accuracy=1.0)
    start = few_shot.initial_weights((3 * text, text_names), (5 * knowledge, knowledge_names), trust)
    first, second = text + 0.5 * text_names, knowledge + 0.5 * knowledge_names
    torch.testing.assert_close(start[:, :8], 0.6 * functional.normalize(first, dim=1))
    torch.testing.assert_close(start[:, 8:], 0.8 * functional.normalize(second, dim=1))


def test_the_weight_of_knowledge_is_its_share_in_a_cosine():
    text, knowledge = unit(2, 3, 8, generator=torch.Generator().manual_seed(0))
    both = few_shot.features(text, knowledge, 0.3)
    torch.testing.assert_close(both @ both.T, 0.7 * text @ text.T + 0.3 * knowledge @ knowledge.T)


@pytest.mark.parametrize("weights", [(0.0, 1.0), (0.5,), (0.0, -0.1)])
def test_candidates_for_the_weight_of_knowledge_hold_zero_and_lie_below_one(weights):
    with pytest.raises(ValueError, match="knowledge_weights"):
        FewShotConfig(knowledge_weights=weights)


def test_the_mean_of_a_class_without_examples_is_zero():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    means = few_shot.class_means(vectors, torch.tensor([0, 0, 2]), 3)
    assert means.tolist() == [[0.5, 0.5], [0.0, 0.0], [2.0, 2.0]]


def loss_of(inputs, labels, weight, bias, start, config):
    fit = functional.cross_entropy(config.scale * (inputs @ weight.T + bias), labels)
    return float(fit + config.regularisation / len(start) * (weight - start).square().sum())


def test_the_fit_lowers_its_loss_and_fits_examples_that_prototypes_do_not():
    generator, labels, centres = support(6)
    inputs = around(centres, labels, 3.0, generator)
    start = functional.normalize(few_shot.class_means(inputs, labels, CLASSES), dim=1).roll(1, dims=0)
    config = FewShotConfig()
    fitted = fit_linear(inputs, labels, start, config)
    before = loss_of(inputs, labels, start, torch.zeros(CLASSES), start, config)
    assert loss_of(inputs, labels, fitted.weight, fitted.bias, start, config) < 0.5 * before
    assert ((inputs @ fitted.weight.T + fitted.bias).argmax(dim=1) == labels).float().mean() > 0.9


def test_the_stronger_the_regularisation_the_nearer_the_fit_stays_to_its_start():
    generator, labels, centres = support(4)
    inputs, start = around(centres, labels, 2.0, generator), unit(CLASSES, SIZE, generator=generator)
    moved = [
        float(
            (fit_linear(inputs, labels, start, FewShotConfig(regularisation=strength)).weight - start).norm()
        )
        for strength in (0.1, 1.0, 10.0, 1000.0)
    ]
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] < 0.1 * moved[0]


def test_the_fit_leaves_its_start_and_the_number_of_threads_as_they_were():
    generator, labels, centres = support(2)
    inputs, start = around(centres, labels, 1.0, generator), centres.clone()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.inference_mode(False), torch.no_grad():
            fit_linear(inputs, labels, start, FewShotConfig())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(start, centres)


def test_the_support_has_so_many_examples_of_each_class_or_all_there_are():
    labels = ["b"] * 7 + ["a"] * 9 + ["c"] * 2
    chosen = sample_support(labels, 3, seed=0)
    assert chosen == sorted(set(chosen))
    assert [sum(labels[index] == label for index in chosen) for label in "abc"] == [3, 3, 2]


def test_the_draw_of_the_support_depends_on_the_seed_alone():
    labels = ["a", "b"] * 20
    torch.manual_seed(1)
    first = sample_support(labels, 5, seed=3)
    torch.manual_seed(2)
    assert sample_support(labels, 5, seed=3) == first
    assert len({tuple(sample_support(labels, 5, seed=seed)) for seed in range(5)}) == 5


def test_an_example_that_is_alone_in_its_class_leaves_nothing_behind():
    """Ten examples a class, of which one has knowledge: without it, its class knows nothing."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat_interleave(10)
    knowledge = torch.zeros(20, 64)
    knowledge[0] = functional.normalize(torch.randn(64, generator=generator), dim=0)
    names = functional.normalize(torch.randn(2, 64, generator=generator), dim=1)
    cosines = few_shot._left_out_cosines(knowledge, labels, names, 1.0)
    assert cosines[0, 0] == pytest.approx(float(knowledge[0] @ names[0]), abs=1e-6)
