"""The grid of the windows of Tk and Qt: the tile of each item, and the number of tiles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imgassemble.screens.tile_grid import GAP, assign_tile, count_rows_and_columns

LONGEST_SIDE = 32_767  # of a window, in pixels: X11 stores it in 16 bits with a sign


def tiles_of(item_ids: str, most_tiles: int) -> dict[str, int]:
    """Return the number of each item's tile after items have changed in this order."""
    tiles = {"": 0}
    for item_id in item_ids:
        assign_tile(tiles, item_id, most_tiles, lambda number: number)
    return tiles


def test_the_first_item_takes_the_tile_of_the_placeholder() -> None:
    assert tiles_of("ab", 9) == {"a": 0, "b": 1}


def test_an_item_keeps_its_tile() -> None:
    assert tiles_of("abab", 9) == {"a": 0, "b": 1}


def test_without_room_an_item_takes_the_tile_that_changed_longest_ago() -> None:
    assert tiles_of("abcad", 3) == {"c": 2, "a": 0, "d": 1}


def test_an_item_whose_tile_was_taken_gets_another_with_its_next_change() -> None:
    assert tiles_of("abca", 2) == {"c": 0, "a": 1}


sides = st.integers(1, 30_000)


@given(st.tuples(sides, sides), st.integers(1, 10_000))
def test_no_side_of_a_window_is_longer_than_it_can_be(size: tuple[int, int], columns: int) -> None:
    rows, fitting = count_rows_and_columns(size, columns)
    assert 1 <= fitting <= columns
    assert fitting * (size[0] + 2 * GAP) <= LONGEST_SIDE
    assert rows == 1 or rows * (size[1] + 3 * GAP) <= LONGEST_SIDE


def test_two_columns_of_the_usual_size_have_a_hundred_tiles() -> None:
    assert count_rows_and_columns((512, 512), 2) == (51, 2)
