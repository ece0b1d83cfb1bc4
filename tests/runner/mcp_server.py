"""A real MCP server, of the official package, as a process: `python mcp_server.py PORT LOG`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from mcp.server import MCPServer

server = MCPServer("box")
log = Path(sys.argv[2])


@server.tool()
def triple(n: int) -> str:
    """Three times a number."""
    with log.open("a") as calls:
        calls.write(f"{n}\n")
    return f"mcp says {n * 3}"


@server.tool()
def fail() -> str:
    """Always fails."""
    raise ValueError("broken box")


if __name__ == "__main__":
    uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
