"""The CLIP score is transformers' cosine, for prompts of any length."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPModel

from sluice.models import bundle
from sluice.models.clip import (
    MAX_CHARACTERS,
    MAX_CHUNKS,
    PASS,
    STEP,
    Ids,
    Prompt,
    PromptEncoder,
    Tokenizer,
    Vector,
    agreement,
    passes,
    unit,
)
from sluice.models.layout import part
from sluice.models.towers import MEAN, STD, VisionTower, text_tower
from tests.support.checkpoints import Shape, write_bundle

CPU = torch.device("cpu")
LONG = "a red circle on the small blue square " * 30
PROMPTS = [
    "a red circle",
    "",
    " ",
    "the large star " * 5,
    "красный круг",
    "赤い丸 🔴",
    "é" * 40,
    "\x00\t\n",
    LONG,
    "<|endoftext|> a",
]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    return bundle.read(str(write_bundle(tmp_path_factory.mktemp("bundle") / "tiny", 5, Shape(hidden=32, layers=3))))


@pytest.fixture(scope="module")
def tokenizer(read: bundle.Bundle) -> Tokenizer:
    return Tokenizer(read.tokenizer, 77)


@pytest.fixture(scope="module")
def reference(read: bundle.Bundle) -> Any:
    """Build transformers' own model of the same weights."""
    model = CLIPModel(read.clip_config)
    model.load_state_dict(dict(read.clip), strict=True)
    model.train(mode=False)
    return model


def encoder(read: bundle.Bundle, cache: int = 64) -> PromptEncoder:
    tower = text_tower(read.clip_config.text_config, part(read.clip, "text_model."), CPU)
    return PromptEncoder(tower, read.clip["text_projection.weight"], cache=cache)


