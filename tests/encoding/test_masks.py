import torch

from roots_kg.encoding import masks

# the second text has one token less, and a place of padding
ATTENTION = torch.tensor([[True, True, True, True], [True, True, True, False]])


def test_bidirectional_lets_every_token_see_every_token_and_none_the_padding():
    mask = masks.bidirectional(ATTENTION)
    assert mask.shape == (2, 1, 1, 4)
    assert mask[0].all()
    assert mask[1].flatten().tolist() == [True, True, True, False]


def test_causal_lets_a_token_see_itself_and_its_left():
    seen = masks.causal(ATTENTION)[:, 0].int().tolist()
    assert seen[0] == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert seen[1] == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]]


def test_prefix_opens_the_first_tokens_to_all_and_keeps_the_rest_causal():
    seen = masks.prefix(ATTENTION, torch.tensor([2, 3]))[:, 0].int().tolist()
    assert seen[0] == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert seen[1] == [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0]]


def test_an_empty_prefix_is_causal_and_a_whole_one_bidirectional():
    causal, whole = masks.causal(ATTENTION), masks.bidirectional(ATTENTION).expand(2, 1, 4, 4)
    assert torch.equal(masks.prefix(ATTENTION, torch.tensor([0, 0])), causal)
    assert torch.equal(masks.prefix(ATTENTION, torch.tensor([4, 4])), whole)


def test_a_mask_of_integers_means_the_same_as_one_of_booleans():
    for mask in (masks.bidirectional, masks.causal):
        assert torch.equal(mask(ATTENTION.long()), mask(ATTENTION))
