"""What happened of late: the pages of one consumer, or of several, as gains over a span of seconds."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sluice.top.scrape import Page, Series

INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Recent:
    """A page as it stands, and what each counter gained within `span_s` seconds; 0 s: not yet known."""

    span_s: float = 0.0
    gained: Mapping[Series, float] = field(default_factory=dict)
    totals: Mapping[Series, float] = field(default_factory=dict)
    gauges: Mapping[Series, float] = field(default_factory=dict)
    failing: tuple[str, ...] = ()

    def gain(self, name: str) -> float:
        """Return what all series of a counter gained."""
        return sum(value for _, value in _of(self.gained, name))

    def rate(self, name: str) -> float:
        """Return what all series of a counter gained in a second."""
        return self.gain(name) / self.span_s if self.span_s else 0.0

    def gains(self, name: str, *labels: str) -> dict[str, float]:
        """Return what a counter gained, by the values of these labels, joined by a slash."""
        return _by(self.gained, name, labels)

    def sums(self, name: str, *labels: str) -> dict[str, float]:
        """Return where a counter stands, by the values of these labels."""
        return _by(self.totals, name, labels)

    def gauge(self, name: str) -> float | None:
        """Return the largest of a gauge's series, None without any."""
        return max((value for _, value in _of(self.gauges, name)), default=None)

    def series(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        """Yield a gauge's labels and values."""
        return _of(self.gauges, name)

    def quantile(self, name: str, share: float) -> float | None:
        """Return a quantile of what a histogram gained, as `histogram_quantile` of Prometheus; None if that is nothing.

        Within its bucket it is taken to lie evenly; beyond the last bound nothing is known but that bound.
        """
        bounds = sorted((float(bound), count) for bound, count in self.gains(f"{name}_bucket", "le").items())
        wanted = share * bounds[-1][1] if bounds else 0.0
        if not wanted:
            return None
        below, before = 0.0, 0.0
        for bound, count in bounds:
            if count >= wanted:
                inside = (wanted - before) / (count - before)
                return below if bound == INFINITE else below + (bound - below) * inside
            below, before = bound, count
        return below


class History:
    """Collects the pages of one consumer; `recent` tells of the last `window_s` seconds, or of the last interval."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._last: tuple[float, Page] | None = None
        self._gains: deque[tuple[float, float, dict[Series, float]]] = deque()

    def add(self, now_s: float, page: Page) -> Recent:
        """Take in the page of this moment."""
        if self._last is not None:
            then_s, before = self._last
            self._gains.append((now_s, now_s - then_s, gained(before.counters, page.counters)))
        self._last = now_s, page
        while len(self._gains) > 1 and now_s - self._gains[0][0] >= self._window_s:
            self._gains.popleft()
        total = _added(gains for _, _, gains in self._gains)
        return Recent(sum(span_s for _, span_s, _ in self._gains), total, page.counters, page.gauges, page.failing)


def gained(before: Mapping[Series, float], after: Mapping[Series, float]) -> dict[Series, float]:
    """Return what each counter gained; where one went back, the process is a new one, and all it counts is gain."""
    if any(after.get(series, 0.0) < value for series, value in before.items()):
        return dict(after)
    return {series: value - before.get(series, 0.0) for series, value in after.items()}


def together(parts: Sequence[Recent]) -> Recent:
    """Return several consumers as one: counters add up; gauges are for code that knows what they mean."""
    span_s = max((part.span_s for part in parts), default=0.0)
    return Recent(span_s, _added(part.gained for part in parts), _added(part.totals for part in parts))


def _added(parts: Iterable[Mapping[Series, float]]) -> dict[Series, float]:
    total: dict[Series, float] = defaultdict(float)
    for part in parts:
        for series, value in part.items():
            total[series] += value
    return dict(total)


def _of(values: Mapping[Series, float], name: str) -> Iterator[tuple[dict[str, str], float]]:
    return ((dict(labels), value) for (called, labels), value in values.items() if called == name)


def _by(values: Mapping[Series, float], name: str, labels: Iterable[str]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for has, value in _of(values, name):
        found["/".join(has[label] for label in labels if label in has)] += value
    return dict(found)