def test_cosines_equal_transformers(read: bundle.Bundle, tokenizer: Tokenizer, reference: Any) -> None:
    """The whole way: uint8 pixels and text against CLIPModel on processed pixels and its tokenizer's ids."""
    pixels = np.random.default_rng(1).integers(0, 256, (4, 224, 224, 3), dtype=np.uint8)
    normalised = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(
        STD
    ).view(3, 1, 1)
    ids = read.tokenizer(PROMPTS, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
    with torch.inference_mode():
        output = reference(pixel_values=normalised, **ids)
        expected = (output.logits_per_image / reference.logit_scale.exp()).numpy()
        tower = VisionTower(read.clip_config.vision_config, part(read.clip, "vision_model."), CPU, torch.float32)
        images = unit((tower(torch.from_numpy(pixels)) @ read.clip["visual_projection.weight"].t()).numpy())
        prompts = [tokenizer(prompt) for prompt in PROMPTS]
        texts = encoder(read)([ids for prompt in prompts for ids in prompt.sequences])
    found = [[agreement(image, prompt, texts).cosine for prompt in prompts] for image in images]
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_truncation_is_the_tokenizers_own(read: bundle.Bundle, tokenizer: Tokenizer, prompt: str) -> None:
    """What is scored is what the tokenizer's truncation keeps: the end-of-text stays."""
    found = tokenizer(prompt)
    assert list(found.fitting) == read.tokenizer(prompt, truncation=True, max_length=77)["input_ids"]
    assert found.fitting[-1] == read.tokenizer.eos_token_id


def test_a_long_prompt_is_chunked_and_loses_no_token(read: bundle.Bundle, tokenizer: Tokenizer) -> None:
    found = tokenizer(LONG)
    whole = read.tokenizer(LONG, verbose=False)["input_ids"]
    assert found.tokens == len(whole) > 77
    assert [token for chunk in found.chunks for token in chunk[1:-1]] == whole[1:-1]
    assert all(chunk[0] == whole[0] and chunk[-1] == whole[-1] and len(chunk) <= 77 for chunk in found.chunks)


def test_one_token_too_many_is_truncated_and_77_are_not(tokenizer: Tokenizer) -> None:
    fits, over = tokenizer("a " * 75), tokenizer("a " * 76)
    assert (fits.tokens, fits.chunks) == (77, ())
    assert (over.tokens, len(over.chunks)) == (78, 2)


def test_what_one_prompt_may_cost_is_bounded(tokenizer: Tokenizer) -> None:
    """Of a prompt as large as an event may be, a bounded part is read and a bounded number of chunks is scored."""
    found = tokenizer("a " * 500_000)
    assert found.tokens == MAX_CHARACTERS // 2 + 2
    assert len(found.chunks) == MAX_CHUNKS


def test_a_lone_surrogate_is_scored_not_raised(tokenizer: Tokenizer) -> None:
    assert tokenizer("a \ud800 red").fitting == tokenizer("a ? red").fitting


def test_an_empty_prompt_has_start_and_end(tokenizer: Tokenizer) -> None:
    found = tokenizer("")
    assert (found.tokens, len(found.fitting)) == (2, 2)


def test_chunks_give_their_smallest_and_mean_cosine() -> None:
    vectors: dict[Ids, Vector] = {(1, 9): np.array([1, 0], np.float32), (2, 9): np.array([0, 1], np.float32)}
    image = np.array([0.6, 0.8], np.float32)
    found = agreement(image, Prompt(4, (1, 9), ((1, 9), (2, 9))), vectors)
    assert found.cosine == pytest.approx(0.6)
    assert found.chunk_min == pytest.approx(0.6)
    assert found.chunk_mean == pytest.approx(0.7)
    assert found.prompt_truncated


def test_a_prompt_that_fits_has_no_chunks() -> None:
    found = agreement(np.array([0.6, 0.8], np.float32), Prompt(2, (2, 9)), {(2, 9): np.array([0, 1], np.float32)})
    assert found.cosine == pytest.approx(0.8)
    assert (found.chunk_min, found.chunk_mean, found.prompt_truncated) == (None, None, False)


def test_padding_to_the_longest_gives_what_padding_to_77_gives(
    read: bundle.Bundle, tokenizer: Tokenizer, reference: Any
) -> None:
    """Attention is causal: the padding behind end-of-text changes the pooled embedding by rounding at most."""
    prompts = [prompt for prompt in PROMPTS if prompt != LONG]
    sequences = [tokenizer(prompt).fitting for prompt in prompts]
    ids = read.tokenizer(prompts, padding="max_length", truncation=True, max_length=77, return_tensors="pt")[
        "input_ids"
    ]
    with torch.inference_mode():
        found = encoder(read)(sequences)
        padded = torch.nn.functional.normalize(reference.get_text_features(input_ids=ids).pooler_output).numpy()
    np.testing.assert_allclose(np.stack([found[ids] for ids in sequences]), padded, atol=1e-6)


def test_a_pass_holds_sequences_of_about_one_length_and_every_one_has_a_pass() -> None:
    lengths = [*np.random.default_rng(1).integers(2, 78, 300).tolist(), *[5] * (2 * PASS)]
    sequences: list[Ids] = [(number, *[0] * (length - 1)) for number, length in enumerate(lengths)]
    found = [list(batch) for batch in passes(sequences)]
    assert sorted(ids for batch in found for ids in batch) == sorted(sequences)
    assert all(len(batch) <= PASS for batch in found)
    assert all(max(map(len, batch)) - min(map(len, batch)) < STEP for batch in found)


def test_prompts_are_embedded_once_and_forgotten_in_order_of_use(
    read: bundle.Bundle, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[int] = []
    original = PromptEncoder._embed

    def counting(self: PromptEncoder, batch: Any) -> Any:
        embedded.append(len(batch))
        return original(self, batch)

    monkeypatch.setattr(PromptEncoder, "_embed", counting)
    cached = encoder(read, cache=2)
    red, blue, star = (tokenizer(text).fitting for text in ("red", "blue", "star"))
    with torch.inference_mode():
        cached([red, blue, red])
        cached([red])
        cached([star])
        cached([red, star])
        cached([blue])
    assert embedded == [2, 1, 1]


def test_a_batch_larger_than_the_cache_is_answered_whole(read: bundle.Bundle, tokenizer: Tokenizer) -> None:
    sequences = [tokenizer(word).fitting for word in ("red", "blue", "star", "circle")]
    with torch.inference_mode():
        assert set(encoder(read, cache=0)(sequences)) == set(sequences)
