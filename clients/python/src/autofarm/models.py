"""What the server's /openapi.json says, written by generate.py: not to be changed by hand."""

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict


class ByState(TypedDict):
    idle: int
    travelling: int
    working: int
    turning: int
    returning: int
    refilling: int
    queueing: int
    charging: int
    faulted: int
    holding: int


class Counters(TypedDict):
    turns: int
    swaths: int
    charger_waits: int
    charges: int
    denied_grants: int
    faults: int
    repairs: int
    commands: int
    rejected_commands: int
    stand_offs: int
    separation_violations: int
    ghosts: int
    ghost_bytes: int


class Aggregates(TypedDict):
    """Sums over all machines: how many, by state, by tenth of charge (emptiest first), means, the exact sums behind these (2^-30 of full, mm/s), and counters since creation."""

    machines: int
    by_state: ByState
    by_charge: list[int]
    battery_mean_percent: float
    speed_mean_m_per_s: float
    charge_sum: int
    speed_sum_mm_per_s: int
    counters: Counters


Cause: TypeAlias = Literal[
    "requested",
    "last_tick",
    "digest_mismatch",
    "late",
    "unable",
    "history_full",
    "disk_full",
    "unrecoverable",
]
"""Why a simulation has its status."""


Entity: TypeAlias = int


class Command(TypedDict):
    """Places are metres in the frame of the machine's site. `set_weather`, `station` and other components come with their models and are answered with `not-supported` until then."""

    entity: NotRequired[int]
    entities: NotRequired[list[Entity]]
    all: NotRequired[Literal[True]]
    site: NotRequired[int]
    command: Literal[
        "hold",
        "release",
        "goto",
        "return_to_charger",
        "set_speed_limit",
        "inject_fault",
    ]
    args: NotRequired[dict[str, Any]]
    tick: NotRequired[int]
    """At which tick; left out for as soon as possible."""


class CommandPlace(TypedDict):
    """The place a command was given."""

    seq: int
    """Position in the command log; commands of one tick apply in this order."""
    tick: int
    """Tick it applies in."""


class Digest(TypedDict):
    """The digest of a tick: the same wherever and however often the simulation is run."""

    tick: int
    """The tick."""
    digest: str
    """Its digest, hex."""


EventKind: TypeAlias = Literal[
    "transition",
    "command",
    "command_rejected",
    "fault",
    "repaired",
    "stand_off",
    "lifecycle",
    "system",
]
"""A kind of events."""


class Field(TypedDict):
    """A field."""

    field: int
    """Its number in its site, 0-based."""
    bounds_m: list[float]
    """Its edges without its yard, m."""
    yard_m: list[float]
    """The edges of its yard, where machines stand and charge, m."""
    rows: int
    """Its rows run from south to north, this many."""
    first_row_x_m: float
    """Middle of the westernmost row, m."""
    row_pitch_m: float
    """Distance between rows, m."""
    row_ends_y_m: list[float]
    """Southern and northern end of every row, on the lines on which machines turn, m."""


class ForkSimulation(TypedDict):
    """A fork to be made."""

    tick: NotRequired[int | None]
    """Tick at which it begins; the last complete one if left out."""
    name: NotRequired[str | None]
    """Its name; made of its parent's if left out."""


class Headland(TypedDict):
    """A headland."""

    headland: int
    """Its number in its site from south to north, 0-based."""
    bounds_m: list[float]
    """Its edges, m."""


LatePolicy: TypeAlias = Literal["dilate", "fail"]
"""What happens once a run is a second behind."""


LogName: TypeAlias = Literal["sim", "system"]
"""A log."""


MachineState: TypeAlias = Literal[
    "idle",
    "travelling",
    "working",
    "turning",
    "returning",
    "refilling",
    "queueing",
    "charging",
    "faulted",
    "holding",
]
"""What a machine is doing."""


class Nothing(TypedDict):
    """A body without a field."""


class PageDigest(TypedDict):
    """One page of a list."""

    items: list[Digest]
    """Items, in the list's order."""
    next_cursor: str | None
    """To be given as `cursor` for the next page; null on the last one."""


