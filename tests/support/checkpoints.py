"""Bundles of the real layouts with random weights: 17 + 3 concepts, real parameter names, few numbers unless asked."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

WORDS = ("red", "circle", "blue", "square", "large", "small", "on", "a", "the", "star")
KeyLayout = Literal["new", "old"]


@dataclass(frozen=True, slots=True)
class Tower:
    """How big one tower is."""

    hidden: int
    mlp: int
    layers: int
    heads: int


@dataclass(frozen=True, slots=True)
class Shape:
    """How big a bundle is, and what is odd about it."""

    hidden: int = 16
    layers: int = 2
    projection: int = 24
    same_tower: bool = True
    keys: KeyLayout = "new"
    dtype: torch.dtype = torch.float32
    vision: Tower | None = None
    """A tower of which `hidden` and `layers` do not say enough; `text` likewise."""
    text: Tower | None = None
    patch: int = 56
    spread: float = 0.3
    """Standard deviation of the weights; the wider a tower, the less keeps what it makes of a picture apart."""

    @property
    def tower(self) -> Tower:
        """Either tower, where nothing else is said of it."""
        return Tower(self.hidden, 2 * self.hidden, self.layers, 2)


def write_bundle(folder: Path, rng_seed: int = 0, shape: Shape | None = None) -> Path:
    """Write `clip/` and `safety_checker/` with weights drawn from the seed; return the folder."""
    shape = shape or Shape()
    if shape.vision is None:
        # Of tiny tensors a second thread has nothing; where other tests keep the cores busy it only makes both wait.
        torch.set_num_threads(1)
    clip, checker = folder / "clip", folder / "safety_checker"
    for part in (clip, checker):
        part.mkdir(parents=True)
    vocabulary = _write_tokenizer(clip)
    config = clip_config(shape, vocabulary)
    state = random_clip(config, rng_seed, shape.spread)
    tower = state if shape.same_tower else random_clip(config, rng_seed + 1, shape.spread)
    (clip / "config.json").write_text(config.to_json_string())
    (checker / "config.json").write_text(config.to_json_string())
    save(clip / "model.safetensors", _spelled(state, shape.keys, twice=False), shape.dtype)
    save(checker / "model.safetensors", _spelled(_checker(tower, rng_seed), shape.keys, twice=True), shape.dtype)
    return folder


def save(path: Path, state: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> None:
    """Write a safetensors file; integers stay integers."""
    cast = {name: t.to(dtype) if t.is_floating_point() else t for name, t in state.items()}
    save_file({name: tensor.contiguous().clone() for name, tensor in cast.items()}, path, metadata={"format": "pt"})


def pin(folder: Path, **facts: str) -> None:
    """Write `bundle.json` with the SHA-256 of every file in the folder."""
    import hashlib  # noqa: PLC0415 - only pins need it

    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "bundle.json")
    sha256 = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (folder / "bundle.json").write_text(json.dumps({"name": "tiny", "sha256": sha256} | facts))


def clip_config(shape: Shape, vocabulary: int) -> CLIPConfig:
    """Configure a CLIP of this shape; patches of 56 pixels make 17 tokens of a tile."""
    text = {"vocab_size": vocabulary, "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1}
    return CLIPConfig(
        vision_config={"patch_size": shape.patch, **_sizes(shape.vision or shape.tower)},
        text_config={**text, **_sizes(shape.text or shape.tower)},
        projection_dim=shape.projection,
    )


def random_clip(config: CLIPConfig, seed: int, spread: float = 0.3) -> dict[str, Tensor]:
    """Draw every parameter; large enough that pictures and prompts land far apart."""
    with torch.device("meta"):
        model = CLIPModel(config)
    draw = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(tensor.shape, generator=draw) * (spread if tensor.dim() > 1 else 0.1)
        + (1.0 if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "layrnorm.weight")) else 0.0)
        for name, tensor in model.state_dict().items()
    }


def _sizes(tower: Tower) -> dict[str, Any]:
    return {
        "hidden_size": tower.hidden,
        "intermediate_size": tower.mlp,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
    }


def _checker(tower: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed + 2)
    projection = tower["visual_projection.weight"]
    width = projection.shape[0]
    return {name: tensor for name, tensor in tower.items() if name.startswith("vision_model.")} | {
        "visual_projection.weight": projection.clone(),
        "concept_embeds": torch.randn(17, width, generator=draw),
        "concept_embeds_weights": torch.rand(17, generator=draw) * 0.1 + 0.3,
        "special_care_embeds": torch.randn(3, width, generator=draw),
        "special_care_embeds_weights": torch.rand(3, generator=draw) * 0.2,
    }


def _spelled(state: dict[str, Tensor], keys: KeyLayout, *, twice: bool) -> dict[str, Tensor]:
    """Spell names as transformers 5 does, or as before: the checker's tower nested once more, position_ids kept."""
    if keys == "new":
        return state
    nested = r"vision_model.vision_model." if twice else r"vision_model."
    spelled = {re.sub(r"^vision_model\.", nested, name): tensor for name, tensor in state.items()}
    return spelled | {f"{nested}embeddings.position_ids": torch.arange(17).unsqueeze(0)}


def _write_tokenizer(folder: Path) -> int:
    """Write a CLIP tokenizer that knows every byte and a few merges; return its size."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            pair = (parts[-2], parts[-1])
            parts[-2:] = ["".join(pair)]
            if pair not in merges:
                merges.append(pair)
                tokens.append(parts[-1])
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    pairs: Any = merges
    CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=77).save_pretrained(folder)
    return len(vocabulary)
