"""The drawings: found by name, shown as SVG, and readable by whoever cannot see them."""

import xml.etree.ElementTree as ElementTree

import pytest

from gptcourse import drawings
from gptcourse.drawings import drawing
from gptcourse.errors import CourseError
from gptcourse.paths import ASSETS

NAMES = sorted(path.stem for path in ASSETS.glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


def test_there_is_a_map_for_every_notebook_of_the_first_part():
    assert {f"map-{number:02d}" for number in range(1, 10)} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_drawing_shows_itself_and_tells_what_it_shows(name):
    shown = drawing(name)
    assert shown._repr_svg_() == (ASSETS / f"{name}.svg").read_text(encoding="utf-8")
    assert repr(shown) == shown.description
    assert len(shown.description.split()) >= 10 and "\n" not in shown.description


@pytest.mark.parametrize("name", NAMES)
def test_a_drawing_is_readable_and_stands_alone(name):
    text = (ASSETS / f"{name}.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert [child.tag for child in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    assert width == 720
    for element in root.iter(f"{SVG}text"):
        assert float(element.attrib["font-size"]) > 11, element.text
        if not element.attrib.get("transform"):
            assert 0 <= float(element.attrib["x"]) <= width
            assert 0 <= float(element.attrib["y"]) <= height
    assert "<image" not in text and "<script" not in text
    assert text.count("http") == text.count("http://www.w3.org/")  # nothing is fetched


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(CourseError, match=r"no drawing 'map-99'.*map-01"):
        drawing("map-99")


def test_the_text_alternative_is_one_line_and_one_without_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(drawings, "ASSETS", tmp_path)

    def draw(described):
        svg = f'<svg xmlns="http://www.w3.org/2000/svg"><title>t</title>{described}</svg>'
        (tmp_path / "bare.svg").write_text(svg)
        return drawing("bare")

    assert repr(draw("<desc>one\n  two</desc>")) == "one two"
    for described in ("", "<desc></desc>", "<desc> </desc>"):
        with pytest.raises(CourseError, match=r"bare\.svg has no <desc>"):
            draw(described)