class Problem(TypedDict):
    """What went wrong, by RFC 9457."""

    type: Literal[
        "/problems/malformed-json",
        "/problems/unauthorized",
        "/problems/bad-ticket",
        "/problems/forbidden",
        "/problems/origin-not-allowed",
        "/problems/no-such-route",
        "/problems/not-found",
        "/problems/method-not-allowed",
        "/problems/body-too-slow",
        "/problems/invalid-transition",
        "/problems/exists",
        "/problems/tick-passed",
        "/problems/tick-not-kept",
        "/problems/state-not-kept",
        "/problems/body-too-large",
        "/problems/unsupported-media-type",
        "/problems/wrong-host",
        "/problems/invalid",
        "/problems/bad-cursor",
        "/problems/not-supported",
        "/problems/key-reused",
        "/problems/not-websocket",
        "/problems/rate-limited",
        "/problems/internal",
        "/problems/over-capacity",
        "/problems/no-view",
        "/problems/store-unavailable",
        "/problems/orchestrator-unavailable",
        "/problems/orchestrator-timeout",
    ]
    """Stable; below it is told what to do."""
    title: str
    status: int
    detail: str
    """What is wrong with this request."""
    field: NotRequired[str]
    """The offending field of body, query, path or header."""
    allowed: NotRequired[str]
    """What it may be."""
    limit: NotRequired[int]
    """The maximum that was passed."""
    retry_after_s: NotRequired[int]
    """When another try is worth it."""
    request_id: NotRequired[str]
    """Names the request in the gateway's log."""


Role: TypeAlias = Literal["viewer", "operator", "admin"]
"""What a token may do: each role may do what those before it may."""


class Scenario(TypedDict):
    """A scenario."""

    name: str
    """Its name."""
    description: str
    """What it is."""
    classes: list[str]
    """Classes of its machines."""
    schema: dict[str, Any]
    """JSON Schema of what a creation takes."""


ScenarioName: TypeAlias = Literal["weeding", "dense"]
"""The name of a built-in scenario."""


class Site(TypedDict):
    """A site."""

    site: int
    """Its number, 0-based."""
    origin_m: list[float]
    """Where the origin of its frame lies in the world, east and north, m."""
    bounds_m: list[float]
    """Its edges in the world, m."""
    entities: list[Entity]
    """Its machines: the first id and the last."""


Speed: TypeAlias = float | Literal["max"]
"""Factor on real time, in thousandths, or `max` for as fast as the workers go."""


class StagePercentiles(TypedDict):
    """Percentiles of a stage's durations, us; all 0 where there are none."""

    stage: str
    """Name of the stage."""
    count: int
    """Durations that were taken."""
    p50_us: int
    """Half of them are at most this."""
    p90_us: int
    """90 %."""
    p99_us: int
    """99 %."""
    p99_9_us: int
    """99.9 %."""
    max_us: int
    """The longest."""


class Station(TypedDict):
    """A charging station."""

    station: int
    """Its number in its site, 0-based."""
    field: int
    """Field in whose yard it stands."""
    slots_m: list[list[float]]
    """Its slots, east and north, m."""
    parking_m: list[list[float]]
    """Places where machines wait for a slot, m."""
    slot_power_w: float
    """Power of a slot, W."""


Status: TypeAlias = Literal["created", "running", "paused", "stopped", "completed", "failed"]
"""Where a simulation stands. `stopped`, `completed` and `failed` are final."""


class StepSimulation(TypedDict):
    """How far to advance a paused simulation."""

    ticks: NotRequired[int | None]
    """Ticks."""


class StreamTicket(TypedDict):
    """A ticket for one connection to a live stream."""

    ticket: str
    """To be given as `?ticket=` to a stream, once."""
    expires_in_s: int
    """How long it is good, s."""


class Token(TypedDict):
    """A token, without its secret."""

    id: str
    """Its number, hex."""
    name: str
    """Its name, for people."""
    role: Role
    """What it may do."""
    created_at: str
    """When it was made."""


