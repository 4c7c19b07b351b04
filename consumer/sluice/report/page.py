"""Findings as one self-contained HTML file: no script, no request, all text escaped, light and dark."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files

from sluice.moderation.values import CHECKER
from sluice.report import palette
from sluice.report.finding import DEMONSTRATION, LEGEND, MEANING, Finding, counts, demonstrated
from sluice.report.markup import Html, element, join
from sluice_schemas import Clip, Concept, Status, Technical, Verdict

CONTENT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Even if something slipped through, a browser runs nothing and sends no request."""

LEAST_SCALE = 0.05
"""Half the width of a margin's bar, in cosine, unless some margin is larger."""

SHORT = 12  # digits of a digest that fit a line; the rest is in its tooltip


def page(findings: Sequence[Finding], now: datetime) -> str:
    """Return the whole document. All margins share one scale, so bars compare across images."""
    scale = max([LEAST_SCALE, *(abs(c.margin) for finding in findings for c in finding.verdict.concepts)])
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=CONTENT_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", "Sluice: moderation report"),
        element("style", Html(_style())),
    )
    body = element(
        "body",
        element("header", _title(findings, now), _mix(findings)),
        element("p", DEMONSTRATION, class_="warning") if demonstrated(findings) else "",
        element("main", *(_card(finding, scale) for finding in findings)),
        _legend(),
        _provenance([finding.verdict for finding in findings]),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


@cache
def _style() -> str:
    return palette.css() + files(__package__).joinpath("page.css").read_text("utf-8")


def _title(findings: Sequence[Finding], now: datetime) -> Html:
    many = "1 image" if len(findings) == 1 else f"{len(findings)} images"
    return element(
        "div",
        element("h1", "Moderation report"),
        element("p", f"{many}, judged {now:%d %B %Y, %H:%M} UTC", class_="quiet"),
        class_="title",
    )


def _mix(findings: Sequence[Finding]) -> Html:
    found = counts(findings)
    parts = [element("i", class_=_tone(status), style=f"flex-grow:{count}") for status, count in found.items()]
    keys = [
        element("li", element("i", class_=_tone(status)), element("b", str(count)), f" {status}", title=MEANING[status])
        for status, count in found.items()
    ]
    return element("div", element("div", *parts, class_="stack"), element("ul", *keys), class_="mix")


def _card(finding: Finding, scale: float) -> Html:
    verdict = finding.verdict
    return element(
        "article",
        _picture(finding),
        element(
            "div",
            element("h2", finding.name, title=finding.name),
            element(
                "p",
                element("span", verdict.status, class_="badge"),
                element("span", MEANING[verdict.status], class_="quiet"),
                class_="status",
            ),
            _reasons(finding),
            element("blockquote", finding.prompt) if finding.prompt else "",
            _numbers(finding),
            class_="said",
        ),
        _margins(verdict.concepts, scale) if verdict.concepts else _unjudged(finding),
        class_=_tone(verdict.status),
    )


def _picture(finding: Finding) -> Html:
    """Show a picture that may not be shown blurred until the pointer is on it."""
    if finding.preview is None:
        return element("figure", element("span", "no picture", class_="none"))
    source = f"data:image/jpeg;base64,{b64encode(finding.preview).decode()}"
    hidden = finding.verdict.status is not Status.ALLOW
    image = element("img", src=source, alt=f"{finding.verdict.status}: {finding.name}")
    caption = element("figcaption", "point at it to look") if hidden else ""
    return element("figure", image, caption, class_="hidden" if hidden else None, tabindex="0" if hidden else None)


def _reasons(finding: Finding) -> Html:
    reasons = [element("li", reason) for reason in finding.verdict.reasons]
    return element("ul", *reasons, class_="reasons") if reasons else Html("")


def _numbers(finding: Finding) -> Html:
    rows = [*_clip(finding.clip), *_technical(finding.technical)]
    rows += [
        (each.label.replace("_", " "), f"{each.value:.3f}", f"{each.model}, 0 to 1: the higher, the surer")
        for each in finding.verdict.opinions
        if each.value > 0
    ]
    coverage = finding.verdict.coverage
    if coverage is not None:
        rows.append(("seen", f"{coverage:.0%}", "Share of the picture that the models looked at"))
    return element("dl", *(_number(*row) for row in rows)) if rows else Html("")


def _number(name: str, value: str, meaning: str) -> Html:
    return element("div", element("dt", name), element("dd", value), title=meaning)


def _clip(clip: Clip | None) -> list[tuple[str, str, str]]:
    if clip is None:
        return []
    cut = ", the rest was cut off" if clip.prompt_truncated else ""
    return [("CLIP", f"{clip.cosine:.3f}", f"Cosine of image and prompt ({clip.prompt_tokens} tokens{cut})")]


def _technical(measures: Technical | None) -> list[tuple[str, str, str]]:
    if measures is None:
        return []
    return [
        ("sharpness", f"{measures.blur:.0f}", "Variance of the Laplacian: the lower, the more blurred"),
        ("noise", f"{measures.noise_sigma:.1f}", "Estimated noise, grey levels"),
        ("dark", f"{measures.clipped_dark:.0%}", "Share of clipped darks"),
        ("light", f"{measures.clipped_light:.0%}", "Share of clipped lights"),
        ("contrast", f"{measures.flat:.0f}", "Standard deviation of luma: near 0 means a flat picture"),
    ]


def _margins(concepts: Sequence[Concept], scale: float) -> Html:
    """Draw every margin as a bar around the threshold; special care has a tone of its own: alone it blocks nothing."""
    groups = [
        ("concepts", None, [concept for concept in concepts if concept.id not in CHECKER.special]),
        ("special care", "care", [concept for concept in concepts if concept.id in CHECKER.special]),
    ]
    lists = [
        join(element("h3", name), element("ol", *(_bar(concept, scale) for concept in group), class_=tone))
        for name, tone, group in groups
        if group
    ]
    legend = element(
        "p",
        f"cosine minus threshold plus adjustment, ±{scale:.2f}; right of the line a concept fires",
        class_="quiet legend",
    )
    return element("section", *lists, legend, class_="margins")


def _bar(concept: Concept, scale: float) -> Html:
    share = min(1.0, abs(concept.margin) / scale) * 50
    start = 50 if concept.margin >= 0 else 50 - share
    meaning = f"cosine {concept.cosine:.4f}, threshold {concept.threshold:.4f}, adjustment {concept.adjustment:.2f}"
    return element(
        "li",
        element("span", concept.id.removeprefix("sd.")),
        element(
            "span", element("i", style=f"left:{start:.2f}%;width:{share:.2f}%"), class_="track", aria_hidden="true"
        ),
        element("span", f"{concept.margin:+.3f}"),
        class_="fired" if concept.fired else None,
        title=f"{concept.id}: {meaning}",
    )


def _unjudged(finding: Finding) -> Html:
    return element(
        "section",
        element("p", element("b", "No model saw this file.")),
        element("p", finding.why),
        element("p", "It counts as not allowed until it is judged.", class_="quiet"),
        class_="unjudged",
    )


def _legend() -> Html:
    rows = [element("tr", element("th", name), element("td", meaning)) for name, meaning in LEGEND]
    return element("section", element("h3", "How to read the numbers"), element("table", *rows), class_="reading")


def _provenance(verdicts: Sequence[Verdict]) -> Html:
    """Name what judged, so exactly that it can be done again."""
    policies = {verdict.policy for verdict in verdicts}
    models = {model for verdict in verdicts for model in verdict.models}
    preprocessing = {verdict.preprocess_digest for verdict in verdicts}
    rows = [
        *(("policy", f"{p.id} v{p.version}", p.digest) for p in sorted(policies, key=str)),
        *(
            (m.role, f"{m.id}{'@' if m.revision else ''}{m.revision[:SHORT]}, {m.dtype}", m.digest)
            for m in sorted(models, key=str)
        ),
        *(("preprocessing", "", digest) for digest in sorted(preprocessing)),
    ]
    lines = [
        element("tr", element("th", role), element("td", name), element("td", element("code", digest)))
        for role, name, digest in rows
    ]
    return element("footer", element("h3", "Judged by"), element("div", element("table", *lines), class_="wide"))


def _tone(status: Status) -> str:
    return status.lower()
