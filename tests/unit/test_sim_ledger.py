"""The ledger finds what is planted, and nothing else."""

from dataclasses import replace

from sluice_schemas import Status, unreadable_image_id
from sluice_sim.ledger import Kind, Ledger, Sighting
from sluice_sim.report import Report
from sluice_sim.truth import Place, Sent, Truth

ALLOW, BLOCK, INDETERMINATE = Status.ALLOW, Status.BLOCK, Status.INDETERMINATE


def _sent(offset: int, *, partition: int = 0, **truth: object) -> Sent:
    known = Truth(
        number=offset, image_id=f"image-{partition}-{offset}", generator="aurora@1.4", sha256=f"{offset:064x}"
    )
    return Sent(Place("in", partition, offset), 1000 + 10 * offset, replace(known, **truth))  # type: ignore[arg-type]


def _saw(sent: Sent, kind: Kind = "verdict", *, wait_ms: int = 100, out: int = 0, **more: object) -> Sighting:
    truth = sent.truth
    sighting = Sighting(
        kind,
        place=Place(f"out-{kind}", out, 0),
        source=sent.place,
        image_id=truth.image_id if truth.readable else unreadable_image_id(*sent.place),
        timestamp_ms=sent.timestamp_ms + wait_ms,
        status=ALLOW if kind == "verdict" else None,
    )
    return replace(sighting, **more)  # type: ignore[arg-type]


def _judged(sent: Sent, status: Status = ALLOW, cosine: float = 0.3) -> list[Sighting]:
    return [_saw(sent, status=status), _saw(sent, "quality", cosine=cosine)]


def _rejected(sent: Sent, reason: str = "malformed") -> list[Sighting]:
    return [_saw(sent, status=INDETERMINATE, reason=reason), _saw(sent, "dead_letter")]


def _report(sent: list[Sent], seen: list[Sighting]) -> Report:
    ledger = Ledger()
    for one in sent:
        ledger.sent(one)
    for other in seen:
        ledger.saw(other)
    return ledger.report()


def test_an_empty_ledger_reports_nothing_and_nothing_wrong() -> None:
    assert Ledger().report() == Report()
    assert Report().exactly_once


def test_a_judged_and_a_rejected_input_are_whole() -> None:
    judged, rejected = _sent(0), _sent(1, fault="gif")
    report = _report([judged, rejected], [*_judged(judged), *_rejected(rejected)])
    assert (report.published, report.verdicts, report.quality, report.dead_letters) == (2, 2, 1, 1)
    assert report.exactly_once
    assert report.status_counts == {"ALLOW": 1, "INDETERMINATE": 1}


def test_an_input_without_a_verdict_is_lost() -> None:
    sent = [_sent(0), _sent(1)]
    report = _report(sent, _judged(sent[0]))
    assert (report.lost, report.exactly_once) == (1, False)


def test_a_second_verdict_is_a_duplicate_and_not_out_of_order() -> None:
    sent = [_sent(0), _sent(1)]
    report = _report(sent, [*_judged(sent[0]), *_judged(sent[1]), _saw(sent[0])])
    assert (report.duplicated, report.out_of_order, report.exactly_once) == (1, 0, False)


def test_a_second_quality_event_or_dead_letter_is_a_duplicate_too() -> None:
    judged, rejected = _sent(0), _sent(1, fault="gif")
    report = _report([judged, rejected], [*_judged(judged), *_rejected(rejected), _saw(judged, "quality")])
    assert report.duplicated == 1


def test_a_verdict_behind_a_later_one_of_its_partition_is_out_of_order() -> None:
    sent = [_sent(0), _sent(1), _sent(2)]
    report = _report(sent, [s for one in (sent[0], sent[2], sent[1]) for s in _judged(one)])
    assert (report.out_of_order, report.lost, report.exactly_once) == (2, 0, False)  # the verdict, and the quality


def test_partitions_have_no_order_among_each_other() -> None:
    sent = [_sent(5), _sent(0, partition=1)]
    assert _report(sent, [s for one in sent for s in _judged(one)]).out_of_order == 0


def test_output_partitions_have_no_order_among_each_other() -> None:
    sent = [_sent(0), _sent(1)]
    seen = [_saw(sent[1], out=1), _saw(sent[0], out=0), _saw(sent[1], "quality"), _saw(sent[0], "quality", out=1)]
    assert _report(sent, seen).out_of_order == 0


def test_a_verdict_without_its_partner_is_torn() -> None:
    sent = [_sent(0), _sent(1, fault="gif")]
    report = _report(sent, [_saw(sent[0]), _saw(sent[1], status=INDETERMINATE)])
    assert (report.torn, report.lost, report.exactly_once) == (2, 0, False)


def test_the_wrong_partner_is_torn() -> None:
    sent = [_sent(0), _sent(1, fault="gif")]
    seen = [
        *(_saw(sent[0]), _saw(sent[0], "dead_letter")),
        *(_saw(sent[1], status=INDETERMINATE), _saw(sent[1], "quality")),
    ]
    assert _report(sent, seen).torn == 2


def test_both_partners_at_once_are_torn() -> None:
    sent = _sent(0)
    assert _report([sent], [*_judged(sent), _saw(sent, "dead_letter")]).torn == 1


def test_a_partner_without_its_verdict_is_torn_and_lost() -> None:
    sent = _sent(0)
    report = _report([sent], [_saw(sent, "quality")])
    assert (report.torn, report.lost) == (1, 1)


def test_a_verdict_on_another_image_is_misattributed() -> None:
    sent = _sent(0)
    assert _report([sent], [_saw(sent, image_id="another"), _saw(sent, "quality")]).misattributed == 1


