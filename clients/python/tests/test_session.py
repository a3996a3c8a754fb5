"""What a stream remembers over its connections: places in the logs, views, what an end means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autofarm import Event, Hello, Position, ProtocolError, Refused, Tick, View, ViewGranted, Void
from autofarm.messages import EpochBegin, EventsMissing
from autofarm.position import Reader
from autofarm.session import BINARY, JSON, Ending, Session
from autofarm.view import EventFilter, snapped
from driven import Client
from page import example


def hello(epoch: int, next_event: int = 1, next_system_event: int = 1, *epochs: EpochBegin) -> Hello:
    """A hello of an epoch."""
    return Hello({}, (0, 0, 1, 1), 1, 1, epoch, epochs, next_event, next_system_event)  # type: ignore[typeddict-item]


def event(seq: int, log: Any = "sim") -> Event:
    """An event."""
    return Event(log, seq, 0, "transition", 0, (1,), {})


def reader(**wanted: int) -> Reader:
    """One that begins with the events `wanted`, and takes all."""
    made = Reader(None, {"sim": wanted.get("sim"), "system": wanted.get("system")})
    made.opened(["sim", "system"])
    return made


def test_it_begins_with_what_happens_next() -> None:
    logs = reader()
    assert logs.query() == {}
    assert logs.hello(hello(3, 88, 9)) is None
    assert logs.event(event(88))
    assert logs.query() == {"from_event": "89", "from_system_event": "9", "from_epoch": "3"}
    assert logs.position == Position(3, 88, 8)


def test_a_gap_is_an_error_and_a_repetition_is_passed_over() -> None:
    logs = reader(sim=1, system=1)
    logs.hello(hello(1, 5, 2))
    assert [logs.event(event(seq)) for seq in (1, 2, 2, 1, 3)] == [True, True, False, False, True]
    with pytest.raises(ProtocolError, match="event 5 of the log sim after 3"):
        logs.event(event(5))
    logs.missing(EventsMissing("sim", 4, 8))
    assert logs.event(event(9))


def test_with_only_some_events_there_are_gaps() -> None:
    logs = Reader(None, {})
    logs.opened([])
    logs.hello(hello(1, 5, 2))
    assert logs.event(event(7, "system"))
    assert logs.position == Position(1, 4, 7)


# The example of docs/stream.md: a client of epoch 2 has read up to 93 and 8; the new orchestrator had 87 and 8.
EPOCHS = (EpochBegin(2, 401, 31, 5), EpochBegin(3, 1201, 88, 9))


@pytest.mark.parametrize(
    ("seen", "void", "goes_on_with"),
    [
        (1, Void(401, 31, 5), (31, 5)),
        (2, Void(1201, 88, 9), (88, 9)),
        (3, None, (94, 9)),
    ],
)
def test_what_is_void_is_by_the_epoch_that_was_seen(
    seen: int, void: Void | None, goes_on_with: tuple[int, int]
) -> None:
    logs = Reader(Position(seen, 93, 8), {})
    logs.opened(["sim", "system"])
    assert logs.query() == {"from_event": "94", "from_system_event": "9", "from_epoch": str(seen)}
    assert logs.hello(hello(3, 88, 9, *EPOCHS)) == void
    assert (logs.position.event + 1, logs.position.system_event + 1) == goes_on_with
    if void is not None:
        assert logs.event(event(goes_on_with[0]))


def test_a_void_drops_ticks_and_events_from_there_on() -> None:
    void = Void(1201, 88, 9)
    assert [void.holds(event(seq)) for seq in (87, 88)] == [False, True]
    assert [void.holds(event(seq, "system")) for seq in (8, 9, 88)] == [False, True, True]


def test_who_has_seen_no_hello_has_nothing_that_could_be_void() -> None:
    logs = reader(sim=1, system=1)
    assert logs.hello(hello(3, 88, 9, *EPOCHS)) is None
    assert logs.event(event(1))


def test_an_epoch_that_falls_is_an_error() -> None:
    logs = reader()
    logs.hello(hello(3))
    with pytest.raises(ProtocolError, match="epoch 2 after one of 3"):
        logs.hello(hello(2))


def test_a_named_seq_that_is_not_reached_begins_with_what_happens_next() -> None:
    logs = reader(sim=1_000, system=1_000)
    logs.hello(hello(1, 5, 2))
    assert logs.event(event(5))
    assert logs.event(event(2, "system"))


def test_what_was_read_elsewhere_and_is_not_heard_of_here_yet_does_not_come_twice() -> None:
    logs = Reader(Position(1, 9, 0), {})
    logs.opened(["sim", "system"])
    # This gateway is behind the one before: it begins with what it takes for the next event.
    logs.hello(hello(1, 8, 1))
    assert [logs.event(event(seq)) for seq in (8, 9, 10)] == [False, False, True]


def granted(view: View) -> str:
    """The gateway's answer to a view."""
    return json.dumps(view.message())


def test_a_view_counts_once_it_is_granted() -> None:
    session = Session(View(), binary=False)
    session.opened(JSON)
    good, bad = View(max_entities=7, rate_hz=3), View(rate_hz=61)
    session.ask(bad)
    session.ask(good)
    assert session.receive('{"type":"error","code":"bad_view","detail":"rate_hz: 61 is not from 1 to 60"}') == Refused(
        "bad_view", "rate_hz: 61 is not from 1 to 60"
    )
    assert session.view == View()
    assert isinstance(session.receive(granted(good)), ViewGranted)
    assert session.view == good
    assert session.query()["max_entities"] == "7"


