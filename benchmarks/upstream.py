"""What a peer gateway stands in front of: an OpenAI-style server over the same simulated engine that our worker runs.

    python -m benchmarks.upstream --port 9000 --engine-args '{"step_base_s": 0.02}'

So both sides wait for the same engine steps, and what a gateway adds is what is left. Raw asyncio, one write per event.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from gpu_worker.engines import EngineOutput, EngineRequest
from gpu_worker.engines.simulated import SimulatedEngine
from gpu_worker.settings import Settings
from taskqueue.calls import json_text
from taskqueue.messages import ChatMessage, SamplingParams, TurnBody

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


def _chunk(text: str) -> bytes:
    data = text.encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream:
    """One engine, any number of connections."""

    def __init__(self, engine: SimulatedEngine) -> None:
        self._engine = engine
        self._streams: dict[str, asyncio.StreamWriter] = {}
        self._next = 0

    async def run(self, port: int) -> None:
        """Serve until killed."""
        await self._engine.start()
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        print("upstream ready", flush=True)
        async with server:
            while True:
                for output in await self._engine.collect():
                    self._write(output)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            body = json.dumps({"object": "list", "data": [{"id": "bench", "object": "model"}]}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            writer.close()
            return
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        asked: dict[str, Any] = json.loads(await reader.readexactly(length))
        self._next += 1
        name = str(self._next)
        messages = tuple(ChatMessage(m["role"], str(m["content"])) for m in asked["messages"])
        body_ = TurnBody(messages=messages, params=SamplingParams(max_tokens=asked.get("max_tokens") or 16))
        self._streams[name] = writer
        writer.write(_HEAD + _chunk(self._event(name, '{"role":"assistant","content":""}')))
        self._engine.submit([EngineRequest(id=name, turn=name, tenant="bench", body=body_)])

    def _event(self, name: str, delta: str, finish: str = "null") -> str:
        return (
            f'data: {{"id":"chatcmpl-{name}","object":"chat.completion.chunk","created":1,"model":"bench",'
            f'"choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}\n\n'
        )

    def _write(self, output: EngineOutput) -> None:
        writer = self._streams.get(output.id)
        if writer is None:
            return
        text = self._event(output.id, f'{{"content":{json_text(output.text)}}}') if output.text else ""
        if output.ending:
            text += self._event(output.id, "{}", '"stop"') + "data: [DONE]\n\n"
            writer.write(_chunk(text) + b"0\r\n\r\n")
            writer.close()
            del self._streams[output.id]
        elif text:
            writer.write(_chunk(text))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="An OpenAI-style server over the simulated engine.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--engine-args", type=json.loads, default={})
    arguments = parser.parse_args()
    settings = Settings(
        redis_url="unused", pool="bench", worker_id="upstream", engine="simulated", model="", slots=1024,
        engine_args=arguments.engine_args,
    )  # fmt: skip
    asyncio.run(Upstream(SimulatedEngine(settings)).run(arguments.port))


if __name__ == "__main__":
    main()
