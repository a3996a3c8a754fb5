"""The client for asyncio behind the face of the other one, so that one test is of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, cast

from autofarm import AsyncAutoFarm, AsyncStream, AutoFarm, Message

T = TypeVar("T")

Client: TypeAlias = Callable[..., AutoFarm]
"""Makes a client with the arguments of `AutoFarm`."""


def driven(*args: Any, **how: Any) -> AutoFarm:
    """An `AsyncAutoFarm` whose every method is run to its end."""
    return cast(AutoFarm, Driven(*args, **how))


CLIENTS: list[Client] = [AutoFarm, driven]


class Driven:
    """What its methods answer is awaited in a loop of its own."""

    def __init__(self, *args: Any, **how: Any) -> None:
        self.farm = AsyncAutoFarm(*args, **how)
        self.runner = asyncio.Runner()
        self.is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes it, and its loop; for once."""
        if not self.is_closed:
            self.is_closed = True
            self.runner.run(self.farm.close())
            self.runner.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.farm, name)
        return (lambda *args, **how: self.settled(found(*args, **how))) if callable(found) else found

    def settled(self, made: Any) -> Any:
        """What a method of the other client would answer."""
        if isinstance(made, AsyncStream):
            return DrivenStream(self.runner, made)
        if isinstance(made, AsyncIterator):
            return items(self.runner, made)
        assert isinstance(made, Coroutine), "neither awaited nor iterated"
        return self.runner.run(made)


class DrivenStream:
    """Its stream."""

    def __init__(self, runner: asyncio.Runner, stream: AsyncStream) -> None:
        self.runner = runner
        self.stream = stream

    def __enter__(self) -> Self:
        self.runner.run(self.stream.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.runner.run(self.stream.close())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def receive(self, patience_s: float) -> Message | None:
        """As `Stream.receive`."""
        return self.runner.run(asyncio.wait_for(self.stream.receive(), patience_s))

    def ticks(self) -> Iterator[Any]:
        """As `Stream.ticks`."""
        return items(self.runner, self.stream.ticks())


def items(runner: asyncio.Runner, made: AsyncIterator[T]) -> Iterator[T]:
    """One after the other."""

    async def following() -> tuple[T] | None:
        async for item in made:
            return (item,)
        return None

    while (found := runner.run(following())) is not None:
        yield found[0]