WorkerState: TypeAlias = Literal["ready", "suspect", "draining"]
"""Whether a worker is given work."""


class ChangeSimulation(TypedDict):
    """What of a simulation can be changed."""

    name: NotRequired[str | None]
    """New name."""
    speed: NotRequired[Speed | None]


class CreateSimulation(TypedDict):
    """A simulation to be created."""

    name: NotRequired[str | None]
    """Its name, for people; that of the scenario if left out."""
    scenario: ScenarioName
    """Name of a built-in scenario: see `/v1/scenarios`. A document of one's own is not supported yet."""
    entities: NotRequired[int | None]
    """Machines."""
    tick_ms: NotRequired[int | None]
    """Simulated length of a tick, ms. A scenario with fast machines allows less."""
    seed: NotRequired[int | None]
    """Seed of every random draw: the same seed gives the same run."""
    speed: NotRequired[Speed | None]
    max_ticks: NotRequired[int | None]
    """Last tick, after which it is completed; left out, it runs until stopped."""
    digest_every: NotRequired[int | None]
    """Ticks between digests; those of one simulated second if left out."""
    late_policy: NotRequired[LatePolicy | None]
    params: NotRequired[dict[str, Any] | None]
    """Parameters of the scenario. The built-in ones have none: only an empty object is taken."""


class CreateToken(TypedDict):
    """A token to be made."""

    name: str
    """Its name, for people."""
    role: Role
    """What it may do."""


class Event(TypedDict):
    """An event. Each log is numbered apart, from 1 on."""

    log: LogName
    """In which log."""
    seq: int
    """Its number in its log."""
    tick: int
    """When."""
    kind: EventKind
    """What kind."""
    site: NotRequired[int]
    """Site it happened on; only in the log `sim`."""
    entities: NotRequired[list[int]]
    """Machines it happened to, ascending; only in the log `sim`."""
    detail: dict[str, Any]
    """
    By kind: `state` of a transition, `command_seq` of a command, `reason` of a rejection, `repair_tick` of a
    fault, `other` of a stand-off, and of the system's what it says.
    """


class EventPage(TypedDict):
    """A page of events."""

    items: list[Event]
    """Events, by tick, log and seq."""
    next_cursor: str | None
    """To be given as `cursor` for the next page; null on the last one."""


class Latency(TypedDict):
    """Where ticks' time went: since the orchestrator began with the simulation, or in the ticks that were asked for."""

    stages: list[StagePercentiles]
    """Stages, in the order a tick passes through."""


class MachineNow(TypedDict):
    """What a machine is doing, to the precision of a view: places to about 10 cm."""

    x: float
    """East in the world, m."""
    y: float
    """North in the world, m."""
    heading: float
    """Radians from east, counter-clockwise."""
    speed: float
    """m/s."""
    battery: float
    """Percent of full."""
    state: MachineState
    """What it is doing."""


class NewToken(Token):
    """A token with its secret, which is told this once."""

    token: str
    """What to send as `Authorization: Bearer`. It is kept nowhere: if it is lost, make another token."""


class PageScenario(TypedDict):
    """One page of a list."""

    items: list[Scenario]
    """Items, in the list's order."""
    next_cursor: str | None
    """To be given as `cursor` for the next page; null on the last one."""


class PageToken(TypedDict):
    """One page of a list."""

    items: list[Token]
    """Items, in the list's order."""
    next_cursor: str | None
    """To be given as `cursor` for the next page; null on the last one."""


