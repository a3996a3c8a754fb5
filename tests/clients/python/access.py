"""Checks what tokens allow, on a gateway that was started with `--require-tokens`.

    AUTOFARM_VIEWER=... AUTOFARM_OPERATOR=... AUTOFARM_ADMIN=... python access.py http://127.0.0.1:8080
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from checks.opening import refused
from farm import SUBPROTOCOLS, farm, need
from rest import Api
from stream import Stream

NOBODY = "01970000-0000-7000-8000-000000000001"
# What each call needs: method, path, body. The simulation is none that there is, so that who may ask gets a 404.
READS = (
    ("GET", "/v1/simulations", None, 200),
    ("GET", "/v1/scenarios", None, 200),
    ("GET", "/v1/workers", None, 200),
    ("GET", f"/v1/simulations/{NOBODY}", None, 404),
    ("GET", f"/v1/simulations/{NOBODY}/events", None, 404),
    ("GET", f"/v1/simulations/{NOBODY}/latency", None, 404),
)
COMMANDS = (
    ("PATCH", f"/v1/simulations/{NOBODY}", {"speed": 2}, 404),
    ("DELETE", f"/v1/simulations/{NOBODY}", None, 404),
    *(("POST", f"/v1/simulations/{NOBODY}/{act}", {}, 404) for act in ("start", "pause", "resume", "step", "stop")),
    ("POST", f"/v1/simulations/{NOBODY}/fork", {}, 404),
    ("POST", f"/v1/simulations/{NOBODY}/commands", {"all": True, "command": "hold"}, 404),
)
ADMINISTERS = (
    ("GET", "/v1/tokens", None, 200),
    ("DELETE", "/v1/tokens/00000000000000ff", None, 404),
)


async def tokens(url: str) -> None:
    """Every role may do what it may, and nothing more."""
    names = {role: os.environ[f"AUTOFARM_{role.upper()}"] for role in ("viewer", "operator", "admin")}
    viewer, operator, admin = (Api(url, token) for token in names.values())
    unknown = names["viewer"][:-1] + ("a" if names["viewer"][-1] != "a" else "b")
    strangers = [Api(url), Api(url, unknown), Api(url, "nonsense"), Api(url, "")]
    for call in (*READS, *COMMANDS, *ADMINISTERS, ("POST", "/v1/simulations", {"scenario": "weeding"}, 201)):
        for stranger in strangers:
            asked(stranger, call, 401)
    for api, allowed, forbidden in (
        (viewer, READS, (*COMMANDS, *ADMINISTERS)),
        (operator, (*READS, *COMMANDS), ADMINISTERS),
        (admin, (*READS, *COMMANDS, *ADMINISTERS), ()),
    ):
        for call in allowed:
            asked(api, call, call[3])
        for call in forbidden:
            asked(api, call, 403)
    asked(viewer, ("POST", "/v1/simulations", {"scenario": "weeding"}, 201), 403)
    for path in ("/healthz", "/readyz", "/openapi.json"):
        need(Api(url).call("GET", path).status == 200, f"{path} needs a token")
    await streams(viewer, operator, strangers)
    revokes(admin)


def asked(api: Api, call: tuple[str, str, Any, int], status: int) -> None:
    """Asks, and compares the status and what the problem says of it."""
    method, path, body, _ = call
    answer = api.call(method, path, body)
    need(answer.status == status, f"{method} {path}: {answer.status}, not {status}: {answer.body}")
    if status >= 400:
        need(answer.media_type == "application/problem+json", f"{method} {path}: {answer.media_type}")
        need(answer.body["status"] == status, f"{method} {path}: {answer.body}")


async def streams(viewer: Api, operator: Api, strangers: list[Api]) -> None:
    """A stream wants a token of any role, or a ticket, which opens one."""
    async with farm(operator) as made:
        for stranger in strangers:
            await refused(Stream(stranger, made.id), 401)
        for subprotocol in SUBPROTOCOLS:
            async with Stream(viewer, made.id, (subprotocol,)) as stream:
                await stream.message("hello")
        ticket = viewer.expect(201, "POST", "/v1/stream-tickets", {})["ticket"]
        nobody = Api(viewer.url)
        async with Stream(nobody, made.id, query={"ticket": ticket}) as stream:
            await stream.message("hello")
        await refused(Stream(nobody, made.id, query={"ticket": ticket}), 401, "a ticket twice")
        await refused(Stream(nobody, made.id, query={"ticket": ticket[:-1]}), 401, "a ticket that is none")


def revokes(admin: Api) -> None:
    """A token that is made works at once, and once it is revoked no more."""
    made = admin.expect(201, "POST", "/v1/tokens", {"name": "for a moment", "role": "viewer"})
    moment = Api(admin.url, made["token"])
    asked(moment, READS[0], 200)
    admin.expect(204, "DELETE", f"/v1/tokens/{made['id']}")
    asked(moment, READS[0], 401)


if __name__ == "__main__":
    asyncio.run(tokens(sys.argv[1].rstrip("/")))
    print("ok      access")
