"""What an Ollama model takes of a GPU, from what the server reports about it before it is loaded. Bytes throughout.

`weights + driver + step + token × context × slots`. Ollama lays out the cache of all slots when it loads the model.
Each term is what it takes at most: all layers on the GPU, a cache in 16 bits, no flash attention. Once the model has
been loaded, the server's own figure is better (`Ollama.needs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueing.exceptions import Infrastructure

CACHE_ELEMENT_BYTES = 2  # f16, Ollama's default; OLLAMA_KV_CACHE_TYPE may make it smaller
STEP_TOKENS = 512  # of a prompt that are computed at once: Ollama's num_batch
FLOAT_BYTES = 4
# What CUDA's own structures take, whatever the model: as much as Ollama itself sets aside per card.
DRIVER_BYTES = 457 << 20
LARGEST_VOCABULARY = 262_144  # Gemma 3's; of the models in common use none has more


@dataclass(frozen=True, slots=True)
class Size:
    bare: int  # without any slot's cache
    token: int  # of the cache, for each token of context of each slot
    most_tokens: int  # of context that the model was trained for: Ollama gives no more

    def with_slots(self, slots: int, context_tokens: int) -> int:
        return self.bare + slots * self.token * min(context_tokens, self.most_tokens)


def size_of(weights: int, facts: Mapping[str, Any], context_tokens: int) -> Size:
    """From the size of the model's files and the `model_info` of /api/show.

    Raises:
        Infrastructure: the facts are not there (of a model that is no GGUF file).
    """
    try:
        model = facts["general.architecture"]
        layers, width = int(facts[f"{model}.block_count"]), int(facts[f"{model}.embedding_length"])
        heads = int(facts[f"{model}.attention.head_count"])
    except (KeyError, TypeError, ValueError) as error:
        raise Infrastructure(f"The model server does not say how large its model is: {error!r}.") from error
    most_tokens = facts.get(f"{model}.context_length") or context_tokens
    of_a_head = width // heads
    key = facts.get(f"{model}.attention.key_length") or of_a_head
    value = facts.get(f"{model}.attention.value_length") or of_a_head
    kept = _heads_kept(facts.get(f"{model}.attention.head_count_kv"), heads, layers)
    step = _step(heads, width, facts.get(f"{model}.vocab_size"), min(context_tokens, most_tokens))
    return Size(weights + DRIVER_BYTES + step, kept * (key + value) * CACHE_ELEMENT_BYTES, most_tokens)


def _heads_kept(reported: Any, heads: int, layers: int) -> int:
    """Heads in the cache, of all layers. Ollama leaves long lists out: then there are as many as there can be."""
    return sum(reported) if isinstance(reported, list) and reported else (reported or heads) * layers


def _step(heads: int, width: int, vocabulary: Any, context_tokens: int) -> int:
    """The widest buffer of a step: its scores for every word or, without flash attention, for every earlier token."""
    words = (vocabulary or LARGEST_VOCABULARY) + width
    return FLOAT_BYTES * STEP_TOKENS * max(words, heads * context_tokens)
