from rlhf.compare.figures.labels import MARK, place


def test_a_name_stands_at_the_first_spot_that_is_free():
    """A second mark 20 pixels to the right takes the place of the first one's name."""
    alone, _ = place([(0.5, 0.5, "a"), (0.9, 0.9, "")], 200, 200)
    beside, _ = place([(0.5, 0.5, "a"), (0.6, 0.5, "")], 200, 200)
    assert (alone.dx, alone.dy, alone.align) == (12, 0, "left")
    assert (beside.dx, beside.align) == (-12, "right")


def test_names_overlap_neither_each_other_nor_the_frame():
    spots = place([(0.5, 0.5, "name"), (0.5, 0.52, "name"), (0.99, 0.2, "name")], 300, 300)
    assert spots[0] != spots[1] and spots[2].align == "right"


def test_where_there_is_no_room_there_is_no_name():
    crowd = [(0.1 + 0.05 * i, 0.1 + 0.05 * k, "long name") for i in range(9) for k in range(9)]
    spots = place(crowd, 120, 120)
    assert len(spots) == 81 and None in spots
    assert MARK > 0
