"""What workers are given to know: the same for whoever derives it, another for each purpose, never in a representation."""

from __future__ import annotations

import pytest

from orchestrator.credentials import Credentials, cache_salt_key, password, user_of, users_of, with_user


def test_each_worker_stack_and_secret_has_a_password_of_its_own() -> None:
    same = password("s", stack="a", worker="w")
    assert same == password("s", stack="a", worker="w")
    others = [
        password("s", stack="a", worker="v"),
        password("s", stack="b", worker="w"),
        password("t", stack="a", worker="w"),
        password("s", stack="aw", worker=""),
        cache_salt_key("s", pool="a"),
        cache_salt_key("s", pool="b"),
    ]
    assert len({same, *others}) == 1 + len(others)
    assert all(len(one) == 64 and set(one) <= set("0123456789abcdef") for one in (same, *others))


def test_stacks_do_not_take_each_others_users_for_theirs() -> None:
    assert user_of("ops", "w") == "worker:ops:w"
    assert not user_of("ops:2", "w").startswith(users_of("ops"))
    assert " " not in user_of("two words", "and three more")


@pytest.mark.parametrize(
    ("url", "theirs"),
    [
        ("unix:///run/redis.sock", "unix://worker%3As%3Aw:pw@/run/redis.sock"),
        ("unix://:admin@/run/redis.sock?db=2", "unix://worker%3As%3Aw:pw@/run/redis.sock?db=2"),
        ("redis://127.0.0.1:6379/0", "redis://worker%3As%3Aw:pw@127.0.0.1:6379/0"),
        ("rediss://me:ad%40min@[::1]:6379/1", "rediss://worker%3As%3Aw:pw@[::1]:6379/1"),
        ("redis://host/0?password=admin&username=me&protocol=3", "redis://worker%3As%3Aw:pw@host/0?protocol=3"),
    ],
)
def test_an_address_for_another_user(url: str, theirs: str) -> None:
    assert with_user(url, user="worker:s:w", password="pw") == theirs


def test_nothing_of_it_is_shown() -> None:
    assert "secret" not in repr(Credentials(redis_url="redis://u:secret@h", cache_salt_key="secret"))
