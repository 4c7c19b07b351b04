"""The script for a GPU runs from end to end on a CPU, and every way it compares gives the same answers."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from sluice.models.forward import Forward
from sluice.moderation.values import Pixels
from tests.bench.bundles import SHAPES
from tests.bench.eyes import eyes, noise, placed
from tests.bench.gpu import report
from tests.bench.gpu.__main__ import PARTS, main
from tests.bench.gpu.forward import flop_per_image
from tests.bench.gpu.ways import OneAhead, Way, compiled, eager, graphed

CPU = torch.device("cpu")
ROWS = 2
SMALL = [
    *("--device", "cpu", "--size", "tiny", "--batches", "1", "2", "--compile", "2"),
    *("--seconds", "0", "--matrix", "64", "--pictures", "6"),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Of tiny tensors a second thread has nothing; where other tests keep the cores busy it only makes both wait."""
    torch.set_num_threads(1)


@pytest.fixture(params=[True, False], ids=["one tower", "two towers"])
def look(request: pytest.FixtureRequest) -> Iterator[Forward]:
    with torch.inference_mode():
        yield eyes(placed("tiny", CPU, same_tower=request.param), torch.float32)


@pytest.fixture
def passes() -> Sequence[Pixels]:
    return [noise(ROWS, seed) for seed in range(5)]


def one_ahead(look: Forward) -> Way:
    return OneAhead(look, ROWS)


def replayed(look: Forward) -> Way:
    return graphed(look, ROWS)


def fused(look: Forward) -> Way:
    return eager(compiled(look))


@pytest.mark.parametrize("make", [one_ahead, replayed, fused])
def test_every_way_gives_each_pass_its_own_answer(look: Forward, passes: Sequence[Pixels], make: object) -> None:
    assert callable(make)
    expected = eager(look)(passes)
    for found, view in zip(make(look)(passes), expected, strict=True):
        np.testing.assert_allclose(found.margins.cosine, view.margins.cosine, atol=1e-6)
        np.testing.assert_allclose(found.embeddings, view.embeddings, atol=1e-6)
    assert not np.allclose(expected[0].embeddings, expected[1].embeddings, atol=1e-3)


def test_one_ahead_starts_a_pass_before_it_fetches_the_last(look: Forward, passes: Sequence[Pixels]) -> None:
    started: list[int] = []

    def embed(tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        started.append(len(started))
        return look.embed(tiles)

    views = OneAhead(look, ROWS, embed)._views(passes)
    next(views)
    assert started == [0, 1]
    assert [len(started) for _ in views] == [3, 4, 5, 5]


def test_the_whole_script_runs_and_fills_every_table_it_measured(tmp_path: Path) -> None:
    parts = [name for name in PARTS if name != "end-to-end"]
    main(["--out", str(tmp_path), *SMALL, "--parts", *parts])
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert set(parts) < set(found)
    ways = {(row["precision"], row["towers"], row["way"], row["batch"]) for row in found["images"]["rows"]}
    assert len(ways) == 2 * (2 * 2 * 3) + 2
    assert all(row["per_s"] > 0 for row in found["images"]["rows"])
    assert [gap["where"].split()[-1] for gap in found["flips"]] == ["float32", "float16", "bfloat16"]
    assert found["flips"][0]["flips"] == 0
    tables = (tmp_path / "gpu.md").read_text().split("\n## ")
    assert [report.MISSING in table for table in tables] == [False] * 5 + [True]


def test_what_was_measured_before_stays(tmp_path: Path) -> None:
    main(["--out", str(tmp_path), *SMALL, "--parts", "ceiling"])
    main(["--out", str(tmp_path), *SMALL, "--parts", "prompts"])
    assert {"ceiling", "prompts"} < set(json.loads((tmp_path / "gpu.json").read_text()))


def test_tables_without_figures_say_so() -> None:
    assert report.markdown({}).count(report.MISSING) == 6


def test_an_image_takes_the_operations_that_are_published_for_the_tower() -> None:
    assert flop_per_image(SHAPES["ViT-L/14"]) == pytest.approx(162e9, rel=0.01)
