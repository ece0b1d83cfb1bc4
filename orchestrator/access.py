"""Keeps Redis' users in step with the workers that live, and the workers' scripts loaded.

A worker's user is made before the worker is started, made again within a tick when Redis has lost it, and deleted in the tick after
the worker has ended, whoever started it and however it ended. Where Redis does not let us manage users, the setting
OPSITE_WORKER_USERS decides: `auto` gives workers the service's own address and says so, `required` starts none, `off` never tries.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal, get_args

from orchestrator.credentials import Credentials, cache_salt_key, password, user_of, users_of, with_user
from taskqueue.access import AccessRefused, WorkerUsers
from taskqueue.connections import connect
from taskqueue.failures import QueueUnavailable

log = logging.getLogger(__name__)

Mode = Literal["auto", "required", "off"]

ANYONE = (
    "Redis asks nobody for a password, so workers can do without their own users: set requirepass, "
    "and the password in REDIS_URL."
)


class BadMode(ValueError):
    """OPSITE_WORKER_USERS is none of the words that it takes."""


class Access:
    """Workers' users in one Redis. Used by the loop's thread only."""

    def __init__(self, *, stack: str, secret: str, redis_url: str, mode: str) -> None:
        if mode not in get_args(Mode):
            raise BadMode(f"OPSITE_WORKER_USERS is {mode!r}: it takes {', '.join(get_args(Mode))}")
        self._stack, self._secret, self._url, self._mode = stack, secret, redis_url, mode
        self._redis = connect(redis_url)
        self._users = WorkerUsers(self._redis)
        self._sure: set[str] = set()
        self._refused = self._open = ""
        self._away = False

    def close(self) -> None:
        """Hang up."""
        self._redis.close()

    @property
    def caveat(self) -> str:
        """What a reader of the console must know of workers' access, in a sentence or two; empty when all is well."""
        return f"It reaches all of Redis. {self._refused}" if self._refused else self._open

    def begin(self) -> None:
        """A new lead: trust nothing that an earlier one knew (rules of another version, an old secret key)."""
        self._sure.clear()

    def admit(self, worker: str, *, pool: str) -> Credentials:
        """What a worker that is about to start is given; its user stands then, unless Redis is away: then from the next tick on.

        Raises `AccessRefused` where users are required and Redis refuses them.
        """
        if self._mode != "off":
            try:
                self._users.load_scripts()
                self._allow(worker, pool)
            except AccessRefused as error:
                self._refuse(error)
            except QueueUnavailable as error:
                log.warning("worker %s is started before its Redis user is made: %s", worker, error)
            if self._refused and self._mode == "required":
                raise AccessRefused(f"{self._refused} OPSITE_WORKER_USERS=required starts no worker without one.")
        url = self._url
        if self._mode != "off" and not self._refused:
            secret = password(self._secret, stack=self._stack, worker=worker)
            url = with_user(url, user=user_of(self._stack, worker), password=secret)
        return Credentials(redis_url=url, cache_salt_key=cache_salt_key(self._secret, pool=pool))

    def tend(self, living: Mapping[str, str]) -> None:
        """Bring users and scripts to what `living` (worker id to its pool's slug) needs. Never raises for Redis' sake."""
        if self._mode == "off":
            return
        try:
            self._users.load_scripts()
            present = self._users.names(users_of(self._stack))
            wanted = {user_of(self._stack, worker): worker for worker in living}
            for user in wanted.keys() - (present & self._sure):
                self._allow(wanted[user], living[wanted[user]])
            self._users.forbid(present - wanted.keys())
            self._sure &= wanted.keys()
            self._warn_of_open_doors(anyone=self._users.anyone_may_enter())
        except AccessRefused as error:
            self._refuse(error)
        except QueueUnavailable as error:
            if not self._away:
                log.warning("workers' Redis users are not looked after: %s", error)
            self._away = True
        else:
            self._refused, self._away = "", False

    def _allow(self, worker: str, pool: str) -> None:
        user = user_of(self._stack, worker)
        self._users.allow(user, pool=pool, password=password(self._secret, stack=self._stack, worker=worker))
        self._sure.add(user)

    def _refuse(self, error: AccessRefused) -> None:
        if self._refused:
            return  # said already; Redis 7 names another subcommand each time
        self._refused = str(error)
        consequence = "workers get the service's own address and reach all of Redis"
        if self._mode == "required":
            consequence = "no worker is started"
        log.warning("%s So %s (OPSITE_WORKER_USERS=%s).", error, consequence, self._mode)

    def _warn_of_open_doors(self, *, anyone: bool) -> None:
        if anyone and not self._open:
            log.warning(ANYONE)
        self._open = ANYONE if anyone else ""
