"""Client of AutoFarm: REST, and the live stream in JSON and binary."""

from autofarm import models
from autofarm.async_client import AsyncAutoFarm
from autofarm.async_stream import AsyncStream
from autofarm.client import AutoFarm
from autofarm.machines import COUNTERS, STATES, Aggregates, Machine, Machines, State, Tick
from autofarm.messages import (
    EpochBegin,
    Event,
    EventsMissing,
    Hello,
    Lagged,
    Message,
    Pong,
    Refused,
    ViewGranted,
    Void,
)
from autofarm.models import EventKind
from autofarm.position import Position
from autofarm.problems import AutoFarmError, ConnectionLost, Problem, ProtocolError, StreamClosed
from autofarm.retry import Retry
from autofarm.stream import Stream
from autofarm.view import Bounds, EventFilter, View

__all__ = [
    "COUNTERS",
    "STATES",
    "Aggregates",
    "AsyncAutoFarm",
    "AsyncStream",
    "AutoFarm",
    "AutoFarmError",
    "Bounds",
    "ConnectionLost",
    "EpochBegin",
    "Event",
    "EventFilter",
    "EventKind",
    "EventsMissing",
    "Hello",
    "Lagged",
    "Machine",
    "Machines",
    "Message",
    "Pong",
    "Position",
    "Problem",
    "ProtocolError",
    "Refused",
    "Retry",
    "State",
    "Stream",
    "StreamClosed",
    "Tick",
    "View",
    "ViewGranted",
    "Void",
    "models",
]
