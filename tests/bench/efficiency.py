"""How much of the bare model is left end to end: `sluice run` on a backlog against the same passes in a plain loop.

The plain loop has its pictures decoded beforehand, and makes passes as large as the consumer's lane does, in the same
precision on the same device. What the two differ by stands in the table, as processor time an event: whatever else
runs on the cores that the model wants, it goes without.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter, sleep

import numpy as np
import psutil
import torch

from sluice.media.decoding.limits import Limits
from sluice.media.decoding.picture import picture as decoded
from sluice.models import load
from sluice.models.clip import Ids
from sluice.moderation.values import Pixels
from sluice.settings import Batching, Media, Models
from tests.bench import rig
from tests.bench.endtoend import CORES, PICTURES, Arena, Duel, Fed, Sizes, arena, described, picture, prompt
from tests.bench.rounds import interleaved
from tests.bench.spent import seconds
from tests.support.scraped import figures

GOAL = 0.90
BARE_SHARE = 2
"""The bare loop sees one event of so many: it needs no backlog to fill a pipeline."""

LOOK_EVERY_S = 0.1
STATS_WITHIN_S = 10.0
STAGES = ("fetch", "decode", "model")


@dataclass(slots=True)
class Bare:
    """The models in a plain loop, pictures decoded and prompts tokenised beforehand."""

    look: Callable[[Pixels], object]
    read: Callable[[Sequence[Ids]], object]
    tiles: Pixels
    prompts: Sequence[Ids]
    rows: int
    device: str
    seconds: list[float] = field(default_factory=list)
    """Processor time of one event, by round."""

    @classmethod
    def of(cls, bundle: str, sizes: Sizes) -> "Bare":
        """Load what `sluice run` loads on the same device, with as many threads."""
        models = Models(bundle=bundle, torch_threads=CORES)
        placed = load.place(models)
        text = load._text(models, placed)
        on_cpu = placed.device.type == "cpu"
        limits = Limits.of(Media())
        return cls(
            load._eyes(placed, placed.dtype),
            text.encoder,
            np.concatenate([decoded(picture(number, sizes.edge_px), limits).tiles for number in range(PICTURES)]),
            [text.tokenizer(prompt(number)).fitting for number in range(PICTURES)],
            min(Batching().max_records, load.CPU_ROWS) if on_cpu else Batching().max_records,
            f"{placed.device.type} {str(placed.dtype).removeprefix('torch.')}",
        )

    def round(self, events: int) -> float:
        """Look at so many pictures and read their prompts; return how many a second."""
        spent, started = seconds(psutil.Process()), perf_counter()
        with torch.inference_mode():
            for first in range(0, events, self.rows):
                chosen = [number % PICTURES for number in range(first, min(first + self.rows, events))]
                self.look(self.tiles[chosen])
                self.read([self.prompts[number] for number in chosen])
        took = perf_counter() - started
        self.seconds.append((seconds(psutil.Process()) - spent) / events)
        return events / took


@dataclass(slots=True)
class Watched:
    """A fed consumer, with its stats before the first round and after each."""

    fed: Fed
    stats: list[Mapping[str, float]] = field(default_factory=list)

    def round(self, events: int) -> float:
        """Feed it one round, and note what it counted."""
        if not self.stats:
            self.stats.append(self._settled())
        rate = self.fed.round(events)
        self.stats.append(self._settled())
        return rate

    def table(self, bare_s: float) -> dict[str, float]:
        """Return what an event costs, by who spends it, and what stages take; `bare_s` is the bare model's CPU time."""
        each_ms = self.fed.each_ms
        ours = each_ms(lambda s: s.bench + s.worker + s.below + s.broker)
        return {
            "CPU ms an event: model alone": bare_s * 1000,
            "CPU ms an event: worker, model included": each_ms(lambda s: s.worker),
            "CPU ms an event: decoders": each_ms(lambda s: s.below),
            "CPU ms an event: broker": each_ms(lambda s: s.broker),
            "CPU ms an event: feeding and watching": each_ms(lambda s: s.bench),
            "CPU ms an event: others on the machine": each_ms(lambda s: s.machine) - ours,
            "CPU ms an event: there was": self.fed.wall_ms * CORES,
            **self._stages(),
        }

    def _stages(self) -> dict[str, float]:
        """Return seconds a batch by stage; stages of several batches overlap, and `model` holds the wait for a turn."""
        first, last = self.stats[0], self.stats[-1]

        def mean(name: str, *labels: str) -> float:
            keys = (".".join((name, of, *labels)) for of in ("count", "sum"))
            count, total = (last[key] - first.get(key, 0.0) for key in keys)
            return total / count

        stages = {f"s a batch: {stage}": mean("stage.duration", stage) for stage in STAGES}
        return {**stages, "s a commit": mean("commit.duration")}

    def _settled(self) -> Mapping[str, float]:
        return settled(self.fed.port, self.fed.landed)


def settled(port: int, landed: int) -> Mapping[str, float]:
    """Return what a worker has counted once it counts so many verdicts."""
    deadline = monotonic() + STATS_WITHIN_S
    while True:
        stats = figures(port)
        if sum(count for name, count in stats.items() if name.startswith("verdicts.")) >= landed:
            return stats
        assert monotonic() < deadline, f"the worker counts fewer than {landed} verdicts"
        sleep(LOOK_EVERY_S)


def measured(sizes: Sizes, given: Mapping[str, str] | None = None) -> Duel:
    """Measure one consumer, with these settings besides production's, against the bare models."""
    with arena(sizes) as where:
        return _against(where, sizes, given or {})


def _against(where: Arena, sizes: Sizes, given: Mapping[str, str]) -> Duel:
    bare = Bare.of(str(where.bundle), sizes)
    watched = Watched(where.feeding(rig.SLUICE, given))
    bare.round(bare.rows)
    bare.seconds.clear()
    ways = {"sluice": lambda: watched.round(sizes.events), "bare": lambda: bare.round(sizes.events // BARE_SHARE)}
    per_s = interleaved(ways, sizes.rounds)
    more = {"batch": bare.rows, "device": bare.device, **given}
    table = watched.table(sum(bare.seconds) / len(bare.seconds))
    return Duel("efficiency: sluice run / bare models", per_s, GOAL, described(sizes, **more), table)


def ratios() -> Iterator[Duel]:
    """Measure ViT-B/32 on a CPU, ViT-L/14 where there is a GPU."""
    yield measured(Sizes(model="ViT-L/14", events=4096) if torch.cuda.is_available() else Sizes())
