"""Predictors are timed by size, and the fastest is chosen for each."""

import time

import pytest

from service.predictors.choosing.sizes import sized
from service.predictors.choosing.tuning import SIZES, choose, time_few, time_sizes
from tests.support.stub_predictors import Doubles, Stub, call_of


def test_the_fastest_is_chosen_for_each_size() -> None:
    """One that can't answer a size is not chosen for it."""
    timings = {
        "pyfunc": dict.fromkeys(SIZES, 10.0),
        "quick": {1: 0.1, 8: 0.5, 64: 20.0, 512: 20.0},
    }
    chosen = choose(timings, ["pyfunc", "quick"])
    assert chosen == {1: "quick", 8: "quick", 64: "pyfunc", 512: "pyfunc", 4096: "pyfunc"}


def test_of_two_that_are_as_fast_the_first_is_chosen() -> None:
    """A percent is noise."""
    timings = {"pyfunc": dict.fromkeys(SIZES, 10.0), "other": dict.fromkeys(SIZES, 9.9)}
    assert set(choose(timings, ["pyfunc", "other"]).values()) == {"pyfunc"}


def test_every_size_is_timed_that_can_be_answered() -> None:
    """A few rows make any number of them."""

    def small_only(values: Doubles) -> Doubles:
        if len(values) > 64:
            raise ValueError("too many")
        return values

    stub = Stub("small", small_only)
    assert list(time_sizes(stub, call_of([1.0, 2.0, 3.0]))) == [1, 8, 64]
    assert set(stub.asked) == set(SIZES)


def slow(values: Doubles) -> Doubles:
    """Answer as slowly as a model does."""
    until = time.thread_time() + 0.01
    while time.thread_time() < until:
        pass
    return values


def test_pyfunc_is_not_timed_where_it_is_never_chosen() -> None:
    """Another's many rows take less than its one."""
    pyfunc, quick = Stub("pyfunc", slow), Stub("quick", lambda values: values)
    timings = time_few(pyfunc, [quick], call_of([1.0]))
    assert (list(timings), set(pyfunc.asked)) == (["pyfunc", "quick"], {1})
    assert set(choose(timings, list(timings)).values()) == {"quick"}


@pytest.mark.parametrize("fails", [True, False])
def test_pyfunc_is_timed_where_it_may_be_chosen(*, fails: bool) -> None:
    """Another can't answer so many rows, or takes as long for them."""

    def few_only(values: Doubles) -> Doubles:
        if len(values) > 1:
            if fails:
                raise ValueError("too many")
            return slow(slow(values))
        return values

    pyfunc, other = Stub("pyfunc", slow), Stub("other", few_only)
    timings = time_few(pyfunc, [other], call_of([1.0]))
    assert set(pyfunc.asked) == {1, 512}
    assert choose(timings, list(timings)) == {1: "other", 512: "pyfunc"}


def test_where_nothing_else_is_admitted_pyfunc_is_timed() -> None:
    """The report tells what it takes."""
    pyfunc = Stub("pyfunc", lambda values: values)
    assert list(time_few(pyfunc, [], call_of([1.0]))["pyfunc"]) == [1, 512]


def test_rows_are_repeated_in_their_order() -> None:
    """Seven rows out of three, or two."""
    assert sized(call_of([1, 2, 3]), 7) == call_of([1, 2, 3, 1, 2, 3, 1])
    assert sized(call_of([1, 2, 3]), 3) == call_of([1, 2, 3])
    assert sized(call_of([1, 2, 3]), 2) == call_of([1, 2])
