"""How many requests the next batch waits for, learnt from how many came back."""

from service.serving.batching.batch_delay import BatchDelay

IN_TIME_S = 0.005


def seen(*, came: int, answered: int = 4, batches: int = 50) -> tuple[BatchDelay, float]:
    """Return what is known after batches each of which was followed by so many, and the time."""
    delay = BatchDelay()
    now_s = 0.0
    for _ in range(batches):
        delay.note_answered(answered, 0, now_s, IN_TIME_S)
        for _ in range(came):
            delay.note_arrival(now_s + IN_TIME_S / 2)
        now_s += 1.0
    return delay, now_s


def test_before_anything_was_answered_nobody_is_waited_for() -> None:
    """The first request goes immediately."""
    assert BatchDelay().expected(0.0) == 1


def test_callers_that_come_back_are_waited_for_beside_those_that_wait() -> None:
    """For as long as they may take, and no longer."""
    delay, now_s = seen(came=4)
    delay.note_answered(4, 3, now_s, IN_TIME_S)
    assert delay.until_s == now_s + IN_TIME_S
    assert delay.expected(now_s + IN_TIME_S / 2) == 7
    assert delay.expected(now_s + IN_TIME_S) == 1


def test_where_half_come_nobody_is_waited_for() -> None:
    """That many come in half of a run where none waits for an answer to come again."""
    delay, now_s = seen(came=2)
    delay.note_answered(4, 3, now_s, IN_TIME_S)
    assert delay.expected(now_s) == 1


def test_a_crowd_after_one_batch_does_not_make_up_for_others() -> None:
    """A batch's callers come back, at most, all of them."""
    delay, now_s = seen(came=0)
    delay.note_answered(4, 0, now_s, IN_TIME_S)
    for _ in range(1_000):
        delay.note_arrival(now_s)
    delay.note_answered(4, 3, now_s + 1.0, IN_TIME_S)
    assert delay.expected(now_s + 1.0) == 1


def test_what_comes_late_does_not_count() -> None:
    """The time is over for which a batch would have waited."""
    delay, now_s = seen(came=0)
    for _ in range(50):
        delay.note_answered(1, 0, now_s, IN_TIME_S)
        delay.note_arrival(now_s + IN_TIME_S)
        now_s += 1.0
    delay.note_answered(1, 1, now_s, IN_TIME_S)
    assert delay.expected(now_s) == 1


def test_a_wait_ends_with_those_that_came() -> None:
    """Until the next batch is answered nobody is waited for."""
    delay, now_s = seen(came=4)
    delay.note_answered(4, 3, now_s, IN_TIME_S)
    delay.end()
    assert delay.expected(now_s) == 1
