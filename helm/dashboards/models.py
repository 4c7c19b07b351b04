"""The models and the device it runs on."""

from helm.dashboards.board import Board, Panel, Row, quantiles

_INFERENCE = Row(
    "Inference",
    (
        Panel(
            "Images scored",
            "A second, by replica.",
            {"{{instance}}": "sum by (instance) (rate(sluice_inference_images_total{OURS}[$__rate_interval]))"},
            unit="cps",
        ),
        Panel(
            "Share of time the models work",
            "Seconds of each second in forward passes; near 1 the models are the limit.",
            {
                "{{instance}}": "sum by (instance)"
                ' (rate(sluice_stage_duration_seconds_sum{OURS, stage="model"}[$__rate_interval]))'
            },
            unit="percentunit",
        ),
        Panel(
            "Model and wait for it",
            "A batch's forward passes, and how long it waited for its turn, p95.",
            quantiles("sluice_stage_duration_seconds", 0.95, by="stage"),
            unit="s",
            traces=True,
        ),
        Panel(
            "Scored again",
            "Share of the images near a threshold, scored once more in float32 at a fixed shape.",
            {
                "rechecks": "sum(rate(sluice_inference_rechecks_total{OURS}[$__rate_interval]))"
                " / sum(rate(sluice_inference_images_total{OURS}[$__rate_interval]))"
            },
            unit="percentunit",
        ),
        Panel(
            "Batches halved for want of memory",
            "Smaller batches or another bundle would fit the device.",
            {"splits": "sum(increase(sluice_inference_splits_total{OURS}[$__rate_interval]))"},
        ),
        Panel(
            "Scores that mean nothing",
            "Images with scores that were not finite, or an embedding without direction;"
            " they are INDETERMINATE if float32 does not help either.",
            {
                "not finite": "sum(increase(sluice_inference_non_finite_total{OURS}[$__rate_interval]))",
                "no direction": "sum(increase(sluice_inference_no_direction_total{OURS}[$__rate_interval]))",
            },
        ),
        Panel(
            "Self-test",
            "Known pictures by how they were answered. Anything but right stops publishing.",
            {"{{result}}": "sum by (result) (increase(sluice_self_test_answers_total{OURS}[$__rate_interval]))"},
        ),
        Panel(
            "Ready, and how long loading took",
            "1 while it can judge; seconds from start to loaded models.",
            {
                "ready {{instance}}": "sluice_ready{OURS}",
                "loading {{instance}}": "sluice_model_load_time_seconds{OURS}",
            },
        ),
    ),
)

_GPU = Row(
    "The GPU",
    (
        Panel(
            "Utilization",
            "Share of time in which the GPU did anything at all.",
            {"{{instance}} {{hw_id}}": "hw_gpu_utilization_ratio{OURS} or hw_gpu_utilization{OURS}"},
            unit="percentunit",
        ),
        Panel(
            "Memory",
            "In use, of what there is.",
            {
                "{{instance}} {{hw_id}}": "hw_gpu_memory_usage_bytes{OURS}",
                "limit {{instance}} {{hw_id}}": "hw_gpu_memory_limit_bytes{OURS}",
            },
            unit="bytes",
        ),
        Panel(
            "Temperature",
            "From about 85 degrees a GPU slows down.",
            {"{{instance}} {{hw_id}}": "hw_gpu_temperature_celsius{OURS}"},
            unit="celsius",
        ),
        Panel(
            "Power",
            "As the driver says.",
            {"{{instance}} {{hw_id}}": "hw_gpu_power_watts{OURS}"},
            unit="watt",
        ),
    ),
)

MODELS = Board("sluice-models", "Sluice: GPU and models", "The models and its device.", (_INFERENCE, _GPU))
