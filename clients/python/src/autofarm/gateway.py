"""The gateway's REST API and the door to its live streams: every operation, described once for both clients."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Unpack

from autofarm.calls import Answer, Items, holds, json, nothing, text, whole
from autofarm.connection import Connector
from autofarm.methods import Listing, Operation, Watching
from autofarm.models import (
    ChangeSimulation,
    Command,
    CommandPlace,
    CreateSimulation,
    CreateToken,
    Digest,
    Event,
    EventKind,
    ForkSimulation,
    Latency,
    Machine,
    MachineAt,
    MachinePage,
    MachineState,
    NewToken,
    Scenario,
    Simulation,
    Site,
    Snapshot,
    Status,
    StreamTicket,
    Token,
    Worker,
    WorldPage,
)
from autofarm.position import Position
from autofarm.retry import Retry
from autofarm.session import Session
from autofarm.view import Bounds, Log, View

# Most items that the gateway puts on a page.
PAGE_SIZE = 1_000


class Gateway:
    """
    What can be asked of a gateway: `AutoFarm` asks and waits, `AsyncAutoFarm` is for asyncio. Where a method is
    described to answer `Answer[X]`, the one returns an X and the other is awaited for one; `Items[X]` is iterated.
    """

    def __init__(self, url: str, token: str | None, retry: Retry | None, ssl_context: ssl.SSLContext | None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url: {url!r} does not begin with http:// or https://")
        self.url = url.rstrip("/")
        self.token = token
        self.retry = Retry() if retry is None else retry
        self.ssl_context = ssl_context

    # --- simulations

    @Listing
    def simulations(self, *, status: Status | None = None, page_size: int = PAGE_SIZE) -> Items[Simulation]:
        """Simulations, oldest first."""
        return Items("list_simulations", page_size, query={"status": status})

    @Operation
    def create(self, *, key: str | None = None, **body: Unpack[CreateSimulation]) -> Answer[Simulation]:
        """Creates a simulation, not started yet: `create(scenario="weeding", entities=200)`."""
        return json("create_simulation", body=body, key=key)

    @Operation
    def simulation(self, simulation: str) -> Answer[Simulation]:
        """A simulation as it is now."""
        return json("read_simulation", path={"id": simulation})

    @Operation
    def change(
        self, simulation: str, *, key: str | None = None, **body: Unpack[ChangeSimulation]
    ) -> Answer[Simulation]:
        """Changes its speed, its name or both."""
        return json("change_simulation", path={"id": simulation}, body=body, key=key)

    @Operation
    def delete(self, simulation: str, *, key: str | None = None) -> Answer[None]:
        """Deletes it and all that is kept of it."""
        return nothing("delete_simulation", path={"id": simulation}, key=key)

    @Operation
    def start(self, simulation: str, *, key: str | None = None) -> Answer[Simulation]:
        """Starts one that is created."""
        return json("start_simulation", path={"id": simulation}, key=key)

    @Operation
    def pause(self, simulation: str, *, key: str | None = None) -> Answer[Simulation]:
        """Pauses one that runs, at the end of the tick that is under way, or ends the step of one that is paused."""
        return json("pause_simulation", path={"id": simulation}, key=key)

    @Operation
    def resume(self, simulation: str, *, key: str | None = None) -> Answer[Simulation]:
        """Lets one that is paused go on."""
        return json("resume_simulation", path={"id": simulation}, key=key)

    @Operation
    def step(self, simulation: str, ticks: int = 1, *, key: str | None = None) -> Answer[Simulation]:
        """Advances one that is paused by so many ticks."""
        return json("step_simulation", path={"id": simulation}, body={"ticks": ticks}, key=key)

    @Operation
    def stop(self, simulation: str, *, key: str | None = None) -> Answer[Simulation]:
        """Ends it for good."""
        return json("stop_simulation", path={"id": simulation}, key=key)

    @Operation
    def fork(self, simulation: str, *, key: str | None = None, **body: Unpack[ForkSimulation]) -> Answer[Simulation]:
        """A paused copy of it at a tick of its past or its present."""
        return json("fork_simulation", path={"id": simulation}, body=body, key=key)

    @Operation
    def command(self, simulation: str, /, *, key: str | None = None, **body: Unpack[Command]) -> Answer[CommandPlace]:
        """Gives a command, which is kept once this returns: `command(id, entity=17, command="hold")`."""
        return json("give_command", path={"id": simulation}, body=body, key=key)

    # --- the farm

    @Listing
    def machines(
        self,
        simulation: str,
        *,
        state: MachineState | None = None,
        machine_class: str | None = None,
        site: int | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Items[Machine]:
        """Machines by id, with what each is doing. Pages may be of different ticks: see `machine_pages`."""
        query = {"state": state, "class": machine_class, "site": site}
        return Items("list_entities", page_size, path={"id": simulation}, query=query)

    @Listing
    def machine_pages(
        self,
        simulation: str,
        *,
        state: MachineState | None = None,
        machine_class: str | None = None,
        site: int | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Items[MachinePage]:
        """The same in pages, each with the tick at which it is true."""
        query = {"state": state, "class": machine_class, "site": site}
        return Items("list_entities", page_size, path={"id": simulation}, query=query, of=whole)

    @Operation
    def machine(self, simulation: str, machine: int) -> Answer[MachineAt]:
        """One machine."""
        return json("read_entity", path={"id": simulation, "entity": machine})

    @Operation
    def world(
        self, simulation: str, *, bounds_m: Bounds | None = None, page_size: int = PAGE_SIZE
    ) -> Answer[WorldPage]:
        """All sites, and what each is made of; with bounds only what touches them."""
        query = {"bounds_m": None if bounds_m is None else ",".join(repr(float(edge)) for edge in bounds_m)}
        pages: Items[Site] = Items("read_world", page_size, path={"id": simulation}, query=query)
        world: WorldPage = yield from pages.page(None)
        while world["next_cursor"] is not None:
            page: WorldPage = yield from pages.page(world["next_cursor"])
            world["items"] += page["items"]
            world["next_cursor"] = page["next_cursor"]
        return world

    # --- history

    @Listing
    def events(
        self,
        simulation: str,
        *,
        kinds: Iterable[EventKind] | None = None,
        log: Log | None = None,
        from_tick: int | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Items[Event]:
        """Events by tick, log and seq. What has just happened is there a moment later."""
        query = {"kind": None if kinds is None else ",".join(kinds), "log": log, "from_tick": from_tick}
        return Items("list_events", page_size, path={"id": simulation}, query=query)

    @Listing
    def digests(self, simulation: str, *, from_tick: int | None = None, page_size: int = PAGE_SIZE) -> Items[Digest]:
        """Digests by tick."""
        return Items("list_digests", page_size, path={"id": simulation}, query={"from_tick": from_tick})

    @Listing
    def snapshots(
        self,
        simulation: str,
        *,
        from_tick: int | None = None,
        to_tick: int | None = None,
        every: int | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Items[Snapshot]:
        """Sums over all machines and timings, by tick; `Aggregates.of_json` reads the sums."""
        query = {"from_tick": from_tick, "to_tick": to_tick, "every": every}
        return Items("list_metrics", page_size, path={"id": simulation}, query=query)

    @Operation
    def latency(
        self,
        simulation: str,
        *,
        stage: str | None = None,
        from_tick: int | None = None,
        to_tick: int | None = None,
    ) -> Answer[Latency]:
        """Where ticks' time goes, as percentiles of each stage or one; since the run began here, or in some ticks."""
        query = {"stage": stage, "from_tick": from_tick, "to_tick": to_tick}
        return json("read_latency", path={"id": simulation}, query=query)

    @Operation
    def histogram(
        self,
        simulation: str,
        *,
        stage: str | None = None,
        from_tick: int | None = None,
        to_tick: int | None = None,
    ) -> Answer[str]:
        """The HDR histogram of a stage, in ms, of whole ticks if none is named; of which ticks is as in `latency`."""
        query = {"stage": stage, "from_tick": from_tick, "to_tick": to_tick}
        return text("read_latency", path={"id": simulation}, query=query, accept="application/vnd.hgrm")

    # --- the live stream

    @Watching
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
    ) -> Connector:
        """
        A live stream of a simulation, in JSON or in binary, which opens itself again when its connection is lost and
        misses no event. `resume` goes on where another stream was; `from_event` and `from_system_event` begin with
        older events of the logs `sim` and `system`, 1 with the first. Raises `ValueError` where the view lets no
        event of that log pass: of `sim` only `View(events="all")` does.
        """
        session = Session(
            view or View(), binary=binary, start=resume, from_event=from_event, from_system_event=from_system_event
        )
        return Connector(
            self.url, simulation, session, self.token, self.ssl_context, self.retry, give_up_after_s=give_up_after_s
        )

    # --- access

    @Operation
    def stream_ticket(self) -> Answer[StreamTicket]:
        """A ticket by which a browser opens one stream; streams of this client need none."""
        return json("create_stream_ticket")

    @Listing
    def tokens(self, *, page_size: int = PAGE_SIZE) -> Items[Token]:
        """Tokens, without their secrets."""
        return Items("list_tokens", page_size)

    @Operation
    def create_token(self, *, key: str | None = None, **body: Unpack[CreateToken]) -> Answer[NewToken]:
        """Makes a token. Its secret is in this answer and nowhere else."""
        return json("create_token", body=body, key=key)

    @Operation
    def revoke_token(self, token: str, *, key: str | None = None) -> Answer[None]:
        """Revokes the token of this id: from now on it opens nothing."""
        return nothing("revoke_token", path={"id": token}, key=key)

    # --- the gateway

    @Operation
    def scenarios(self) -> Answer[list[Scenario]]:
        """What can be simulated, each with the JSON Schema of what a creation takes."""
        found = yield from json("list_scenarios")
        scenarios: list[Scenario] = found["items"]
        return scenarios

    @Listing
    def workers(self, *, page_size: int = PAGE_SIZE) -> Items[Worker]:
        """Workers with their load and throughput."""
        return Items("list_workers", page_size)

    @Operation
    def is_alive(self) -> Answer[bool]:
        """Whether the gateway lives; it may be without an orchestrator. Asked as `is_ready` is."""
        return holds("probe_life")

    @Operation
    def is_ready(self) -> Answer[bool]:
        """
        Whether it is there, and connected to an orchestrator: asked once, so that it can be asked until it is. A
        certificate that is not trusted is no matter of time: it raises `ConnectionLost`.
        """
        return holds("probe_readiness")

    @Operation
    def gateway_metrics(self) -> Answer[str]:
        """Metrics for Prometheus, in the OpenMetrics text format."""
        return text("read_gateway_metrics", accept="application/openmetrics-text")
