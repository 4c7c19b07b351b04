"""Truth survives its file, while the file is being written as well."""

from pathlib import Path

from sluice_sim.truth import Inbox, Place, Sent, Truth, TruthReader, TruthWriter


def _sent(number: int) -> Sent:
    truth = Truth(number=number, image_id=str(number), generator="aurora@1.4", unsafe=True, degraded="blur")
    return Sent(Place("in", 2, number), 1000 + number, truth)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    with path.open("w") as file:
        writer = TruthWriter(file)
        writer(_sent(0))
        writer(_sent(1))
        writer.end()
    reader = TruthReader(path)
    assert list(reader()) == [_sent(0), _sent(1)]
    assert reader.complete


def test_a_reader_follows_the_file_and_gives_each_record_once(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    reader = TruthReader(path)
    assert list(reader()) == []
    with path.open("w") as file:
        writer = TruthWriter(file)
        writer(_sent(0))
        assert list(reader()) == [_sent(0)]
        writer(_sent(1))
        assert list(reader()) == [_sent(1)]
        assert not reader.complete
        writer.end()
    assert list(reader()) == []
    assert reader.complete


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    whole, growing = tmp_path / "whole", tmp_path / "growing"
    with whole.open("w") as file:
        TruthWriter(file)(_sent(0))
    line = whole.read_bytes()
    reader = TruthReader(growing)
    growing.write_bytes(line[:20])
    assert list(reader()) == []
    growing.write_bytes(line)
    assert list(reader()) == [_sent(0)]


def test_an_inbox_gives_each_record_once_and_in_order() -> None:
    inbox = Inbox()
    inbox.put(_sent(0))
    inbox.put(_sent(1))
    assert list(inbox()) == [_sent(0), _sent(1)]
    assert list(inbox()) == []
