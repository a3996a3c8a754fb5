"""Every operation of the REST API against the real server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from autofarm import Aggregates, AutoFarm, ConnectionLost, Hello, Problem, Retry
from autofarm.models import Simulation
from autofarm.operations import OPERATIONS, OperationId
from conftest import Server, free_port, started
from driven import Client

PATIENCE_S = 60.0


class Recorder(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Notes which operations are called, and with which answers, by whichever client."""

    def __init__(self) -> None:
        self.waiting = httpx.HTTPTransport()
        self.awaited = httpx.AsyncHTTPTransport()
        self.called: set[OperationId] = set()
        self.answers: list[int] = []
        routes = {
            operation: (method, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))))
            for operation, (method, path) in OPERATIONS.items()
        }
        self.routes = routes

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.noted(request, self.waiting.handle_request(request))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.noted(request, await self.awaited.handle_async_request(request))

    def noted(self, request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        """The answer, once both are noted."""
        for operation, (method, path) in self.routes.items():
            if request.method == method and path.fullmatch(request.url.path):
                self.called.add(operation)
        self.answers.append(answer.status_code)
        return answer

    def close(self) -> None:
        self.waiting.close()

    async def aclose(self) -> None:
        await self.awaited.aclose()


def test_every_operation_of_the_document_is_there_and_works(own_server: Server, client: Client) -> None:
    recorder = Recorder()
    with client(own_server.url, transport=recorder) as farm:
        openapi = httpx.get(f"{own_server.url}/openapi.json").json()
        assert farm.is_alive()
        assert farm.is_ready()
        assert "autofarm_gateway_ready 1" in farm.gateway_metrics()
        assert {scenario["name"] for scenario in farm.scenarios()} == {"weeding", "dense"}
        assert [worker["state"] for worker in farm.workers()] == ["ready"]
        simulation = lifecycle(farm)
        history(farm, simulation)
        farm_itself(farm, simulation)
        access(farm)
        with farm.stream(simulation) as stream:
            assert isinstance(stream.receive(PATIENCE_S), Hello)
        recorder.called.add("open_stream")
        farm.delete(simulation)
        with pytest.raises(Problem, match="404 not-found"):
            farm.simulation(simulation)
    wanted = {
        operation["operationId"]
        for methods in openapi["paths"].values()
        for operation in methods.values()
        if "operationId" in operation
    }
    assert recorder.called == wanted == set(OPERATIONS)
    # 429 is asked again.
    assert [status for status in recorder.answers if status >= 400 and status != 429] == [404]


def lifecycle(farm: AutoFarm) -> str:
    """Through all that a simulation may go; answers one that has run and stands."""
    made = farm.create(name="first", scenario="weeding", entities=24, speed=20, digest_every=1)
    assert (made["status"], made["tick"], made["entities"], made["speed"]) == ("created", 0, 24, 20)
    simulation = made["id"]
    assert farm.start(simulation)["status"] == "running"
    assert farm.change(simulation, name="second", speed="max")["name"] == "second"
    farm.change(simulation, speed=20)
    place = farm.command(simulation, entity=17, command="set_speed_limit", args={"m_per_s": 0.1})
    assert place["seq"] == 1
    # Long enough for a snapshot, of which there is one a second.
    until(lambda: farm.simulation(simulation)["tick"] > place["tick"] + 800)
    assert farm.pause(simulation)["status"] == "paused"
    fork = farm.fork(simulation, tick=place["tick"], name="what if")
    assert (fork["status"], fork["parent"], fork["parent_tick"]) == ("paused", simulation, place["tick"])
    until(lambda: farm.simulation(fork["id"])["replaying_to"] is None)
    farm.step(fork["id"], 3)
    until(lambda: farm.simulation(fork["id"])["tick"] == place["tick"] + 3)
    assert farm.resume(fork["id"])["status"] == "running"
    assert farm.stop(fork["id"])["status"] == "stopped"
    ids = [each["id"] for each in farm.simulations(page_size=1)]
    assert ids == [simulation, fork["id"]]
    assert [each["id"] for each in farm.simulations(status="stopped")] == [fork["id"]]
    until(lambda: {each["tick"] for each in farm.digests(fork["id"])} >= {place["tick"] + 3})
    ours, theirs = ({each["tick"]: each["digest"] for each in farm.digests(one, page_size=100)} for one in ids)
    assert ours[place["tick"] + 3] == theirs[place["tick"] + 3], "the fork has another past"
    return simulation


def history(farm: AutoFarm, simulation: str) -> None:
    """What has happened."""
    until(lambda: any(True for _ in farm.events(simulation, kinds=["command"])))
    assert {event["kind"] for event in farm.events(simulation, kinds=["command", "lifecycle"])} == {
        "command",
        "lifecycle",
    }
    assert {event["log"] for event in farm.events(simulation, log="system")} == {"system"}
    every = [(event["log"], event["seq"]) for event in farm.events(simulation)]
    assert [(event["log"], event["seq"]) for event in farm.events(simulation, page_size=2)] == every
    assert len(set(every)) == len(every)
    until(lambda: any(True for _ in farm.snapshots(simulation)))
    for snapshot in farm.snapshots(simulation, from_tick=1, every=1):
        sums = Aggregates.of_json(snapshot["aggregates"])
        assert sums.machines == sum(sums.by_state.values()) == 24
        assert sums.battery_mean_percent == pytest.approx(snapshot["aggregates"]["battery_mean_percent"], abs=0.001)
    stages = farm.latency(simulation)["stages"]
    assert {"dispatch", "compute", "tick_latency"} <= {stage["stage"] for stage in stages}
    assert [stage["stage"] for stage in farm.latency(simulation, stage="compute")["stages"]] == ["compute"]
    assert "Percentile" in farm.histogram(simulation)


def farm_itself(farm: AutoFarm, simulation: str) -> None:
    """Machines and the world."""
    machines = list(farm.machines(simulation, page_size=5))
    assert [machine["id"] for machine in machines] == list(range(1, 25))
    assert {machine["site"] for machine in farm.machines(simulation, site=1)} == {1}
    assert [len(page["items"]) for page in farm.machine_pages(simulation, page_size=10)] == [10, 10, 4]
    now = machines[0]["now"]
    assert now is not None
    same = {
        machine["id"] for machine in machines if machine["now"] is not None and machine["now"]["state"] == now["state"]
    }
    assert {machine["id"] for machine in farm.machines(simulation, state=now["state"])} == same
    assert len(list(farm.machines(simulation, machine_class="weeder"))) == 24
    assert farm.machine(simulation, 17)["id"] == 17
    world = farm.world(simulation, page_size=1)
    assert [site["site"] for site in world["items"]] == [0, 1]
    assert world["layout"] is not None
    assert len(world["layout"]["fields"]) == 12
    west, south, _, _ = world["bounds_m"]
    assert len(farm.world(simulation, bounds_m=(west, south, west + 1, south + 1))["items"]) == 1


def access(farm: AutoFarm) -> None:
    """Tokens and tickets."""
    assert farm.stream_ticket()["expires_in_s"] == 30
    token = farm.create_token(name="ci", role="viewer")
    assert [each["name"] for each in farm.tokens()] == ["ci"]
    with AutoFarm(farm.url, token["token"]) as viewer, pytest.raises(Problem, match="403 forbidden") as caught:
        viewer.create(scenario="weeding")
    assert caught.value.allowed == "operator"
    farm.revoke_token(token["id"])
    assert list(farm.tokens()) == []


def until(holds: Callable[[], bool]) -> None:
    """Waits until it holds."""
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends, "it does not become so"
        # Between two questions.
        time.sleep(0.05)


def test_a_problem_says_which_field_and_what_is_allowed(server: Server, client: Client) -> None:
    with client(server.url) as farm:
        told(farm)


def told(farm: AutoFarm) -> None:
    """Refusals of two kinds."""
    with pytest.raises(Problem) as caught:
        farm.create(scenario="weeding", entities=0)
    problem = caught.value
    assert (problem.status, problem.kind) == (422, "invalid")
    assert (problem.field, problem.allowed) == ("entities", "1 to 1000000")
    assert problem.request_id is not None
    assert str(problem) == "422 invalid: `entities`: 0 is not from 1 to 1000000; allowed: 1 to 1000000"
    with pytest.raises(Problem) as caught:
        farm.simulation("no-uuid/../..")
    assert (caught.value.status, caught.value.field) == (422, "id")


def test_the_same_key_is_done_once_and_another_body_is_refused(farm: AutoFarm, made: Callable[..., Simulation]) -> None:
    simulation = made()["id"]
    farm.start(simulation)
    first = farm.command(simulation, key=f"once-{simulation}", entity=1, command="hold")
    assert farm.command(simulation, key=f"once-{simulation}", entity=1, command="hold") == first
    with pytest.raises(Problem, match="422 key-reused"):
        farm.command(simulation, key=f"once-{simulation}", entity=2, command="hold")


def test_a_server_that_counts_requests_gets_them_all_the_same(tmp_path: Path) -> None:
    for server in started(Server(tmp_path / "server", "--requests-per-s", "2", "--burst", "2")):
        recorder = Recorder()
        with AutoFarm(server.url, transport=recorder) as farm:
            for _ in range(5):
                farm.scenarios()
        assert 429 in recorder.answers
        with (
            AutoFarm(server.url, retry=Retry(tries=1)) as farm,
            pytest.raises(Problem, match="429 rate-limited") as caught,
        ):
            for _ in range(5):
                farm.scenarios()
        assert caught.value.retry_after_s is not None
        assert caught.value.retry_after_s >= 1


def test_a_gateway_that_is_not_there_is_named(client: Client) -> None:
    port = free_port()
    with client(f"http://127.0.0.1:{port}", retry=Retry(tries=2)) as farm:
        with pytest.raises(ConnectionLost, match=f"127.0.0.1:{port}"):
            farm.scenarios()
        with (
            pytest.raises(ConnectionLost, match=f"127.0.0.1:{port}"),
            farm.stream("0199f3a0-7a2b-7c3d-8e4f-0123456789ab"),
        ):
            pass
    with pytest.raises(ValueError, match=r"farm\.example"):
        client("farm.example")


def test_a_gateway_that_is_not_there_yet_is_not_ready(client: Client, tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    with client(server.url, retry=Retry(first_pause_s=PATIENCE_S, max_pause_s=PATIENCE_S)) as farm:
        begun = time.monotonic()
        assert not farm.is_ready()
        assert not farm.is_alive()
        assert time.monotonic() - begun < PATIENCE_S / 2, "it is asked more than once"
        for _ in started(server):
            assert farm.is_ready()
            assert farm.is_alive()
        assert not farm.is_ready()
