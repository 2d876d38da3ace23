from __future__ import annotations

from math import hypot

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.pages import charts
from evaluations.pages.charts import MAP_WIDTH, Radar, block, line, mind_map, radar

Point = tuple[float, float]


def points(text: str) -> list[Point]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def drawn(*scores: float) -> Radar:
    found = radar([(f"Criterion {number}", score) for number, score in enumerate(scores)])
    assert found
    return found


def reach(point: Point, chart: Radar) -> float:
    """How far from the centre, of the way to the outermost ring."""
    outermost = points(chart.rings[-1])[0]
    return hypot(point[0] - chart.centre_x, point[1] - chart.centre_y) / (chart.centre_y - outermost[1])


@given(st.lists(st.floats(1, 10), min_size=3, max_size=8))
def test_the_area_reaches_as_far_as_the_scores(scores: list[float]) -> None:
    chart = drawn(*scores)
    for score, point, axis in zip(scores, points(chart.area), chart.axes, strict=True):
        assert reach(point, chart) == pytest.approx(score / 10, abs=0.01)
        assert (float(axis.score_x), float(axis.score_y)) == point
        assert axis.label[-1].text == f"{score:.1f}"


def test_the_first_criterion_is_at_the_top_and_the_others_follow_clockwise() -> None:
    top, right, bottom, left = points(drawn(10, 10, 10, 10).area)
    assert top == (215, 70)
    assert right == (310, 165)
    assert bottom == (215, 260)
    assert left == (120, 165)
    assert [axis.anchor for axis in drawn(1, 1, 1, 1).axes] == ["middle", "start", "middle", "end"]


def test_the_rings_are_quarters_of_the_scale() -> None:
    chart = drawn(5, 5, 5)
    assert [round(reach(points(ring)[1], chart), 2) for ring in chart.rings] == [0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_too_few_or_too_many_criteria_make_no_radar_chart(count: int) -> None:
    assert radar([("x", 5.0)] * count) is None


@given(st.lists(st.text("abc ", min_size=1, max_size=100), min_size=3, max_size=8))
def test_labels_of_any_length_stay_inside_the_chart_and_off_the_rings(titles: list[str]) -> None:
    chart = radar([(title, 5.0) for title in titles])
    assert chart
    for axis in chart.axes:
        assert len(axis.label) <= 3
        for text in axis.label:
            assert len(text.text) <= 13
            assert 12 <= float(text.y) <= chart.height
            width = 8 * len(text.text)  # of a letter of 15 units
            left = float(text.x) - {"start": 0, "middle": width / 2, "end": width}[axis.anchor]
            assert left >= 0
            assert left + width <= chart.width
            assert hypot(float(text.x) - chart.centre_x, float(text.y) - chart.centre_y) > 95 * 0.9


def test_a_title_that_is_cut_says_so() -> None:
    chart = radar([("Eye contact with the camera", 5.0), ("b", 5.0), ("c", 5.0)])
    assert chart
    assert [text.text for text in chart.axes[0].label] == ["Eye contact", "with the…", "5.0"]


@given(whole=st.floats(1, 7200), start=st.floats(0, 1), length=st.floats(0, 1))
def test_a_block_is_where_its_time_is_and_never_outside_the_strip(whole: float, start: float, length: float) -> None:
    begin, end = start * whole, min(start + length, 1) * whole
    found = block(begin, end, whole)
    x, width = float(found.x), float(found.width)
    assert x >= 0
    assert width >= 5
    assert x + width <= charts.STRIP_WIDTH + 0.11
    assert width == pytest.approx(max(1000 * (end - begin) / whole, 5), abs=0.1)
    if 1000 * begin / whole <= 995:
        assert x == pytest.approx(1000 * begin / whole, abs=0.1)


def test_a_line_rises_with_the_scores_and_breaks_where_one_is_missing() -> None:
    found = line([2.0, 4.0, None, 10.0])
    assert len(found.pieces) == 1
    assert [dot is None for dot in found.dots] == [False, False, True, False]
    first, second = points(found.pieces[0])
    assert first[0] < second[0]
    assert first[1] > second[1]
    assert found.dots[3]
    assert (found.dots[3].x, found.dots[3].y) == ("214.0", "6.0")


def test_one_value_is_a_dot_and_no_line() -> None:
    found = line([5.0])
    assert found.pieces == ()
    assert len(found.dots) == 1


def test_coordinates_have_no_comma_in_any_language() -> None:
    assert all(text.replace(".", "").isdigit() for text in (block(1, 2, 3).x, drawn(1, 2, 3).axes[1].x))


LEAVES = st.lists(st.tuples(st.text("abc WM", min_size=1, max_size=60), st.floats(0, 3600)), min_size=1, max_size=5)


@given(st.text("abc ", max_size=60), st.lists(st.tuples(st.just("Free time"), LEAVES), min_size=1, max_size=4))
def test_the_leaves_of_a_mind_map_lie_in_it_and_none_on_another_or_on_the_centre(
    centre: str, branches: list[tuple[str, list[tuple[str, float]]]]
) -> None:
    drawn = mind_map(centre, branches)
    assert [leaf.start for branch in drawn.branches for leaf in branch.leaves] == [
        start for _, leaves in branches for _, start in leaves
    ]
    middle = (90.0, float(drawn.centre_y), 160.0, float(drawn.centre_height))
    boxes = [
        tuple(map(float, (leaf.box_x, leaf.box_y, leaf.box_width, leaf.box_height)))
        for branch in drawn.branches
        for leaf in branch.leaves
    ]
    for x, y, width, height in boxes:
        assert 0 <= x <= x + width <= MAP_WIDTH
        assert 0 <= y <= y + height <= float(drawn.height)
    placed = [middle, *boxes]
    for at, (x, y, width, height) in enumerate(placed):
        for left, top, wide, high in placed[at + 1 :]:
            assert x + width <= left or left + wide <= x or y + height <= top + 0.1 or top + high <= y + 0.1
