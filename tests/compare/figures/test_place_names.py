from rlhf.compare.figures.place_names import place


def test_names_do_not_cover_each_other():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    fig = Figure(figsize=(5, 4), dpi=100)
    FigureCanvasAgg(fig)
    ax = fig.subplots()
    ax.set(xlim=(0, 10), ylim=(0, 10))
    place(
        ax,
        [
            (5.0, 5.0, "one", "k"),
            (5.05, 5.05, "two", "k"),
            (4.95, 5.0, "three", "k"),
            (9.9, 9.9, "corner", "k"),
        ],
    )
    fig.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without the lines to their marks
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    frame = ax.get_window_extent()
    assert all(
        frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1
        for b in boxes
    )
