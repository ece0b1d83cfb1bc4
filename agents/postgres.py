"""Settings of the sessions that reach Postgres without Django."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict, make_conninfo


def with_settings(url: str, **settings: str) -> str:
    """The database's address with these settings (`jit="off"`) beside those that its own `options` bring along."""
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return make_conninfo(url, options=f"{conninfo_to_dict(url).get('options', '')} {ours}".strip())