def test_a_view_without_an_answer_is_asked_for_again() -> None:
    session = Session(View(), binary=False)
    session.opened(JSON)
    asked = session.ask(View(max_entities=7))
    assert session.opened(JSON) == [asked]


def test_bounds_snap_as_the_page_says() -> None:
    assert snapped((0, 0, 100, 80)) == (0, 0, 128, 96)
    assert snapped((-1, -1, 1, 1)) == (-16, -16, 16, 16)


def test_a_message_of_a_type_that_is_not_known_is_passed_over() -> None:
    session = Session(View(), binary=False)
    session.opened(JSON)
    assert session.receive('{"type":"weather","rain":true}') is None


@pytest.mark.parametrize("kind", [3, 7, 255])
@pytest.mark.parametrize("rest", [b"", b"\x01", b"\x02" + bytes(400)])
def test_a_binary_message_of_a_kind_that_is_not_known_is_passed_over(kind: int, rest: bytes) -> None:
    session = Session(View(), binary=True)
    session.opened(BINARY)
    unknown = bytes([kind]) + rest
    # Before `ids`, between them and a tick, and after it.
    assert session.receive(unknown) is None
    assert session.receive(example(0)) is None
    assert session.receive(unknown) is None
    assert isinstance(session.receive(example(1)), Tick)
    assert session.receive(unknown) is None


@pytest.mark.parametrize("message", [b"", bytes(8), bytes([2]), example(1)[:-1], bytes([2, 2]) + example(1)[2:]])
def test_a_binary_message_that_is_none_is_named(message: bytes) -> None:
    session = Session(View(), binary=True)
    session.opened(BINARY)
    session.receive(example(0))
    with pytest.raises(ProtocolError):
        session.receive(message)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"type":"event"}', '{"type":"lagged"}'])
def test_a_message_that_is_none_is_named(text: str) -> None:
    session = Session(View(), binary=False)
    session.opened(JSON)
    with pytest.raises(ProtocolError):
        session.receive(text)


@pytest.mark.parametrize(
    ("code", "reason", "ending"),
    [
        (1000, "deleted", Ending.OVER),
        (1000, "", Ending.AGAIN),
        (1001, "going_away", Ending.AGAIN),
        (1006, "", Ending.AGAIN),
        (1008, "events_behind", Ending.AGAIN),
        (1011, "internal_error", Ending.AGAIN),
        (1013, "events_unavailable", Ending.AGAIN),
        (1002, "unmasked_frame", Ending.FAILED),
        (1008, "token_revoked", Ending.FAILED),
        (1008, "too_many_messages", Ending.FAILED),
        (1009, "message_too_large", Ending.FAILED),
    ],
)
def test_what_an_end_means(code: int, reason: str, ending: Ending) -> None:
    assert Session(View(), binary=False).ending(code, reason) is ending


@pytest.mark.parametrize(
    ("events", "older", "says"),
    [
        ("none", {"from_event": 1}, "from_event=1: .*'none' .* 'sim'; one with events='all' does"),
        ("none", {"from_system_event": 1}, "from_system_event=1: .*'none' .*'lifecycle' or 'system' or 'all'"),
        ("lifecycle", {"from_event": 7}, "from_event=7: .*'lifecycle' .* 'sim'; one with events='all' does"),
        ("system", {"from_event": 1}, "from_event=1: .*'system' .* 'sim'; one with events='all' does"),
        ("lifecycle", {"from_system_event": 1}, None),
        ("system", {"from_system_event": 1}, None),
        ("all", {"from_event": 1, "from_system_event": 1}, None),
    ],
)
def test_older_events_that_the_view_does_not_bring_are_refused(
    client: Client, events: EventFilter, older: dict[str, int], says: str | None
) -> None:
    farm = client("http://gateway")
    if says is None:
        farm.stream("id", View(events=events), **older)  # type: ignore[arg-type]
        return
    with pytest.raises(ValueError, match=says):
        farm.stream("id", View(events=events), **older)  # type: ignore[arg-type]


def test_a_place_to_resume_at_is_taken_whatever_the_view() -> None:
    session = Session(View(), binary=False, start=Position(2, 93, 8))
    assert session.query()["from_system_event"] == "9"
    assert "from_event" not in Session(View(events="none"), binary=False, start=Position(2, 93, 8)).query()


def test_with_the_events_of_the_system_that_log_is_whole() -> None:
    session = Session(View(events="system"), binary=False, from_system_event=1)
    assert session.query() == {
        "max_entities": "2000",
        "rate_hz": "10",
        "events": "system",
        "from_system_event": "1",
    }
    session.opened(JSON)
    session.reader.hello(hello(1, 5, 2))
    assert session.reader.event(event(1, "system"))
    # What of the other log passes is but some of it.
    assert session.reader.event(event(9, "sim"))
    with pytest.raises(ProtocolError, match="event 3 of the log system after 1"):
        session.reader.event(event(3, "system"))
