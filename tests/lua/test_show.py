"""show: what is kept of a request, wherever it is; its body only when it is asked for."""

from typing import Any

from support.scripts import SECOND_US, Bench


async def show(bench: Bench, *ids: str, bodies: int = 0) -> list[Any]:
    answers: list[Any]
    now_us, *answers = await bench.run("show", (bodies,), [(one,) for one in ids])
    assert now_us == bench.now_us
    return answers


async def test_each_place_has_its_answer(bench: Bench) -> None:
    await bench.submit("ann", id="answered")
    await bench.settle(*await bench.take())
    await bench.submit("ann", id="dead")
    await bench.bury(*await bench.take())
    await bench.submit("ann", id="flying")
    await bench.take()
    await bench.submit("ann", id="waiting", key="k", on_unknown="dead")
    await bench.submit("ann", id="later", not_before_us=SECOND_US)
    answered, unknown, dead, flying, waiting, later = await show(
        bench, "answered", "nobody", "dead", "flying", "waiting", "later"
    )
    assert (answered, unknown) == (b"final", b"unknown")
    assert [one[0][0] for one in (dead, flying, waiting, later)] == [b"dead", b"run", b"backlog", b"retry"]
    assert (flying[0][11], later[0][10]) == (b"d1", b"%d" % (bench.now_us + SECOND_US))
    assert waiting[1:5] == [b"0", b"", b"k", b"dead"]
    assert dead[-1][0][0] == dead[0][1]
    assert [one[-1] for one in (flying, waiting, later)] == [[], [], []]


async def test_a_body_comes_only_when_asked_for(bench: Bench) -> None:
    [request_id] = await bench.submit(body=b"secret")
    assert [one[5:7] for one in await show(bench, request_id)] == [[6, b""]]
    assert [one[5:7] for one in await show(bench, request_id, bodies=1)] == [[6, b"secret"]]


async def test_one_that_must_be_alone_says_when_it_is_due(bench: Bench) -> None:
    [request_id] = await bench.submit(not_before_us=SECOND_US)
    await bench.redis.rename(bench.keys.fixed("due"), bench.keys.fixed("suspects"))
    assert (await show(bench, request_id))[0][0][10] == b"%d" % (bench.now_us + SECOND_US)
    await bench.redis.rename(bench.keys.fixed("suspects"), bench.keys.fixed("due"))
