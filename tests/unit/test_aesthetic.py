"""The aesthetic heads: five layers without activations are one affine map, and only whole heads are read."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sluice.core.errors import WeightsNotAttested
from sluice.models.aesthetic import read
from sluice.models.clip import unit
from sluice.models.load import load
from sluice.moderation.values import Scores
from sluice.settings import Models
from tests.support import jobs
from tests.support.checkpoints import Shape, write_bundle


def v2(width: int, seed: int = 0) -> nn.Sequential:
    """Build LAION's v2 head: five linear layers with dropout between, no activations."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(width, 1024),
        nn.Dropout(0.2),
        nn.Linear(1024, 128),
        nn.Dropout(0.2),
        nn.Linear(128, 64),
        nn.Dropout(0.1),
        nn.Linear(64, 16),
        nn.Linear(16, 1),
    )


def write(path: Path, state: Mapping[str, Tensor], prefix: str = "") -> Path:
    save_file({prefix + name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def test_the_folded_v2_head_is_the_five_layer_one(tmp_path: Path) -> None:
    layers = v2(768).train(mode=False)
    head = read(write(tmp_path / "v2.safetensors", layers.state_dict(), "layers."), 768)
    embeddings = unit(np.random.default_rng(0).normal(size=(200, 768)).astype(np.float32))
    with torch.inference_mode():
        expected = layers.double()(torch.from_numpy(embeddings).double()).squeeze(1).numpy()
    np.testing.assert_allclose([head(embedding) for embedding in embeddings], expected, rtol=1e-12)
    assert expected.std() > 1e-4


def test_the_v1_head_is_one_layer(tmp_path: Path) -> None:
    layer = nn.Linear(768, 1)
    head = read(write(tmp_path / "v1.safetensors", layer.state_dict()), 768)
    embedding = unit(np.ones((1, 768), np.float32))[0]
    with torch.inference_mode():
        assert head(embedding) == pytest.approx(layer(torch.from_numpy(embedding)).item(), abs=1e-6)
    assert head.digest == hashlib.sha256((tmp_path / "v1.safetensors").read_bytes()).hexdigest()


LAYER = {"weight": torch.linspace(-1, 1, 24).unsqueeze(0), "bias": torch.zeros(1)}


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (LAYER | {"scale": torch.ones(1)}, "unexpected key 'scale'"),
        ({"weight": torch.ones(1, 24)}, "needs a weight and a bias"),
        (LAYER | {"weight": torch.ones(1, 23)}, "embeddings of width 24"),
        ({"weight": torch.ones(2, 24), "bias": torch.zeros(2)}, "one finite number"),
        (LAYER | {"bias": torch.full((1,), float("inf"))}, "one finite number"),
        ({}, "holds no layer"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(tmp_path: Path, state: Mapping[str, Tensor], says: str) -> None:
    with pytest.raises(WeightsNotAttested, match=says):
        read(write(tmp_path / "head.safetensors", state), 24)


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (torch.zeros(1, 24), "the weight of layer 0 is zero in row 0"),
        (torch.ones(1, 24), "the weight of layer 0 holds one number throughout row 0"),
        (torch.linspace(-1e20, 1e20, 24).unsqueeze(0), "the weight of layer 0 has a row of length"),
        (torch.linspace(-1e-20, 1e-20, 24).unsqueeze(0), "the weight of layer 0 has a row of length"),
    ],
)
def test_a_head_that_says_the_same_of_every_picture_is_refused(tmp_path: Path, weight: Tensor, says: str) -> None:
    with pytest.raises(WeightsNotAttested, match=says) as refusal:
        read(write(tmp_path / "head.safetensors", LAYER | {"weight": weight}), 24)
    assert refusal.value.exit_code == 74


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s["2.weight"].zero_(), "the weight of layer 1 is zero in row 0"),
        (lambda s: s["4.weight"][5].zero_(), "the weight of layer 2 is zero in row 5"),
        (lambda s: s["7.bias"].fill_(1e30), "the bias of layer 4 holds numbers as large as"),
        (lambda s: [s[name].mul_(1e-3) for name in ("2.weight", "4.weight")], "the weight of all layers together has"),
    ],
)
def test_one_layer_that_was_not_written_is_enough(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], says: str
) -> None:
    state = v2(24).state_dict()
    change(state)
    with pytest.raises(WeightsNotAttested, match=says):
        read(write(tmp_path / "head.safetensors", state, "layers."), 24)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save(LAYER, tmp_path / "head.pth")
    with pytest.raises(WeightsNotAttested, match="not a readable safetensors file"):
        read(tmp_path / "head.pth", 24)


def test_the_lane_publishes_the_newer_head_and_keeps_the_older_as_an_opinion(tmp_path: Path) -> None:
    folder = str(write_bundle(tmp_path / "tiny", 0, Shape(projection=24)))
    one = write(tmp_path / "v1.safetensors", LAYER | {"bias": torch.full((1,), 3.0)})
    two = write(tmp_path / "v2.safetensors", v2(24).state_dict(), "layers.")
    answers: list[Scores] = []
    for models in (Models(bundle=folder, aesthetic_v1=one), Models(bundle=folder, aesthetic_v1=one, aesthetic_v2=two)):
        inference = load(models)
        answers += [answer for answer in inference.score([jobs.job(jobs.tiles(1))]) if isinstance(answer, Scores)]
        assert any(ref.role == "aesthetic" for ref in inference.provenance)
        inference.close()
    older, both = answers
    assert older.aesthetic is not None
    assert older.opinions == ()
    assert both.aesthetic != older.aesthetic
    assert [(score.model, score.value) for score in both.opinions] == [("aesthetic.v1", older.aesthetic)]
