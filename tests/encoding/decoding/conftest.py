"""Small random language models, in transformers and with the same weights in our trunk."""

from types import SimpleNamespace

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel

from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.transformer import Transformer, TransformerConfig

VOCAB, SIZE, LAYERS, HEADS, INNER, POSITIONS = 97, 32, 3, 4, 64, 64
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": SIZE,
    "num_layers": LAYERS,
    "num_heads": HEADS,
    "intermediate_size": INNER,
    "max_positions": POSITIONS,
}


def gpt2():
    """A pre-norm model with tied embeddings."""
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=VOCAB,
        n_positions=POSITIONS,
        n_embd=SIZE,
        n_layer=LAYERS,
        n_head=HEADS,
        n_inner=INNER,
        initializer_range=0.4,
        bos_token_id=None,
        eos_token_id=None,
    )
    theirs = GPT2LMHeadModel(config).eval()
    ours = Transformer(
        TransformerConfig(**SHAPE, token_types=0, layer_norm_eps=1e-5, norm="pre", activation="gelu_tanh")
    )
    state = {name.removeprefix("transformer."): value for name, value in theirs.state_dict().items()}
    named = {
        "token_embedding.weight": state["wte.weight"],
        "position_embedding.weight": state["wpe.weight"],
        "norm.weight": state["ln_f.weight"],
        "norm.bias": state["ln_f.bias"],
    }
    parts = {
        "query_key_value": "attn.c_attn",
        "attention_output": "attn.c_proj",
        "attention_norm": "ln_1",
        "intermediate": "mlp.c_fc",
        "output": "mlp.c_proj",
        "output_norm": "ln_2",
    }
    for layer in range(LAYERS):
        for part, name in parts.items():
            for kind in ("weight", "bias"):
                named[f"blocks.{layer}.{part}.{kind}"] = state[f"h.{layer}.{name}.{kind}"].t()
    ours.load_state_dict(named)
    head = LanguageModelHead(SIZE, VOCAB, transform=False, bias=False)
    return SimpleNamespace(theirs=theirs, trunk=ours.eval(), head=head.eval())


def bert():
    """A post-norm model with BERT's output layer."""
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=VOCAB,
        hidden_size=SIZE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        max_position_embeddings=POSITIONS,
        initializer_range=0.15,
        is_decoder=True,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    theirs = BertLMHeadModel(config).eval()
    state = theirs.state_dict()
    ours = Transformer(TransformerConfig(**SHAPE))
    names = {
        "token_embedding": "embeddings.word_embeddings",
        "position_embedding": "embeddings.position_embeddings",
        "type_embedding": "embeddings.token_type_embeddings",
        "norm": "embeddings.LayerNorm",
        "attention_output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "intermediate": "intermediate.dense",
        "output": "output.dense",
        "output_norm": "output.LayerNorm",
    }
    named = {}
    for name in ours.state_dict():
        *layer, part, kind = name.removeprefix("blocks.").split(".")
        start = f"bert.encoder.layer.{layer[0]}." if layer else "bert."
        if part == "query_key_value":
            kinds = ("query", "key", "value")
            named[name] = torch.cat([state[f"{start}attention.self.{piece}.{kind}"] for piece in kinds])
        else:
            named[name] = state[f"{start}{names[part]}.{kind}"]
    ours.load_state_dict(named)
    head = LanguageModelHead(SIZE, VOCAB)
    start = "cls.predictions."
    head.load_state_dict(
        {
            "transform.weight": state[f"{start}transform.dense.weight"],
            "transform.bias": state[f"{start}transform.dense.bias"],
            "norm.weight": state[f"{start}transform.LayerNorm.weight"],
            "norm.bias": state[f"{start}transform.LayerNorm.bias"],
            "bias": state[f"{start}bias"],
        }
    )
    return SimpleNamespace(theirs=theirs, trunk=ours.eval(), head=head.eval())


@pytest.fixture(scope="session", params=[gpt2, bert], ids=["gpt2", "bert"])
def model(request):
    """A small random model, once as `theirs` and once as `trunk` and `head`."""
    return request.param()


@pytest.fixture(scope="session")
def prompts():
    """Prompts of several lengths; the first tokens are never used."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(5, VOCAB, (length,), generator=generator).tolist() for length in (7, 3, 11, 1)]
