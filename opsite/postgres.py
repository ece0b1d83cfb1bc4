"""How soon a Postgres that is cut off is noticed: parameters of every connection, carried by the database's address.

By default a connection into which no answer comes any more is waited on for hours: TCP asks nobody whether the other end is there.
Here the kernel asks after 5 s of silence and every 2 s from then on, and gives up at the first time when 5 s have passed without a
sign of life. The same is asked of Postgres, where a client whose machine is gone may hold locks (the leader's is one): it ends the
session within 12 s, unless a statement of it still runs.

Unix sockets need none of this, and ignore it. A Postgres that only stands still is not cut off: its kernel answers.
"""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlencode, urlsplit

NOTICED_S = 7
"""Within so many seconds a client has an error in place of the answer: 5 of silence, and a question that is not answered."""

_OF_CLIENT = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",
}
_OF_SERVER = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


def bounded(url: str) -> str:
    """The database's address with these parameters. What it says itself stands."""
    wanted = {**_OF_CLIENT, "options": " ".join(f"-c {name}={value}" for name, value in _OF_SERVER.items())}
    said = parse_qs(urlsplit(url).query, keep_blank_values=True)
    missing = {name: value for name, value in wanted.items() if name not in said}
    # A space is said as %20: libpq takes a plus sign for a plus sign.
    return f"{url}{'&' if said else '?'}{urlencode(missing, quote_via=quote)}" if missing else url
