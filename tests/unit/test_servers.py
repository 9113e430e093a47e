"""A Redis URL: which servers it names, how they are reached, and what is wrong with it."""

from typing import Any

import pytest

from sluicegate.errors import InvalidRequest
from sluicegate.servers import SentinelPool, make_pool, place_of

URL = "redis+sentinel://ann:secret%40@s1:26379,s2,[::1]:26380/sluice/3"


def read(url: str) -> SentinelPool:
    pool = make_pool(url, 5.0)
    assert isinstance(pool, SentinelPool)
    return pool


def sentinels_of(pool: SentinelPool) -> list[dict[str, Any]]:
    return [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]


def test_sentinels_are_asked_for_a_service() -> None:
    pool = read(URL)
    assert pool.service_name == "sluice"
    given = pool.connection_kwargs
    assert (given["username"], given["password"], given["db"]) == ("ann", "secret@", 3)
    assert "host" not in given
    assert [(one["host"], one["port"]) for one in sentinels_of(pool)] == [("s1", 26379), ("s2", 26379), ("::1", 26380)]


def test_sentinels_have_credentials_of_their_own() -> None:
    pool = read(URL + "?sentinel_username=eve&sentinel_password=other&socket_keepalive=True")
    assert {(one["username"], one["password"]) for one in sentinels_of(pool)} == {("eve", "other")}
    assert pool.connection_kwargs["socket_keepalive"] is True
    assert {one.get("password") for one in sentinels_of(read(URL))} == {None}


def test_with_tls_both_are_spoken_to_in_tls() -> None:
    pool = read(URL.replace("redis+", "rediss+") + "?ssl_check_hostname=False")
    assert "SSL" in str(pool.connection_class.__mro__)
    assert all(
        "SSL" in sentinel.connection_pool.connection_class.__name__ for sentinel in pool.sentinel_manager.sentinels
    )


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+sentinel://s1:26379", "name the service that sentinels watch"),
        ("redis+sentinel://:pw@s1:0/sluice/0", "s1:0 is no sentinel's host:port"),
        ("redis+sentinel://s1:26379,,s2:26379/sluice/0", "nothing is no sentinel's host:port"),
        ("redis+sentinel://s1/sluice/0?sentinel_name=x", "sentinel_name"),
        ("redis+sentinel://s1/sluice/zero", "zero"),
        ("http://:pw@h", "must specify one of the following schemes"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        make_pool(url, None)
    assert words in str(refused.value)
    assert "pw" not in str(refused.value)


def test_a_place_has_no_credentials() -> None:
    assert place_of(URL) == "redis+sentinel://s1:26379,s2,[::1]:26380/sluice/3"
