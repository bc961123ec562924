"""The strings are what Vega writes, shortened."""

from rlhf.compare.figures.drawn.svg import compact, lighter

LINE = (
    '<g transform="translate(0,0)"><path class="background" aria-hidden="true" d="M0,0h480v300Z"/>'
    '<g><g class="mark-line role-mark" clip-path="url(#clip{i})" role="graphics-object">'
    '<path aria-label="run {i}" role="graphics-symbol" d="M0,1.23456L390.375,2" stroke="red"'
    ' opacity="0.1"/></g></g><path class="foreground" aria-hidden="true" d="" display="none"/></g>'
)
CLIP = '<clipPath id="clip{i}"><rect x="0" y="0" width="480" height="{high}"/></clipPath>'


def drawing(*heights):
    lines = "".join(LINE.format(i=i) for i in range(len(heights)))
    clips = "".join(CLIP.format(i=i, high=high) for i, high in enumerate(heights))
    dot = '<path d="M1,2Z" fill="red" stroke="white" opacity="0.75"/>'
    unseen = '<line x2="1.25" stroke="black" stroke-opacity="0" stroke-width="9"/>'
    inner = f"{lines}{unseen}{dot}<text>1.2345</text><defs>{clips}</defs>"
    return f'<svg class="marks" width="5">{inner}</svg>'


def test_lines_with_one_clip_are_one_group_faded_by_their_strokes():
    line = '<path d="M0,1.23456L390.375,2" stroke="red" stroke-opacity="0.1"/>'
    assert lighter(drawing(300, 300)) == (
        f'<svg class="marks" width="5"><g clip-path="url(#clip0)">{line}{line}</g>'
        '<path d="M1,2Z" fill="red" stroke="white" opacity="0.75"/><text>1.2345</text><defs>'
        '<clipPath id="clip0"><rect x="0" y="0" width="480" height="300"/></clipPath></defs></svg>'
    )


def test_other_clips_stay_apart():
    assert lighter(drawing(300, 150, 150)).count("<g clip-path=") == 2


def test_places_lose_their_last_digits_and_words_do_not():
    text = compact(drawing(300))
    assert 'd="M0,1.2L390.4,2"' in text and "<text>1.2345</text>" in text
    assert 'stroke-opacity="0.1"' in text and 'opacity="0.75"' in text


def test_what_neighbouring_lines_have_in_common_stands_once():
    one, two = (f' stroke="{color}" stroke-opacity="0.5"' for color in ("red", "blue"))
    lines = [f'<path d="M{i},0L1,1"{look}/>' for i, look in enumerate((one, one, two))]
    assert compact(f"<svg>{''.join(lines)}</svg>") == (
        f'<svg><g{one}><path d="M0,0L1,1"/><path d="M1,0L1,1"/></g><path d="M2,0L1,1"{two}/></svg>'
    )


def test_a_shape_of_several_marks_stands_once():
    """Opacity is no property that a group could have for them: each mark keeps its own."""
    marks = [
        f'<path transform="translate({i},0)" d="{shape}" fill="red" opacity="0.5"/>'
        for i, shape in ((1, "M0,0Z"), (2, "M0,0Z"), (3, "M1,1Z"))
    ]
    assert compact(f"<svg>{''.join(marks)}</svg>") == (
        '<svg><defs><path id="mark0" d="M0,0Z"/></defs>'
        '<use href="#mark0" transform="translate(1,0)" fill="red" opacity="0.5"/>'
        f'<use href="#mark0" transform="translate(2,0)" fill="red" opacity="0.5"/>{marks[2]}</svg>'
    )
