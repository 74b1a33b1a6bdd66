"""A grid watches for signals, so does each of its jobs, and so does the run in it: what one has heard, all have."""

import os
import signal

from lmcompare import signals


def test_a_block_in_a_block_forgets_no_signal() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals.watched():
        os.kill(os.getpid(), signal.SIGTERM)
        with signals.watched():
            assert signals.asked()
        assert signals.asked() and signals.stopped().status == 75
    assert signal.getsignal(signal.SIGTERM) is before
    with signals.watched():  # a new request, a new answer
        assert not signals.asked()


def test_a_block_that_fails_is_left_all_the_same() -> None:
    for _ in range(2):
        try:
            with signals.watched(), signals.watched():
                os.kill(os.getpid(), signal.SIGTERM)
                raise ValueError
        except ValueError:
            assert signals.asked()
    with signals.watched():
        assert not signals.asked()