def test_a_verdict_on_other_bytes_is_misattributed() -> None:
    sent = _sent(0)
    assert _report([sent], [_saw(sent, sha256="f" * 64), _saw(sent, "quality")]).misattributed == 1


def test_an_unreadable_record_is_named_by_its_place() -> None:
    sent = _sent(3, fault="tombstone", readable=False)
    assert _report([sent], _rejected(sent)).misattributed == 0
    assert _report([sent], [_saw(sent, image_id=sent.truth.image_id)]).misattributed == 1


def test_answers_to_another_run_are_strangers_and_count_nowhere_else() -> None:
    ours, theirs = _sent(0), _sent(1)
    report = _report([ours], [*_judged(theirs), *_judged(ours)])
    assert (report.strangers, report.verdicts, report.out_of_order) == (1, 1, 2)


def test_an_answer_may_be_seen_before_the_truth_is_known() -> None:
    sent, ledger = _sent(0), Ledger()
    for sighting in _judged(sent):
        ledger.saw(sighting)
    ledger.sent(sent)
    assert ledger.report().exactly_once


def test_outstanding_counts_what_waits_for_its_verdict_or_its_partner() -> None:
    sent, ledger = [_sent(0), _sent(1), _sent(2)], Ledger()
    for one in sent:
        ledger.sent(one)
    for sighting in [*_judged(sent[0]), _saw(sent[1])]:
        ledger.saw(sighting)
    assert ledger.outstanding == 2


def test_an_output_that_is_no_event_is_counted_and_is_not_well() -> None:
    ledger = Ledger()
    ledger.unreadable()
    assert (ledger.report().unreadable, ledger.report().exactly_once) == (1, False)


def test_precision_and_recall_are_of_blocks_among_judged_inputs() -> None:
    statuses = [(True, BLOCK), (True, BLOCK), (True, ALLOW), (False, BLOCK), (False, ALLOW), (True, INDETERMINATE)]
    sent = [_sent(offset, unsafe=unsafe) for offset, (unsafe, _) in enumerate(statuses)]
    report = _report(sent, [_saw(one, status=status) for one, (_, status) in zip(sent, statuses, strict=True)])
    assert (report.safety.precision, report.safety.recall) == (2 / 3, 2 / 3)


def test_clip_figures_leave_out_events_without_a_prompt_and_hostile_ones() -> None:
    cosines = [(True, 0.4), (True, 0.3), (False, 0.1), (False, 0.35), (None, 0.9)]
    sent = [_sent(offset, matching=matching) for offset, (matching, _) in enumerate(cosines)]
    seen = [s for one, (_, cosine) in zip(sent, cosines, strict=True) for s in _judged(one, cosine=cosine)]
    clip = _report(sent, seen).clip
    assert clip.auc == 0.75
    assert clip.matching_mean is not None
    assert abs(clip.matching_mean - 0.35) < 1e-9


def test_a_sound_input_that_came_back_indeterminate_is_named_with_its_reason() -> None:
    sent = [_sent(0), _sent(1, fault="gif")]
    report = _report(sent, [*_rejected(sent[0], "timeout"), *_rejected(sent[1], "format")])
    assert report.rejected == {"timeout": 1}
    assert (report.hostile.answered, report.hostile.handled) == (1, 1)
    assert report.hostile.reasons == {"gif": {"format": 1}}


def test_a_hostile_input_that_is_allowed_is_not_handled() -> None:
    sent = _sent(0, fault="gif")
    hostile = _report([sent], _judged(sent)).hostile
    assert (hostile.answered, hostile.handled, hostile.reasons) == (1, 0, {"gif": {"ALLOW": 1}})


def test_hostile_inputs_do_not_count_for_agreement_with_the_truth() -> None:
    sent = _sent(0, fault="gif", unsafe=True, matching=True)
    report = _report([sent], _judged(sent, BLOCK))
    assert (report.safety.precision, report.safety.recall, report.clip.matching_mean) == (None, None, None)


def test_time_runs_from_the_first_input_to_the_last_verdict() -> None:
    sent = [_sent(offset) for offset in range(101)]
    report = _report(sent, [_saw(one, wait_ms=one.place.offset) for one in sent])
    assert (report.latency_ms.p50, report.latency_ms.p95, report.latency_ms.p99) == (50, 95, 99)
    assert report.elapsed_s == 1.1
    assert abs(report.events_per_s - 101 / 1.1) < 1e-9


def test_generators_are_told_apart() -> None:
    sent = [_sent(0), _sent(1, generator="aurora@1.5"), _sent(2, generator="aurora@1.5")]
    seen = [*_judged(sent[0]), *_judged(sent[1], BLOCK, 0.1), *_judged(sent[2], ALLOW, 0.3)]
    figures = _report(sent, seen).generators
    assert figures["aurora@1.5"].blocked == 0.5
    assert figures["aurora@1.5"].clip_mean == 0.2
    assert figures["aurora@1.4"].verdicts == 1


def test_the_reports_json_has_the_promised_keys() -> None:
    promised = {
        *("published", "verdicts", "quality", "dead_letters", "lost", "duplicated", "out_of_order"),
        *("status_counts", "safety", "clip", "latency_ms", "events_per_s", "elapsed_s"),
    }
    values = Report().as_json()
    assert promised <= values.keys()
    assert set(values["safety"]) == {"precision", "recall"}
    assert set(values["clip"]) == {"matching_mean", "mismatching_mean", "auc"}
    assert set(values["latency_ms"]) == {"p50", "p95", "p99"}
