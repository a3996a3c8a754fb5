"""The gateway's REST API, a method an operation; and the door to its live streams."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, Unpack

import httpx

from autofarm.aio import AsyncStream
from autofarm.connection import Connector
from autofarm.messages import Log
from autofarm.models import (
    ChangeSimulation,
    Command,
    CommandPlace,
    CreateSimulation,
    CreateToken,
    Digest,
    Event,
    ForkSimulation,
    Latency,
    Machine,
    MachineAt,
    MachinePage,
    MachineState,
    NewToken,
    Scenario,
    Simulation,
    Snapshot,
    Status,
    StreamTicket,
    Token,
    Worker,
    WorldPage,
)
from autofarm.operations import OperationId
from autofarm.position import Position
from autofarm.problems import Problem
from autofarm.requests import Requests
from autofarm.retry import Retry
from autofarm.session import Session
from autofarm.stream import Stream
from autofarm.view import Bounds, View

EventKind: TypeAlias = Literal[
    "transition", "command", "command_rejected", "fault", "repaired", "stand_off", "lifecycle", "system"
]
"""What an event is about."""

# Most items that the gateway puts on a page.
PAGE_SIZE = 1_000


class AutoFarm:
    """
    A gateway. Use it in `with`, or `close` it.

    What may succeed later is tried again as `retry` says: after 429, 502, 503, 504 and a lost connection. Each request
    that changes something has an idempotency key of its own, the same for all its tries, so that it is done once at
    most; give one as `key` to keep that over the end of this process too. Every method raises `Problem` where the
    gateway refuses, and `ConnectionLost` where it cannot be reached.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        ssl_context: ssl.SSLContext | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url: {url!r} does not begin with http:// or https://")
        self.url = url.rstrip("/")
        self.token = token
        self.retry = Retry() if retry is None else retry
        self.ssl_context = ssl_context
        self.requests = Requests(
            self.url,
            token,
            timeout_s=timeout_s,
            retry=self.retry,
            ssl_context=ssl_context,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections; streams stay."""
        self.requests.client.close()

    # --- simulations

    def simulations(self, *, status: Status | None = None, page_size: int = PAGE_SIZE) -> Iterator[Simulation]:
        """Simulations, oldest first."""
        return self._items("list_simulations", page_size, query={"status": status})

    def create(self, *, key: str | None = None, **body: Unpack[CreateSimulation]) -> Simulation:
        """Creates a simulation, not started yet: `create(scenario="weeding", entities=200)`."""
        return self._simulation("create_simulation", body=body, key=key)

    def simulation(self, simulation: str) -> Simulation:
        """A simulation as it is now."""
        return self._simulation("read_simulation", path={"id": simulation})

    def change(self, simulation: str, *, key: str | None = None, **body: Unpack[ChangeSimulation]) -> Simulation:
        """Changes its speed, its name or both."""
        return self._simulation("change_simulation", path={"id": simulation}, body=body, key=key)

    def delete(self, simulation: str, *, key: str | None = None) -> None:
        """Deletes it and all that is kept of it."""
        self.requests.call("delete_simulation", path={"id": simulation}, key=key)

    def start(self, simulation: str, *, key: str | None = None) -> Simulation:
        """Starts one that is created."""
        return self._simulation("start_simulation", path={"id": simulation}, key=key)

    def pause(self, simulation: str, *, key: str | None = None) -> Simulation:
        """Pauses one that runs, at the end of the tick that is under way, or ends the step of one that is paused."""
        return self._simulation("pause_simulation", path={"id": simulation}, key=key)

    def resume(self, simulation: str, *, key: str | None = None) -> Simulation:
        """Lets one that is paused go on."""
        return self._simulation("resume_simulation", path={"id": simulation}, key=key)

    def step(self, simulation: str, ticks: int = 1, *, key: str | None = None) -> Simulation:
        """Advances one that is paused by so many ticks."""
        return self._simulation("step_simulation", path={"id": simulation}, body={"ticks": ticks}, key=key)

    def stop(self, simulation: str, *, key: str | None = None) -> Simulation:
        """Ends it for good."""
        return self._simulation("stop_simulation", path={"id": simulation}, key=key)

    def fork(self, simulation: str, *, key: str | None = None, **body: Unpack[ForkSimulation]) -> Simulation:
        """A paused copy of it at a tick of its past or its present."""
        return self._simulation("fork_simulation", path={"id": simulation}, body=body, key=key)

    def command(self, simulation: str, /, *, key: str | None = None, **body: Unpack[Command]) -> CommandPlace:
        """Gives a command, which is kept once this returns: `command(id, entity=17, command="hold")`."""
        place: CommandPlace = self.requests.json("give_command", path={"id": simulation}, body=body, key=key)
        return place

    # --- the farm

    def machines(
        self,
        simulation: str,
        *,
        state: MachineState | None = None,
        machine_class: str | None = None,
        site: int | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Machine]:
        """Machines by id, with what each is doing. Pages may be of different ticks: see `machine_pages`."""
        pages = self.machine_pages(simulation, state=state, machine_class=machine_class, site=site, page_size=page_size)
        for page in pages:
            yield from page["items"]

    def machine_pages(
        self,
        simulation: str,
        *,
        state: MachineState | None = None,
        machine_class: str | None = None,
        site: int | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[MachinePage]:
        """The same in pages, each with the tick at which it is true."""
        query = {"state": state, "class": machine_class, "site": site}
        return self._pages("list_entities", page_size, path={"id": simulation}, query=query)

    def machine(self, simulation: str, machine: int) -> MachineAt:
        """One machine."""
        found: MachineAt = self.requests.json("read_entity", path={"id": simulation, "entity": machine})
        return found

    def world(self, simulation: str, *, bounds_m: Bounds | None = None, page_size: int = PAGE_SIZE) -> WorldPage:
        """All sites, and what each is made of; with bounds only what touches them."""
        query = {"bounds_m": None if bounds_m is None else ",".join(repr(float(edge)) for edge in bounds_m)}
        pages: Iterator[WorldPage] = self._pages("read_world", page_size, path={"id": simulation}, query=query)
        world = next(pages)
        for page in pages:
            world["items"] += page["items"]
        world["next_cursor"] = None
        return world

    # --- history

    def events(
        self,
        simulation: str,
        *,
        kinds: Iterable[EventKind] | None = None,
        log: Log | None = None,
        from_tick: int | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Event]:
        """Events by tick, log and seq. What has just happened is there a moment later."""
        query = {"kind": None if kinds is None else ",".join(kinds), "log": log, "from_tick": from_tick}
        return self._items("list_events", page_size, path={"id": simulation}, query=query)

    def digests(self, simulation: str, *, from_tick: int | None = None, page_size: int = PAGE_SIZE) -> Iterator[Digest]:
        """Digests by tick."""
        return self._items("list_digests", page_size, path={"id": simulation}, query={"from_tick": from_tick})

    def snapshots(
        self,
        simulation: str,
        *,
        from_tick: int | None = None,
        to_tick: int | None = None,
        every: int | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Snapshot]:
        """Sums over all machines and timings, by tick; `Aggregates.of_json` reads the sums."""
        query = {"from_tick": from_tick, "to_tick": to_tick, "every": every}
        return self._items("list_metrics", page_size, path={"id": simulation}, query=query)

    def latency(self, simulation: str, *, stage: str | None = None) -> Latency:
        """Where ticks' time goes: percentiles of each stage, or of one."""
        told: Latency = self.requests.json("read_latency", path={"id": simulation}, query={"stage": stage})
        return told

    def histogram(self, simulation: str, *, stage: str | None = None) -> str:
        """The HDR histogram of a stage, in ms; of whole ticks if none is named."""
        accept = "application/vnd.hgrm"
        return self.requests.call("read_latency", path={"id": simulation}, query={"stage": stage}, accept=accept).text

    # --- the live stream

    def stream(
        self,
        simulation: str,
        view: View | None = None,
        *,
        binary: bool = False,
        resume: Position | None = None,
        from_event: int | None = None,
        from_system_event: int | None = None,
        give_up_after_s: float = 300.0,
    ) -> Stream:
        """
        A live stream of a simulation, in JSON or in binary, which opens itself again when its connection is lost and
        misses no event. `resume` goes on where another stream was; `from_event` and `from_system_event` begin with
        older events, 1 with the first.
        """
        session = Session(
            view or View(), binary=binary, start=resume, from_event=from_event, from_system_event=from_system_event
        )
        return Stream(self._connector(simulation, session, give_up_after_s))

    def async_stream(
        self,
        simulation: str,
        view: View | None = None,
        *,
        binary: bool = False,
        resume: Position | None = None,
        from_event: int | None = None,
        from_system_event: int | None = None,
        give_up_after_s: float = 300.0,
    ) -> AsyncStream:
        """The same for asyncio."""
        session = Session(
            view or View(), binary=binary, start=resume, from_event=from_event, from_system_event=from_system_event
        )
        return AsyncStream(self._connector(simulation, session, give_up_after_s))

    def _connector(self, simulation: str, session: Session, give_up_after_s: float) -> Connector:
        return Connector(
            self.url, simulation, session, self.token, self.ssl_context, self.retry, give_up_after_s=give_up_after_s
        )

    # --- access

    def stream_ticket(self) -> StreamTicket:
        """A ticket by which a browser opens one stream; streams of this client need none."""
        ticket: StreamTicket = self.requests.json("create_stream_ticket")
        return ticket

    def tokens(self, *, page_size: int = PAGE_SIZE) -> Iterator[Token]:
        """Tokens, without their secrets."""
        return self._items("list_tokens", page_size)

    def create_token(self, *, key: str | None = None, **body: Unpack[CreateToken]) -> NewToken:
        """Makes a token. Its secret is in this answer and nowhere else."""
        token: NewToken = self.requests.json("create_token", body=body, key=key)
        return token

    def revoke_token(self, token: str) -> None:
        """Revokes the token of this id: from now on it opens nothing."""
        self.requests.call("revoke_token", path={"id": token})

    # --- the gateway

    def scenarios(self) -> list[Scenario]:
        """What can be simulated, each with the JSON Schema of what a creation takes."""
        found: list[Scenario] = self.requests.json("list_scenarios")["items"]
        return found

    def workers(self, *, page_size: int = PAGE_SIZE) -> Iterator[Worker]:
        """Workers with their load and throughput."""
        return self._items("list_workers", page_size)

    def is_alive(self) -> bool:
        """Whether the gateway lives; it may be without an orchestrator."""
        return self.requests.call("probe_life", accept="text/plain").is_success

    def is_ready(self) -> bool:
        """Whether it is connected to an orchestrator; asked once, and an answer by itself."""
        try:
            return self.requests.call("probe_readiness", accept="text/plain", tries=1).is_success
        except Problem as problem:
            if problem.status == 503:
                return False
            raise

    def gateway_metrics(self) -> str:
        """Metrics for Prometheus, in the OpenMetrics text format."""
        return self.requests.call("read_gateway_metrics", accept="application/openmetrics-text").text

    # --- what several calls have in common

    def _simulation(self, operation: OperationId, **how: Any) -> Simulation:
        simulation: Simulation = self.requests.json(operation, **how)
        return simulation

    def _pages(
        self,
        operation: OperationId,
        page_size: int,
        *,
        path: Mapping[str, object] | None = None,
        query: Mapping[str, object | None] | None = None,
    ) -> Iterator[Any]:
        """Pages of a list, each asked for when it is wanted."""
        cursor = None
        while True:
            asked = {**(query or {}), "limit": page_size, "cursor": cursor}
            page = self.requests.json(operation, path=path, query=asked)
            yield page
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _items(self, operation: OperationId, page_size: int, **how: Any) -> Iterator[Any]:
        """Items of a list, over all its pages."""
        for page in self._pages(operation, page_size, **how):
            yield from page["items"]
