import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch.nn import functional

from roots_kg.encoding.text_encoder import TOKENS_PER_THREAD, TextEncoder, pool_tokens
from roots_kg.errors import UsageError, WeightsError
from roots_kg.weights import find_pretrained

TEXTS = [
    "",
    " ",
    "a",
    "The parcel to Graz never arrived.",
    "THE PARCEL TO GRAZ NEVER ARRIVED!!!",
    "Grüße aus Österreich, naïve café",
    "東京は日本の首都です。",
    "مرحبا بالعالم",
    "🙂🙃 emoji and e\u0301 combining",
    "line one\nline two\ttabbed",
    "supercalifragilisticexpialidocious" * 3,
    "word " * 60,
    "A sentence that is repeated until it nearly fills the window. " * 19,
    "word " * 254,
]


def test_vectors_equal_those_of_sentence_transformers(encoder):
    reference = SentenceTransformer(str(find_pretrained().model.parent), device="cpu")
    expected = reference.encode(TEXTS, convert_to_tensor=True, show_progress_bar=False)
    torch.testing.assert_close(encoder.encode(TEXTS), expected, atol=1e-5, rtol=0)


def test_a_text_has_the_same_vector_alone_as_in_any_batch_and_order(encoder):
    together, reverse = encoder.encode(TEXTS), encoder.encode(TEXTS[::-1]).flip(0)
    alone = torch.cat([encoder.encode([text]) for text in TEXTS])
    torch.testing.assert_close(together, reverse, atol=1e-5, rtol=0)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_every_text_gives_a_vector_of_length_one(encoder):
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.hidden_size)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(TEXTS)))
    assert encoder.encode([]).shape == (0, encoder.hidden_size)


def test_a_text_of_100_000_characters_gives_a_unit_vector_in_which_its_end_counts(encoder):
    start = "Telecommunications administration responsibilities. " * 1000
    whole = (start + "Extraordinary archaeological dinosaurs. " * 2000)[:100_000]
    dinosaurs = encoder.encode(["Extraordinary archaeological dinosaurs."])[0]
    vector, without_end = encoder.encode([whole, start])
    torch.testing.assert_close(vector.norm(), torch.tensor(1.0))
    assert vector @ dinosaurs > without_end @ dinosaurs + 0.1


def test_a_text_longer_than_the_window_is_the_sum_over_its_windows(encoder):
    long = "one two three four five six seven eight nine ten " * 60
    rows = encoder.tokenizer.rows([long])
    assert len(rows) > 1
    total = torch.zeros(encoder.hidden_size)
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([row.input_ids])
            total += encoder.encoder(ids, torch.ones_like(ids, dtype=torch.bool))[0][0].sum(dim=0)
    torch.testing.assert_close(
        encoder.encode([long])[0], functional.normalize(total, dim=0), atol=1e-5, rtol=0
    )


def test_the_untrained_hybrid_reading_gives_the_bidirectional_vectors(encoder):
    expected = encoder.encode(TEXTS[:8])
    torch.testing.assert_close(encoder.encode(TEXTS[:8], "hybrid"), expected, atol=1e-5, rtol=0)
    assert not torch.allclose(encoder.encode(TEXTS[3:4], "causal"), expected[3:4], atol=1e-2)


def test_pooling_sums_the_tokens_that_the_mask_keeps():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    assert pool_tokens(hidden, torch.tensor([[True, True, False]])).tolist() == [[4.0, 6.0]]


def test_a_folder_without_the_files_is_named(tmp_path):
    with pytest.raises(WeightsError, match=tmp_path.name):
        TextEncoder.from_pretrained(folder=tmp_path)


def test_an_unknown_pretrained_model_is_an_error_that_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'roots-base'"):
        TextEncoder.from_pretrained("rootsbase")


@pytest.mark.parametrize("texts", [["a", 7], ["a", None], ("a", b"b"), ["a", ["b", "c"]]])
def test_what_is_no_string_is_named_by_its_index(encoder, texts):
    with pytest.raises(UsageError, match=f"text 1 is of the type {type(texts[1]).__name__}, expected"):
        encoder.encode(texts)


def test_half_a_character_is_named_by_its_index(encoder):
    with pytest.raises(UsageError, match="text 1 is not Unicode: character 2 is half of a pair"):
        encoder.encode(["a", "ab\ud83d"])


def test_one_text_in_place_of_a_list_is_refused_and_not_read_letter_by_letter(encoder):
    with pytest.raises(UsageError, match=r"one text where several are expected \(put it in a list\)"):
        encoder.encode("abc")


def test_a_long_list_of_texts_is_read_in_parts_of_so_many_tokens_a_thread(encoder):
    batches = [batch for batch, _, _ in encoder.hidden_states(TEXTS * 4)]
    budget = TOKENS_PER_THREAD * torch.get_num_threads()
    assert sum(len(batch.rows) for batch in batches) == len(TEXTS) * 4
    assert all(batch.input_ids.numel() <= budget for batch in batches)
    assert len(batches) > 4
