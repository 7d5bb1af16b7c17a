"""Frames wait in the order in which a look at all of them would rank them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imgassemble.web.changes import PageChange
from imgassemble.web.redis.waiting_frames import WaitingFrames

STEPS = st.lists(st.tuples(st.sampled_from(["result", "newest", "replaced", "again", "pop"]), st.integers(0, 7)))


def frame(number: int, *, is_final: bool) -> PageChange:
    return PageChange(stream="otter", kind="frame", key=str(number), facts={"is_final": is_final, "bytes": 10})


@given(STEPS)
def test_the_newest_of_the_highest_rank_is_first(steps: list[tuple[str, int]]) -> None:
    waiting, ranks = WaitingFrames(), dict[int, int]()
    for step, number in steps:
        before = ranks.get(number)
        if step != "again":
            ranks.pop(number, None)
        if step == "pop":
            assert (waiting.pop(number) is None) == (before is None)
        elif step == "again":
            waiting.rank_again([number], is_newest=before == 1)
            if before in (1, 2):
                del ranks[number]
                ranks[number] = 3 - before
        else:
            waiting.add(frame(number, is_final=step == "result"), is_newest=step == "newest")
            ranks[number] = {"result": 3, "newest": 2, "replaced": 1}[step]
        newest = list(ranks)[::-1]
        assert waiting.first() == max(newest, key=lambda each: ranks[each], default=None)
        assert bool(waiting) == bool(ranks)
        assert waiting.are_replaced == all(rank == 1 for rank in ranks.values())


@given(STEPS, st.integers(0, 50))
def test_the_replaced_previews_that_have_waited_longest_are_left_out(
    steps: list[tuple[str, int]], max_bytes: int
) -> None:
    waiting, replaced = WaitingFrames(), list[int]()
    for step, number in steps:
        waiting.pop(number)
        replaced = [each for each in replaced if each != number]
        if step in ("newest", "replaced"):
            waiting.add(frame(number, is_final=False), is_newest=False)
            replaced.append(number)
    waiting.leave_out_replaced(max_bytes)
    left = replaced[len(replaced) - max_bytes // 10 :] if len(replaced) > max_bytes // 10 else replaced
    assert [number for number in replaced if waiting.pop(number)] == left
