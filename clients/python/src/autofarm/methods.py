"""
Methods that are described once for both clients: a description says what is asked and what the answer means, and the
client that it is called on carries it out, `AutoFarm` in a loop that waits, `AsyncAutoFarm` for asyncio. Types and
`help` tell the arguments of the description.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from autofarm.async_stream import AsyncStream
from autofarm.calls import Answer, Items
from autofarm.connection import Connector
from autofarm.stream import Stream

P = ParamSpec("P")
T = TypeVar("T")


class Waiting(ABC):
    """A client whose methods return once they are answered."""

    @abstractmethod
    def _run(self, steps: Answer[T]) -> T:
        """Carries an operation out."""

    @abstractmethod
    def _iterate(self, items: Items[T]) -> Iterator[T]:
        """Goes through a list."""

    @abstractmethod
    def _watch(self, connector: Connector) -> Stream:
        """Makes a stream."""


class Awaited(ABC):
    """A client whose methods are awaited, and whose lists are iterated by `async for`."""

    @abstractmethod
    async def _run(self, steps: Answer[T]) -> T:
        """Carries an operation out."""

    @abstractmethod
    def _iterate(self, items: Items[T]) -> AsyncIterator[T]:
        """Goes through a list."""

    @abstractmethod
    def _watch(self, connector: Connector) -> AsyncStream:
        """Makes a stream."""


class Method:
    """A method by its description, and the name of what the client does with what that returns."""

    def __init__(self, describe: Callable[..., Any], carry_out: str) -> None:
        def method(client: Any, *args: Any, **how: Any) -> Any:
            return getattr(client, carry_out)(describe(client, *args, **how))

        self.method = update_wrapper(method, describe)

    def of(self, client: object) -> Any:
        """The method of a client; where it is asked of the class, the function."""
        return self.method if client is None else MethodType(self.method, client)


class Operation(Method, Generic[P, T]):
    """A method that is answered once."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Answer[T]]) -> None:
        super().__init__(describe, "_run")

    @overload
    def __get__(self, client: Waiting, owner: type[Any]) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Awaited, owner: type[Any]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, owner: type[Any]) -> Callable[..., Any]: ...
    def __get__(self, client: object, owner: type[Any]) -> Any:
        return self.of(client)


class Listing(Method, Generic[P, T]):
    """A method that is an iterator over a list, of which each page is asked for when it is wanted."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Items[T]]) -> None:
        super().__init__(describe, "_iterate")

    @overload
    def __get__(self, client: Waiting, owner: type[Any]) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: Awaited, owner: type[Any]) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, client: None, owner: type[Any]) -> Callable[..., Any]: ...
    def __get__(self, client: object, owner: type[Any]) -> Any:
        return self.of(client)


class Watching(Method, Generic[P]):
    """A method that makes a live stream."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Connector]) -> None:
        super().__init__(describe, "_watch")

    @overload
    def __get__(self, client: Waiting, owner: type[Any]) -> Callable[P, Stream]: ...
    @overload
    def __get__(self, client: Awaited, owner: type[Any]) -> Callable[P, AsyncStream]: ...
    @overload
    def __get__(self, client: None, owner: type[Any]) -> Callable[..., Any]: ...
    def __get__(self, client: object, owner: type[Any]) -> Any:
        return self.of(client)
