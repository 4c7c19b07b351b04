"""Inside the consumer: batches, landings, Kafka, processes."""

from helm.dashboards.board import Board, Panel, Row, quantiles

_ROAD = Row(
    "The road of a batch",
    (
        Panel(
            "Stages, p95",
            "Of a batch. Wait is for the models' turn: long, where the models are the limit.",
            quantiles("sluice_stage_duration_seconds", 0.95, by="stage"),
            unit="s",
            traces=True,
        ),
        Panel(
            "Stages, seconds a second",
            "All replicas and batches together: which stage the time is spent in, and how many at once.",
            {"{{stage}}": "sum by (stage) (rate(sluice_stage_duration_seconds_sum{OURS}[$__rate_interval]))"},
            look="stack",
            traces=True,
        ),
        Panel(
            "Batch, launch to outcomes",
            "One batch from its launch until every record has its outcome.",
            quantiles("messaging_process_duration_seconds", 0.5, 0.95, 0.99),
            unit="s",
            traces=True,
        ),
        Panel(
            "Batch size",
            "Mean records per batch by why it was cut: small ones are normal while the models keep up.",
            {
                "{{reason}}": "sum by (reason) (rate(sluice_batch_records_sum{OURS}[$__rate_interval]))"
                " / sum by (reason) (rate(sluice_batch_records_count{OURS}[$__rate_interval]))"
            },
        ),
        Panel(
            "Batches a second, by why they were cut",
            "Full batches only: the models are the limit. Others: the log is.",
            {"{{reason}}": "sum by (reason) (rate(sluice_batch_records_count{OURS}[$__rate_interval]))"},
            unit="cps",
            look="stack",
        ),
        Panel(
            "Batches under way, and pauses",
            "With all flights taken the partitions are paused (1).",
            {"flights {{instance}}": "sluice_flights{OURS}", "paused {{instance}}": "sluice_paused{OURS}"},
        ),
    ),
)

_KAFKA = Row(
    "Kafka",
    (
        Panel(
            "Landings",
            "One transaction each, from begin to commit; it should last well under 250 ms.",
            quantiles("sluice_commit_duration_seconds", 0.5, 0.95, 0.99),
            unit="s",
            traces=True,
        ),
        Panel(
            "Images per landing",
            "Mean; large where commits are slow and many batches are finished by then.",
            {
                "images": "sum(rate(sluice_commit_records_sum{OURS}[$__rate_interval]))"
                " / sum(rate(sluice_commit_records_count{OURS}[$__rate_interval]))"
            },
        ),
        Panel(
            "Client operations, p95",
            "Polls that returned records, and commits.",
            quantiles("messaging_client_operation_duration_seconds", 0.95, by="messaging_operation_name"),
            unit="s",
        ),
        Panel(
            "Sent, by topic",
            "Committed records a second. Verdicts and quality events differ by the dead letters.",
            {
                "{{messaging_destination_name}}": "sum by (messaging_destination_name)"
                " (rate(messaging_client_sent_messages_total{OURS}[$__rate_interval]))"
            },
            unit="cps",
        ),
        Panel(
            "Rebalances",
            "How often partitions came and went; lost ones were taken from a member that was given up for dead.",
            {"{{kind}}": "sum by (kind) (increase(sluice_rebalances_total{OURS}[$__rate_interval]))"},
        ),
        Panel(
            "Partitions, by replica",
            "Uneven where partitions do not divide by replicas; none: more replicas than partitions.",
            {"{{instance}}": "sluice_partitions_assigned{OURS}"},
        ),
        Panel(
            "Transactions aborted",
            "Nothing of them was published; the same outcomes land in the next turn.",
            {"aborted": "sum(increase(sluice_transactions_aborted_total{OURS}[$__rate_interval]))"},
        ),
        Panel(
            "Producers built anew",
            "After a commit in doubt, by the doubt.",
            {"{{reason}}": "sum by (reason) (increase(sluice_producer_recycled_total{OURS}[$__rate_interval]))"},
        ),
    ),
)

_PROCESS = Row(
    "Dependencies and processes",
    (
        Panel(
            "Pauses for dependencies",
            "How often batches had to wait for one.",
            {"{{dependency}}": "sum by (dependency) (increase(sluice_dependency_down_total{OURS}[$__rate_interval]))"},
        ),
        Panel(
            "Decoders that died",
            "Crashed or were killed, by reason; they are replaced.",
            {"{{reason}}": "sum by (reason) (increase(sluice_decoder_deaths_total{OURS}[$__rate_interval]))"},
        ),
        Panel(
            "Processor",
            "Cores in use, by replica; decoder processes are not counted.",
            {"{{instance}}": "sum by (instance) (rate(process_cpu_time_seconds_total{OURS}[$__rate_interval]))"},
        ),
        Panel(
            "Memory",
            "Resident memory of the consumer's own process; docs/resources.md has the formula of its bound.",
            {"{{instance}}": "sum by (instance) (process_memory_usage_bytes{OURS})"},
            unit="bytes",
        ),
        Panel(
            "Uptime",
            "Since the process started; falls to zero where it was started again.",
            {"{{instance}}": "time() - process_start_time_seconds{OURS}"},
            unit="s",
        ),
        Panel(
            "Spans delivered to the collector",
            "And those it did not take, by error. Judging never waits for it.",
            {
                "delivered": 'sum(rate(otel_sdk_exporter_span_exported_total{OURS, error_type=""}[$__rate_interval]))',
                "lost: {{error_type}}": "sum by (error_type)"
                ' (rate(otel_sdk_exporter_span_exported_total{OURS, error_type!=""}[$__rate_interval]))',
            },
            unit="cps",
        ),
    ),
)

INTERNALS = Board(
    "sluice-internals",
    "Sluice: inside the consumer",
    "Batches, landings, Kafka and processes.",
    (_ROAD, _KAFKA, _PROCESS),
)
