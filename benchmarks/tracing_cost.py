"""What traces cost a submission: the web process's CPU and the time to its 202, without traces and with all of them exported.

    python -m benchmarks.tracing_cost --rounds 9

Three web processes on one Postgres and one Redis: without traces, with every trace exported to a collector that answers at once,
and with traces of which a hundredth is kept. Rounds are interleaved: in each, every process takes the same number of submissions,
one after the other's answer on each of eight connections. Nobody claims them; the recorder has nothing to do.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from benchmarks.machine import command, cpu_s, free_port, machine, spread
from benchmarks.stack import Service, our_service, wait_for

CONNECTIONS = 8
RATIO = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}


def collector() -> ThreadingHTTPServer:
    """Takes what comes, in this process."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def web(service: Service, **env: str) -> tuple[str, int]:
    """One more web process: its address and pid."""
    port = free_port()
    pid = service.start("manage.py", "serve", "--port", str(port), "--server", "uvicorn", **env)
    wait_for(f"http://127.0.0.1:{port}/readyz")
    return f"http://127.0.0.1:{port}", pid


async def submit(url: str, key: str, count: int) -> list[float]:
    """Seconds of each of so many submissions."""
    took: list[float] = []
    left = iter(range(count))

    async def one_after_the_other(client: httpx.AsyncClient) -> None:
        for _ in left:
            began = time.perf_counter()
            answer = await client.post("/api/v1/tasks", json={"agent": "bench", "input": "Say something."})
            took.append(time.perf_counter() - began)
            assert answer.status_code == 202, answer.text

    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        await asyncio.gather(*(one_after_the_other(client) for _ in range(CONNECTIONS)))
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--submissions", type=int, default=1500, help="of each process in each round")
    options = parser.parse_args()
    sink = collector()
    on = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.server_port}"}
    cpu_ms: defaultdict[str, list[float]] = defaultdict(list)
    median_ms: defaultdict[str, list[float]] = defaultdict(list)
    with our_service(server="uvicorn") as service:
        webs = {"off": (service.url, service.web), "all": web(service, **on), "1 in 100": web(service, **on, **RATIO)}
        for number in range(options.rounds + 1):
            for name, (url, pid) in webs.items():
                before = cpu_s([pid])
                took = asyncio.run(submit(url, service.key, options.submissions))
                if number:  # the first round warms up
                    cpu_ms[name].append((cpu_s([pid]) - before) / options.submissions * 1000)
                    median_ms[name].append(statistics.median(took) * 1000)
    sink.shutdown()
    print(f"{machine()}\n{command()}\n")
    for name in cpu_ms:
        ratio = statistics.median(mine / base for mine, base in zip(cpu_ms[name], cpu_ms["off"], strict=True))
        cpu, wait = spread(cpu_ms[name], 3), spread(median_ms[name], 2)
        print(f"{name:<9} CPU per submission {cpu} ms, {ratio:.2f} of off; median time {wait} ms")


if __name__ == "__main__":
    main()
