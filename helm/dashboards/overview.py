"""The first page for whoever is on call: do images wait, since when, and what holds them up."""

from helm.dashboards.board import Board, Panel, Row, figure, quantiles

_NOW = Row(
    "Do images wait?",
    (
        figure(
            "Longest wait",
            "Age of the oldest image without a verdict.",
            "max(sluice_lag_age_seconds{OURS})",
            unit="s",
            limits=(10, 60),
        ),
        figure(
            "Images waiting",
            "Records behind the group's committed offsets, all partitions together.",
            "sum(kafka_consumer_group_lag{OURS})",
            limits=None,
        ),
        figure(
            "Time to drain",
            "At the present rates, for the slowest replica; a week is never, 0 while nobody waits for 10 s.",
            "max(sluice_lag_drain_time_seconds{OURS} and on (job, instance)"
            " (max by (job, instance) (sluice_lag_age_seconds{OURS}) > 10)) or vector(0)",
            unit="s",
            limits=(600, 1800),
        ),
        figure(
            "Judged within 10 s",
            "Share of the last hour's images whose verdict was committed within 10 s of their record; objective 99 %.",
            'sum(rate(sluice_event_age_seconds_bucket{OURS, le=~"10|10.0"}[1h]))'
            " / sum(rate(sluice_event_age_seconds_count{OURS}[1h]))",
            unit="percentunit",
            limits=(0.999, 0.99),
        ),
        figure(
            "Budget left",
            "What is left of the 1 % of images that may be late, over three days; from the recording rules.",
            'clamp_min(1 - max(job:sluice_slow_images:ratio_rate3d{job=~"$job"}) / 0.01, 0)',
            unit="percentunit",
            limits=(0.5, 0.1),
        ),
        figure(
            "Replicas that judge",
            "Share of the replicas that are ready: models attested, self-test passed, fuse whole.",
            "avg(sluice_ready{OURS})",
            unit="percentunit",
            limits=(1, 0.5),
        ),
    ),
)

_HOW_LONG = Row(
    "How long, and is it getting better?",
    (
        Panel(
            "Event age",
            "From a record's timestamp to the commit of its verdict: of what landed. Beside it stands what waits.",
            quantiles("sluice_event_age_seconds", 0.5, 0.95, 0.99),
            unit="s",
            limits=(10, 60),
            traces=True,
        ),
        Panel(
            "Oldest image without a verdict",
            "By partition, the ten oldest. One line alone that rises like time itself: that partition stands still.",
            {"{{topic}}/{{partition}}": "topk(10, max by (topic, partition) (sluice_lag_age_seconds{OURS}))"},
            unit="s",
            limits=(10, 60),
        ),
        Panel(
            "Lag: the longest partition beside the sum",
            "Where both are alike, one partition has it all: a hot key, or it is stuck. More replicas do not help.",
            {
                "all partitions": "sum(kafka_consumer_group_lag{OURS})",
                "longest partition": "max(kafka_consumer_group_lag{OURS})",
            },
        ),
        Panel(
            "Slope of the lag",
            "Records a second by which what waits grows (above zero) or shrinks.",
            {"all partitions": "sum(deriv(kafka_consumer_group_lag{OURS}[$__rate_interval]))"},
            unit="cps",
        ),
        Panel(
            "In against out",
            "Arriving is what was judged and what the lag grew by; read runs ahead of judged by what is in flight.",
            {
                "arriving": "sum(rate(sluice_event_age_seconds_count{OURS}[$__rate_interval]))"
                " + sum(deriv(kafka_consumer_group_lag{OURS}[$__rate_interval]))",
                "read": "sum(rate(messaging_client_consumed_messages_total{OURS}[$__rate_interval]))",
                "judged": "sum(rate(sluice_verdicts_total{OURS}[$__rate_interval]))",
            },
            unit="cps",
        ),
        Panel(
            "Time to drain",
            "At the present rates, by replica; no line where it would never end.",
            {"{{instance}}": "sluice_lag_drain_time_seconds{OURS} < 604800"},
            unit="s",
        ),
    ),
)

_WHY = Row(
    "Why?",
    (
        Panel(
            "Where the time goes",
            "Seconds of each second of the loop, mean of the replicas. Backpressure: models or a store are too slow. "
            "Commit: the brokers are. Idle: nothing to do.",
            {"{{activity}}": "avg by (activity) (rate(sluice_activity_time_seconds_total{OURS}[$__rate_interval]))"},
            unit="percentunit",
            look="stack",
            traces=True,
        ),
        Panel(
            "Waiting for dependencies",
            "1 while batches wait for a store, a registry or a device. Stores with open breakers are left alone.",
            {
                "waits for {{dependency}}": "max by (dependency) (sluice_dependency_waiting{OURS})",
                "breakers open": "max(sluice_breaker_open{OURS})",
            },
        ),
        Panel(
            "Verdicts",
            "Committed verdicts a second by status.",
            {"{{status}}": "sum by (status) (rate(sluice_verdicts_total{OURS}[$__rate_interval]))"},
            unit="cps",
            look="stack",
        ),
        Panel(
            "Dead letters and the fuse",
            "Share of the records that could not be judged, and of the fuse's limit: at 100 % the consumer stops.",
            {
                "dead letters": "sum(rate(sluice_dead_letters_total{OURS}[$__rate_interval]))"
                " / sum(rate(sluice_verdicts_total{OURS}[$__rate_interval]))",
                "fuse": "max(sluice_fuse_level{OURS})",
            },
            unit="percentunit",
        ),
        Panel(
            "Burn rate",
            "How many times too fast the budget of late images is spent, by window. Pages above 14.4 (1h) and 6 (6h).",
            {
                window: f'max(job:sluice_slow_images:ratio_rate{window}{{job=~"$job"}}) / 0.01'
                for window in ("5m", "1h", "6h", "1d")
            },
            limits=(6, 14.4),
        ),
        Panel(
            "Alerts",
            "What fires; each has its page in docs/runbooks.",
            {"{{alertname}} {{severity}}": 'max by (alertname, severity) (ALERTS{alertname=~"Sluice.+"})'},
            look="states",
        ),
    ),
)

OVERVIEW = Board(
    "sluice-overview",
    "Sluice: do images wait?",
    "The objective, what waits, and what holds it up.",
    (_NOW, _HOW_LONG, _WHY),
)
