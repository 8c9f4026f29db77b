"""Many texts at once: batches of similar length, several of them at work in threads."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from rec_sys.foundation.distributed import threads_of

#: Texts that are tokenized and sorted together.
WINDOW_TEXTS = 16_384
# Passes that run at once, at most: Python's lock lets no more of them advance.
_MAX_WORKERS = 16
# On a GPU the second one prepares its tokens while the first one computes.
_GPU_WORKERS = 2
# Below this a vector has no direction that could be kept.
_SMALLEST_LENGTH = 1e-12


class TokenizedTexts(NamedTuple):
    """What the model's own tokenizer makes of n texts: `lengths`, int64 [n]; `of_each`, input of
    the model to the tokens of each text; `of_all`, inputs that are the same for all texts."""

    lengths: np.ndarray
    of_each: dict[str, list[list[int]]]
    of_all: dict[str, Any]


def encode_in_batches(
    model: Any, texts: Sequence[str], batch_tokens: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Encodes n texts, perhaps none, with a `SentenceTransformer` in batches of similar length.

    On a CPU each pass has one core to itself: passes that share all cores wait for each other at
    every layer, and for long where other programs run too. If the caller stops early, what was not
    yet yielded is lost: about two batches per core. `batch_tokens` includes padding.

    Yields the rows of a batch in `texts`, int64 [B], and their vectors, float32 [B, dimension], of
    unit length. Long and short texts take turns, so that a clock can tell the time left.
    """
    cores, on_cpu = torch.get_num_threads(), model.device.type == "cpu"
    workers = max(1, min(cores, len(texts), _MAX_WORKERS)) if on_cpu else _GPU_WORKERS
    threads = cores // workers if on_cpu else cores
    waiting: deque[tuple[np.ndarray, Future[np.ndarray]]] = deque()
    with threads_of(1, 1) as tokenizing, threads_of(workers, threads) as passes:

        def tokens_of(first: int) -> Future[TokenizedTexts]:
            return tokenizing.submit(tokenize, model, texts[first : first + WINDOW_TEXTS])

        following = tokens_of(0)
        for first in range(0, len(texts), WINDOW_TEXTS):
            tokenized = following.result()
            # One window ahead, so that a fast device never waits for tokens.
            following = tokens_of(first + WINDOW_TEXTS)
            for rows in mixed_batches(tokenized.lengths, batch_tokens, workers):
                waiting.append((first + rows, passes.submit(_encode, model, tokenized, rows)))
                if len(waiting) > 2 * workers:  # one waits for each pass, so that none is idle
                    done, vectors = waiting.popleft()
                    yield done, vectors.result()
        for done, vectors in waiting:
            yield done, vectors.result()


def tokenize(model: Any, texts: Sequence[str]) -> TokenizedTexts:
    """Tokenizes n texts; cut at the model's maximum length and not padded. n may be 0."""
    if not len(texts):
        return TokenizedTexts(np.empty(0, dtype=np.int64), {}, {})
    # The model's own way, prompt and truncation included; only padding is left for later.
    features = model.preprocess(
        list(texts),
        prompt=model.prompts.get(model.default_prompt_name),
        processing_kwargs={"text": {"padding": False}, "common": {"return_tensors": None}},
    )
    of_each = {name: value for name, value in features.items() if isinstance(value, list)}
    of_all = {name: value for name, value in features.items() if name not in of_each}
    lengths = np.fromiter(map(len, of_each["input_ids"]), np.int64, len(texts))
    return TokenizedTexts(lengths, of_each, of_all)


def mixed_batches(lengths: np.ndarray, batch_tokens: int, workers: int) -> list[np.ndarray]:
    """As `cut_batches`, for so many passes at once; long and short texts take turns."""
    # A handful of texts, as those of one user, is divided too: nobody waits for a single core.
    fair_share = -(-int(lengths.sum()) // workers)
    batches = cut_batches(lengths, min(batch_tokens, fair_share))
    return [batches[i] for i in np.random.default_rng(0).permutation(len(batches))]


def cut_batches(lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Cuts texts, sorted by `lengths`, int64 [n], into batches of so many tokens with padding; a
    longer text is a batch of its own. Returns the rows of each batch, int64 [B], longest first."""
    order = np.argsort(-lengths, kind="stable")
    batches, first = [], 0
    while first < len(order):
        longest = max(1, int(lengths[order[first]]))
        last = first + max(1, budget // longest)
        batches.append(order[first:last])
        first = last
    return batches


@torch.inference_mode()
def _encode(model: Any, tokenized: TokenizedTexts, rows: np.ndarray) -> np.ndarray:
    padded = {
        name: pad([value[row] for row in rows], name, model.tokenizer).to(model.device)
        for name, value in tokenized.of_each.items()
    }
    vectors = model({**padded, **tokenized.of_all})["sentence_embedding"].float().cpu().numpy()
    # Rounding to bf16 leaves lengths a little off 1, and not every model normalises.
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _SMALLEST_LENGTH)


def pad(values: list[list[int]], name: str, tokenizer: Any) -> torch.Tensor:
    """Pads `values`, tokens of each text, for an input: int64 [B, longest]. The tokenizer's own
    ``pad`` takes ten times as long."""
    paddings = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    rows = [torch.tensor(value) for value in values]
    return pad_sequence(rows, True, paddings.get(name, 0), tokenizer.padding_side)
