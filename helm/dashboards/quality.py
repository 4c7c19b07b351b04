"""What comes out: verdicts, margins, quality, and what could not be judged."""

from helm.dashboards.board import Board, Panel, Row, quantiles

_WITHHELD = 'sum by (generator) (rate(sluice_verdicts_total{OURS, status=~"BLOCK|BLUR|REVIEW"}[$__rate_interval]))'
_JUDGED = 'sum by (generator) (rate(sluice_verdicts_total{OURS, status!="INDETERMINATE"}[$__rate_interval]))'

_VERDICTS = Row(
    "Verdicts",
    (
        Panel(
            "Verdict mix",
            "Share of each status.",
            {
                "{{status}}": "sum by (status) (rate(sluice_verdicts_total{OURS}[$__rate_interval]))"
                " / on () group_left () sum(rate(sluice_verdicts_total{OURS}[$__rate_interval]))"
            },
            unit="percentunit",
            look="stack",
        ),
        Panel(
            "Withheld, by generator",
            "BLOCK, BLUR or REVIEW, of what was judged. One line that leaves the others: that generator has changed.",
            {"{{generator}}": f"{_WITHHELD} / {_JUDGED}"},
            unit="percentunit",
            traces=True,
        ),
        Panel(
            "Images, by generator",
            "At most 20 of them are told apart; the rest is `other`.",
            {"{{generator}}": "sum by (generator) (rate(sluice_verdicts_total{OURS}[$__rate_interval]))"},
            unit="cps",
            look="stack",
        ),
        Panel(
            "Withheld, against the day",
            "The last half hour beside the last day; from the recording rules of the alerts.",
            {
                "{{generator}} 30 minutes": 'job_generator:sluice_withheld:ratio_rate30m{job=~"$job"}',
                "{{generator}} day": 'job_generator:sluice_withheld:ratio_rate1d{job=~"$job"}',
            },
            unit="percentunit",
        ),
    ),
)

_SCORES = Row(
    "Scores",
    (
        Panel(
            "Margin of the nearest concept",
            "Below zero nothing fired. A shift of all quantiles at once: other images, or another model.",
            quantiles("sluice_margin", 0.05, 0.5, 0.95),
        ),
        Panel(
            "CLIP: agreement with the prompt",
            "Cosine of image and prompt.",
            quantiles("sluice_clip_cosine", 0.05, 0.5, 0.95),
        ),
        Panel(
            "Aesthetic score",
            "Where a head for it is configured.",
            quantiles("sluice_aesthetic_score", 0.05, 0.5, 0.95),
        ),
        Panel(
            "Scores that mean nothing, and those scored again",
            "Images a second.",
            {
                "not finite": "sum(rate(sluice_inference_non_finite_total{OURS}[$__rate_interval]))",
                "no direction": "sum(rate(sluice_inference_no_direction_total{OURS}[$__rate_interval]))",
                "scored again": "sum(rate(sluice_inference_rechecks_total{OURS}[$__rate_interval]))",
            },
            unit="cps",
        ),
    ),
)

_LETTERS = Row(
    "What could not be judged",
    (
        Panel(
            "Dead letters, by reason",
            "A second; `sluice dlq list` shows them.",
            {
                "{{stage}}: {{reason}}": "sum by (stage, reason)"
                " (rate(sluice_dead_letters_total{OURS}[$__rate_interval]))"
            },
            unit="cps",
            look="stack",
            traces=True,
        ),
        Panel(
            "Dead letters, share of the records",
            "Above 1 % somebody is told; at 5 % of 1,000 the fuse stops the consumer.",
            {
                "share": "sum(rate(sluice_dead_letters_total{OURS}[$__rate_interval]))"
                " / sum(rate(sluice_verdicts_total{OURS}[$__rate_interval]))"
            },
            unit="percentunit",
            limits=(0.01, 0.05),
        ),
        Panel(
            "Fuse",
            "Largest share of a limit that is used, by replica; at 100 % it stops.",
            {"{{instance}}": "sluice_fuse_level{OURS}"},
            unit="percentunit",
            limits=(0.5, 1),
        ),
        Panel(
            "Poison",
            "Records that killed the process again and again, since it started.",
            {"{{instance}}": 'sum by (instance) (sluice_dead_letters_total{OURS, reason="poison"})'},
        ),
    ),
)

QUALITY = Board(
    "sluice-quality",
    "Sluice: quality and safety",
    "Verdicts, margins, quality scores and dead letters.",
    (_VERDICTS, _SCORES, _LETTERS),
)
