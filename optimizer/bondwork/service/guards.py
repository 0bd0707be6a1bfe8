"""What stands before every request: who may ask, and how much may be sent, how slowly."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from bondwork.service.config import ServiceConfig


class Guard:
    """Middleware: bearer token, size of the body, time to send it.

    The body is taken in whole before the application sees the request, so that a slow client holds a
    connection and nothing else.
    """

    def __init__(self, app: ASGIApp, config: ServiceConfig) -> None:
        self.app = app
        self.config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        if not self._may_ask(headers):
            await _answer(send, 401, "unauthorized", "send Authorization: Bearer TOKEN", challenge=True)
            return
        length = headers.get(b"content-length", b"0")
        announced = int(length) if length.isdigit() else 0
        try:
            async with asyncio.timeout(self.config.body_time):
                body = await self._take(receive, announced)
        except TimeoutError:
            wanted = f"a body within {self.config.body_time:g} s"
            await _answer(send, 408, "slow_body", f"expected {wanted}")
            return
        if body is None:
            await self._too_large(send)
            return
        await self.app(scope, _replay(body, receive), send)

    def _may_ask(self, headers: dict[bytes, bytes]) -> bool:
        if self.config.token is None:
            return True
        wanted = f"Bearer {self.config.token}".encode()
        return secrets.compare_digest(headers.get(b"authorization", b""), wanted)

    async def _take(self, receive: Receive, announced: int) -> bytes | None:
        """The whole body; ``None`` where it is too large.

        What is too much is read all the same and forgotten at once: a client that still sends does not read
        the answer.
        """
        parts: list[bytes] = []
        size = announced
        seen = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            seen += len(message.get("body", b""))
            size = max(size, seen)
            if size > self.config.most_body:
                parts.clear()
            else:
                parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        return b"".join(parts) if size <= self.config.most_body else None

    async def _too_large(self, send: Send) -> None:
        wanted = f"a body of at most {self.config.most_body} bytes"
        await _answer(send, 413, "body_too_large", f"expected {wanted}")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand the body out again, once; then whatever else the client sends."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _answer(send: Send, status: int, word: str, reason: str, *, challenge: bool = False) -> None:
    body = json.dumps({"error": word, "reasons": [reason]}).encode() + b"\n"
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if challenge:
        headers.append((b"www-authenticate", b"Bearer"))
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