class Simulation(TypedDict):
    """A simulation."""

    id: str
    """Its id, a UUID of version 7."""
    name: str
    """Its name, for people."""
    scenario: str
    """Name of what is simulated."""
    entities: int
    """Machines; their ids are 1 to this."""
    tick_ms: int
    """Simulated length of a tick, ms."""
    seed: int
    """Seed of every random draw."""
    speed: Speed
    """Factor on real time that is asked for."""
    max_ticks: int | None
    """Last tick, after which it is completed."""
    digest_every: int
    """Ticks between digests."""
    late_policy: LatePolicy
    """What happens once it is a second behind."""
    status: Status
    """Where it stands."""
    cause: Cause
    """Why it has this status."""
    tick: int
    """Last tick that is complete."""
    sim_time_s: float
    """Simulated time at that tick, s."""
    achieved_speed: float
    """Simulated over real time, over the last seconds; 0 while it stands or replays, and before its first start."""
    late_ticks: int
    """Ticks that were complete only after their time."""
    dilated_ms: int
    """By how much deadlines were shifted, ms."""
    digest: str | None
    """Newest digest, hex; null before the first."""
    digest_tick: int | None
    """Tick of the digest."""
    created_at: str
    """When it was created."""
    started_at: str | None
    """When it was first started."""
    ended_at: str | None
    """When it reached a final status."""
    parent: str | None
    """The simulation it was forked from."""
    parent_tick: int | None
    """At which tick."""
    replaying_to: int | None
    """While it replays, as after a crash or a fork: the tick it replays to."""
    history_lag_ticks: int
    """Ticks whose history still waits for the database, up to the present one; 0 where all is written."""


class SiteLayout(TypedDict):
    """
    What a site is made of, in its own frame, whose origin is its middle. In a world of one site only what
    touches `bounds_m`.
    """

    bounds_m: list[float]
    """Its edges, m."""
    fields: list[Field]
    """Fields."""
    headlands: list[Headland]
    """Headlands: machines turn and travel on them."""
    stations: list[Station]
    """Charging stations."""


class Snapshot(TypedDict):
    """Sums at a tick, and timings of the interval that ends with it."""

    tick: int
    """The tick."""
    at: str
    """When it was taken."""
    aggregates: Aggregates
    """Sums over all machines."""
    late_ticks: int
    """Late ticks since creation."""
    achieved_speed: float
    """Simulated over real time in the interval."""
    stages: list[StagePercentiles]
    """Where ticks' time went in the interval."""


class Worker(TypedDict):
    """A worker."""

    id: int
    """Its number."""
    name: str
    """Its name."""
    state: WorkerState
    """Whether it is given work."""
    threads: int
    """Threads it steps on."""
    partitions: int
    """Partitions it has."""
    machines: int
    """Machines it has."""
    machine_ticks: int
    """Machine-ticks it computed since it started."""
    load: float
    """Share of its threads' time that it spent on them, over the last seconds."""
    machine_ticks_per_s: int
    """Machine-ticks a second, over the last seconds."""


class WorldPage(TypedDict):
    """A page of the world."""

    bounds_m: list[float]
    """West, south, east and north edge of all sites together, m."""
    sites: int
    """Sites of the simulation."""
    fields: int
    """Fields of all sites."""
    layout: SiteLayout | None
    items: list[Site]
    """Sites of the page, by number."""
    next_cursor: str | None
    """To be given as `cursor` for the next page; null on the last one."""


Machine = TypedDict(
    "Machine",
    {
        "id": int,
        "class": str,
        "site": int,
        "home_m": list[float],
        "now": MachineNow | None,
    },
)


class MachineAt(Machine):
    """A machine with the tick at which it was seen."""

    tick: int | None
    """Tick at which `now` is true; null where no view could be had."""


class MachinePage(TypedDict):
    """A page of machines."""

    tick: int | None
    """Tick at which `now` is true; null where no view could be had."""
    items: list[Machine]
    """Machines, by id."""
    next_cursor: str | None
    """To be given as `cursor` for the next page; null on the last one."""


class PageSimulation(TypedDict):
    """One page of a list."""

    items: list[Simulation]
    """Items, in the list's order."""
    next_cursor: str | None
    """To be given as `cursor` for the next page; null on the last one."""


class PageSnapshot(TypedDict):
    """One page of a list."""

    items: list[Snapshot]
    """Items, in the list's order."""
    next_cursor: str | None
    """To be given as `cursor` for the next page; null on the last one."""


class PageWorker(TypedDict):
    """One page of a list."""

    items: list[Worker]
    """Items, in the list's order."""
    next_cursor: str | None
    """To be given as `cursor` for the next page; null on the last one."""
