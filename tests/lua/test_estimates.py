"""settle, lease, enqueue: how many tokens a request will take is learned for each model from what became of others."""

import pytest

from support.packed import parse_request
from support.scripts import SECOND_US, Bench
from support.traffic import TOKEN_US, make_token_policy, read_entry, write_usage

UNKNOWN_OUT = 256


async def teach(bench: Bench, guess: tuple[int, int], used: tuple[int, int], model: str = "m") -> None:
    """One call that was estimated and asked for so, and took so much."""
    bench.advance(600 * SECOND_US)
    await bench.submit("ann", model=model, tokens_in=guess[0], tokens_out=guess[1])
    await bench.settle(*await bench.take(), usage=write_usage(*used))


async def predict(bench: Bench, guess: tuple[int, int], model: str = "m") -> tuple[int, int]:
    """What the next lease takes it for. It ends without a word of what it took."""
    bench.advance(600 * SECOND_US)
    [request_id] = await bench.submit("ann", model=model, tokens_in=guess[0], tokens_out=guess[1])
    cost = parse_request(await bench.redis.hgetall(bench.keys.request(request_id)))["cost"]
    [leased] = await bench.take()
    entry = await read_entry(bench, leased)
    tokens_in, tokens_out = int(entry["tokens_in"]), int(entry["tokens_out"])
    assert entry["cost"] == cost == str((tokens_in + tokens_out) * TOKEN_US)  # enqueue has said the same
    assert int(entry["tokens"]) == tokens_in + tokens_out
    await bench.settle(leased)
    return tokens_in, tokens_out


@pytest.fixture
async def metered(bench: Bench) -> Bench:
    """Reserves what will probably come, so that what is reserved is what is predicted."""
    await bench.apply(make_token_policy(provider="anthropic"))
    return bench


async def test_of_an_unknown_model_the_estimates_are_taken_as_they_come(metered: Bench) -> None:
    assert await predict(metered, (100, 400)) == (100, 400)
    assert await predict(metered, (100, 0)) == (100, 0)
    assert await predict(metered, (100, -1)) == (100, UNKNOWN_OUT)


async def test_estimates_are_corrected_by_what_others_took(metered: Bench) -> None:
    await teach(metered, (100, 400), (200, 100))
    assert await predict(metered, (50, 40)) == (100, 10)
    assert await predict(metered, (33, 41)) == (66, 11)  # rounded up
    assert await predict(metered, (50, -1)) == (100, UNKNOWN_OUT)  # nothing is known of calls that did not say


async def test_a_twentieth_of_each_answer_is_learned(metered: Bench) -> None:
    await teach(metered, (100, 400), (200, 100))
    await teach(metered, (100, 400), (400, 500))
    assert await predict(metered, (100, 400)) == (210, 120)


async def test_what_is_asked_for_and_what_comes_unasked_are_learned_apart(metered: Bench) -> None:
    await teach(metered, (100, -1), (100, 40))
    assert await predict(metered, (100, -1)) == (100, 40)
    assert await predict(metered, (100, 400)) == (100, 400)
    await teach(metered, (100, -1), (100, 60))
    await teach(metered, (100, 400), (100, 200))
    assert await predict(metered, (100, -1)) == (100, 41)
    assert await predict(metered, (100, 400)) == (100, 200)


async def test_no_answer_is_expected_to_be_longer_than_was_asked_for(metered: Bench) -> None:
    await teach(metered, (100, 10), (100, 50))
    assert await predict(metered, (100, 10)) == (100, 10)


@pytest.mark.parametrize(("used", "expected"), [((100_000, 5000), (2000, 400)), ((0, 0), (5, 20))])
async def test_a_single_odd_answer_moves_them_twentyfold_at_most(
    metered: Bench, used: tuple[int, int], expected: tuple[int, int]
) -> None:
    await teach(metered, (100, 400), used)
    assert await predict(metered, (100, 400)) == expected


async def test_each_model_has_its_own(metered: Bench) -> None:
    await teach(metered, (100, 400), (200, 100), model="one")
    assert await predict(metered, (100, 400), "other") == (100, 400)
    long = "x" * 64
    await teach(metered, (100, 400), (300, 400), model=long + "and more")
    assert await predict(metered, (100, 400), long) == (300, 400)


async def test_a_hundred_models_are_known_at_most(metered: Bench) -> None:
    for number in range(102):
        await teach(metered, (100, 400), (200, 400), model=f"m{number}")
    names = [name for name in await metered.redis.hkeys(metered.keys.fixed("sched")) if name.startswith("model:")]
    assert (len(names), await metered.counter("models")) == (100, 100)
    assert await predict(metered, (100, 400), "m99") == (200, 400)
    assert await predict(metered, (100, 400), "m100") == (100, 400)


async def test_only_the_answer_that_lets_go_teaches(metered: Bench) -> None:
    await metered.submit("ann", tokens_in=100, tokens_out=400)
    [leased] = await metered.take()
    await metered.settle(leased, usage=write_usage(200, 400))
    await metered.settle(leased, usage=write_usage(900, 400))
    assert await predict(metered, (100, 400)) == (200, 400)


async def test_where_nothing_is_said_nothing_is_learned(metered: Bench) -> None:
    await metered.submit("ann", tokens_in=100, tokens_out=400)
    await metered.settle(*await metered.take())
    assert await metered.counter("models") == 0


async def test_what_was_really_used_teaches_and_not_what_was_counted(metered: Bench) -> None:
    """A provider may count what was asked for, or leave out what came from its cache."""
    await metered.submit("ann", tokens_in=100, tokens_out=400)
    await metered.settle(*await metered.take(), usage="50 400 200 100")
    assert await predict(metered, (100, 400)) == (200, 100)


async def test_damaged_knowledge_is_none(metered: Bench) -> None:
    await metered.redis.hset(metered.keys.fixed("sched"), "model:m", "nonsense")
    assert await predict(metered, (100, 400)) == (100, 400)
    await teach(metered, (100, 400), (200, 400))
    assert await predict(metered, (100, 400)) == (200, 400)
