"""What a client sends, and what it is answered."""

from __future__ import annotations

from typing import Any

from farm import SUBPROTOCOLS, farm, need
from rest import Api
from stream import Stream

BAD_MESSAGES: tuple[str, ...] = (
    "",
    "hello",
    "[1]",
    '["ping"]',
    "{",
    '{"type":"views"}',
    '{"view":{}}',
    '{"type":"ping","colour":"red"}',
    '{"type":"view","colour":"red"}',
)
BAD_VIEWS: tuple[dict[str, Any], ...] = (
    {"rate_hz": 0},
    {"rate_hz": 61},
    {"max_entities": 1_000_000_000},
    {"bounds_m": [0, 0, 20_000_000, 10]},
    {"bounds_m": [10, 0, 0, 10]},
)
# Neither ill-formed nor out of range: fields that are of another type.
BAD_TYPES: tuple[dict[str, Any], ...] = (
    {"rate_hz": "fast"},
    {"rate_hz": 2.5},
    {"bounds_m": [0, 0, 1]},
    {"events": "some"},
)
MAX_BYTES = 16_384
MAX_FRAGMENTS = 32


async def answered(api: Api) -> None:
    """Pings are answered, mistakes are named, and the last view stays."""
    async with farm(api) as made:
        for subprotocol in SUBPROTOCOLS:
            async with made.stream(subprotocol) as stream:
                await stream.send({"type": "ping"})
                need(await stream.message("pong") == {"type": "pong"}, "a pong")
                for text in BAD_MESSAGES:
                    await stream.send(text)
                    await named(stream, "bad_message", text)
                for view in BAD_TYPES:
                    await stream.send({"type": "view"} | view)
                    await named(stream, "bad_message", str(view))
                await stream.send({"type": "view", "max_entities": 7})
                await stream.message("view")
                for view in BAD_VIEWS:
                    await stream.send({"type": "view"} | view)
                    await named(stream, "bad_view", str(view))
                await made.act("start" if subprotocol == SUBPROTOCOLS[0] else "resume")
                need(len((await stream.tick()).machines) <= 7, "the last view does not stay")
                await made.pause()


async def named(stream: Stream, code: str, what: str) -> None:
    """The next answer is an error with this code."""
    error = await stream.message("error")
    need(error["code"] == code and error["detail"], f"{what}: {error}")


async def closed(api: Api) -> None:
    """What a client must not send closes its stream with the code that the page names."""
    async with farm(api) as made:
        async with made.stream() as stream:
            await stream.send(b"\x01\x02")
            await ends(stream, 1003, "no_binary")
        async with made.stream() as stream:
            await stream.connection.send(b"\xff\xfe", text=True)
            await ends(stream, 1007, "no_utf8")
        async with made.stream() as stream:
            await stream.send(" " * MAX_BYTES)
            await named(stream, "bad_message", "the longest message")
            await stream.send(" " * (MAX_BYTES + 1))
            await ends(stream, 1009, "frame_too_large")
        async with made.stream() as stream:
            await stream.connection.send([" " * MAX_BYTES, " "])
            await ends(stream, 1009, "message_too_large")
        async with made.stream() as stream:
            await stream.connection.send([" "] * (MAX_FRAGMENTS + 1))
            await ends(stream, 1009, "too_many_fragments")
        async with made.stream() as stream:
            await stream.connection.close(1000)
            frame = stream.connection.protocol.close_rcvd
            need(frame is not None and frame.code == 1000, f"the answer to a close is {frame}")


async def flooded(api: Api) -> None:
    """Too many messages close the stream."""
    async with farm(api) as made:
        async with made.stream() as stream:
            stream.flood({"type": "ping"}, 400)
            await ends(stream, 1008, "too_many_messages")


async def deleted(api: Api) -> None:
    """The end of a simulation is the end of its streams."""
    for subprotocol in SUBPROTOCOLS:
        async with farm(api) as made:
            async with made.stream(subprotocol) as stream:
                await stream.message("hello")
                await made.expect(204, "DELETE", "")
                await ends(stream, 1000, "deleted")


async def ends(stream: Stream, code: int, reason: str) -> None:
    """The stream ends so."""
    ended = await stream.ended()
    need(ended == (code, reason), f"closed with {ended}, not {(code, reason)}")
