"""What a consumer counts, read from its `/metrics` as anybody would."""

from sluice.top.scrape import ScrapeFailed, scrape

WITHIN_S = 5.0


def figures(port: int) -> dict[str, float]:
    """Return what is not 0 of all counters, by names such as `verdicts.ALLOW`; none while nobody answers there."""
    page = scrape(f"http://127.0.0.1:{port}", WITHIN_S)
    if isinstance(page, ScrapeFailed):
        return {}
    return {_short(name, dict(labels)): value for (name, labels), value in page.counters.items() if value}


def _short(name: str, labels: dict[str, str]) -> str:
    plain = name.removeprefix("sluice_").removesuffix("_total").replace("_seconds_", "_").replace("_", ".")
    return ".".join((plain, *(value for _, value in sorted(labels.items()))))
