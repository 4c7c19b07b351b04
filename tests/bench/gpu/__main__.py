"""`python -m tests.bench.gpu --out DIR`: measure everything a GPU must show, into `gpu.json` and `gpu.md` there."""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import torch

from tests.bench import band, efficiency
from tests.bench.bundles import SHAPES, Size
from tests.bench.endtoend import Sizes
from tests.bench.eyes import placed
from tests.bench.gpu import forward, parts, report

Found = dict[str, object]
Part = Callable[[argparse.Namespace, torch.device], object]


def ceiling(given: argparse.Namespace, device: torch.device) -> object:
    """Measure what the device reaches in a large product."""
    return [asdict(each) for each in parts.ceilings(device, given.matrix)]


def images(given: argparse.Namespace, device: torch.device) -> object:
    """Measure images a second in every way."""
    plan = forward.Plan(given.size, device, given.batches, given.compile, given.seconds)
    return {"flop": forward.flop_per_image(SHAPES[given.size]), "rows": list(map(asdict, forward.rows(plan)))}


def prompts(given: argparse.Namespace, device: torch.device) -> object:
    """Measure prompts a second."""
    return [asdict(each) for each in parts.readings(placed(given.size, device), given.seconds)]


def flips(given: argparse.Namespace, device: torch.device) -> object:
    """Compare half precision with float32."""
    return [gap.as_json() for gap in band.gaps(f"random, {given.size}", placed(given.size, device), given.pictures)]


def end_to_end(given: argparse.Namespace, device: torch.device) -> object:
    """Measure `sluice run` on 512 px JPEG against the bare models."""
    return efficiency.measured(
        Sizes(model=given.size, events=given.events), {"SLUICE_MODELS__DEVICE": device.type}
    ).as_json()


PARTS: Mapping[str, Part] = {
    "ceiling": ceiling,
    "images": images,
    "prompts": prompts,
    "flips": flips,
    "end-to-end": end_to_end,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts that are asked for; what is found is written after each, and added to what stands there."""
    given = _parser().parse_args(arguments)
    device = torch.device(given.device)
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_float32_matmul_precision("highest")
    file = given.out / "gpu.json"
    found: Found = json.loads(file.read_text()) if file.exists() else {}
    found["device"], found["size"] = _name(device), given.size
    for name, result in _measured(given, device):
        found[name] = result
        file.write_text(json.dumps(found, indent=2) + "\n")
        (given.out / "gpu.md").write_text(report.markdown(found))


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _measured(given: argparse.Namespace, device: torch.device) -> Iterator[tuple[str, object]]:
    for name in given.parts:
        yield name, PARTS[name](given, device)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.bench.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=get_args(Size), default="ViT-L/14")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32, 64, 128, 256])
    parser.add_argument("--compile", nargs="*", type=int, default=[8, 64, 256], help="batch sizes to compile for")
    parser.add_argument("--seconds", type=float, default=0.25, help="of each way in each round")
    parser.add_argument("--matrix", type=int, default=parts.EDGE, help="edge of the matrices of the ceiling")
    parser.add_argument("--pictures", type=int, default=10_000, help="to look for flips in")
    parser.add_argument("--events", type=int, default=4096, help="of each end-to-end round")
    return parser


if __name__ == "__main__":
    main()
