import base64
import io
import json
import re
import sys
from html import escape, unescape
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest

from interp_helpers.notebook import (
    PACKAGE,
    explorer,
    glue,
    load_stored_run,
    picture_slider,
    picture_tabs,
    quiz,
    start_page,
    store_run,
    vector,
)


def test_glue_prints_what_the_prose_names(capsys):
    glue(test_accuracy="0.984", n=3)
    assert capsys.readouterr().out.startswith("test_accuracy = 0.984\nn = 3\n")


def test_glue_works_without_the_book(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "myst_nb", None)
    glue(test_accuracy="0.984")
    assert capsys.readouterr().out == "test_accuracy = 0.984\n"


def test_unknown_questions():
    with pytest.raises(ValueError, match="no questions called 'nonesuch'; there is 01_mnist_cnn"):
        quiz("nonesuch")


def test_questions_can_be_read_without_scripts(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda output: shown.append(output.data))
    monkeypatch.setattr("jupyterquiz.display_quiz", lambda *questions, **options: None)
    quiz("01_mnist_cnn")
    (page,) = shown
    questions = json.loads((PACKAGE.parent / "book" / "quizzes" / "01_mnist_cnn.json").read_text(encoding="utf-8"))
    assert page.startswith("<noscript>")
    assert page.endswith("</noscript>")
    for question in questions:
        texts = [answer[part] for answer in question["answers"] for part in ("answer", "feedback")]
        assert all(escape(text) in page for text in [question["question"], *texts])
    assert page.count(" (right): ") == page.count("<details>") == len(questions)
    assert "<script" not in page


def test_stored_run_says_what_it_is(capsys):
    run = load_stored_run("mnist_seeds")
    said = capsys.readouterr().out
    assert said.startswith("Stored run of book/results/mnist_seeds.py, 20")
    assert "tensorflow" in said
    assert run["training_images"] == 55_000


def test_unknown_stored_run():
    with pytest.raises(ValueError, match=r"no stored run called 'nonesuch'; there is .*mnist_seeds"):
        load_stored_run("nonesuch")


def test_stored_seeds_hang_together(capsys):
    """Counts, accuracies and confusion matrices of the stored seeds say the same."""
    stored = load_stored_run("mnist_seeds")
    assert [run["seed"] for run in stored["runs"]] == [0, 1, 2]
    for run in stored["runs"]:
        matrix = run["confusion"]
        right = sum(matrix[k][k] for k in range(10))
        assert sum(map(sum, matrix)) == stored["test_images"] == 10_000
        assert 10_000 - right == len(run["wrong"]) == len(run["wrong_predicted"]) == len(set(run["wrong"]))
        assert run["accuracy"] == pytest.approx(right / 10_000)
        assert run["accuracy"] >= 0.98


def test_shipped_network_is_the_first_stored_seed():
    """One number, one computation: the card and the stored run of seed 0 were made apart and agree."""
    from interp_helpers.models import checkpoint_card

    stored = json.loads((PACKAGE.parent / "book" / "results" / "mnist_seeds.json").read_text())
    assert checkpoint_card("mnist_cnn")["accuracy"]["test_before_rounding_to_half_precision"] == pytest.approx(
        stored["runs"][0]["accuracy"]
    )


# --- figures to choose from ------------------------------------------------------------------------------------------


def coloured(a, b):
    """A figure of one colour, which depends on both choices."""
    figure = plt.figure(figsize=(1, 0.5))
    colour = {(0, "x"): "white", (0, "y"): "black"}.get((a, b), "#440154")
    figure.add_artist(plt.Rectangle((0, 0), 1, 1, color=colour))
    return figure


def test_picture_tabs_hold_every_pair_with_alternative_text():
    from PIL import Image

    opened = plt.get_fignums()
    page = picture_tabs(coloured, ("digit", range(3)), ("kind", ["x", "y"]), "Digit {0}, <{1}>.", "tabs").data
    pictures = re.findall(r'<img class="p(\d)-(\d)" alt="([^"]*)" src="data:image/png;base64,([^"]+)">', page)
    assert [(int(a), int(b)) for a, b, _, _ in pictures] == [(a, b) for a in range(3) for b in range(2)]
    assert pictures[3][2] == "Digit 1, &lt;y&gt;."
    drawn = [Image.open(io.BytesIO(base64.b64decode(source))).convert("RGB") for *_, source in pictures]
    assert {picture.size for picture in drawn} == {(80, 40)}
    assert [picture.getpixel((5, 5)) for picture in drawn[:3]] == [(255, 255, 255), (0, 0, 0), (68, 1, 84)]
    assert plt.get_fignums() == opened


def test_picture_tabs_choose_by_labelled_buttons_without_a_script():
    page = picture_tabs(coloured, ("digit", range(3)), ("kind", ["x", "y"]), "Digit {0}, {1}.", "tabs").data
    assert page.count('<label><input type="radio"') == 5
    assert page.count(" checked>") == 2  # one of each choice
    assert "<legend>digit</legend>" in page
    for a in range(3):
        for b in range(2):
            assert f"#tabs:has(#tabs-0-{a}:checked):has(#tabs-1-{b}:checked) .p{a}-{b}{{display:block}}" in page
    assert "<script" not in page
    assert "http" not in page


def test_picture_tabs_need_something_to_choose():
    with pytest.raises(ValueError, match="first, second: give at least one value"):
        picture_tabs(coloured, ("digit", []), ("kind", ["x"]), "{0}{1}", "tabs")


def test_explorer_draws_its_start_once_where_nobody_can_choose(monkeypatch):
    monkeypatch.setenv("INTERP_STATIC", "1")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # importing it would fail
    drawn = []
    explorer(lambda **chosen: drawn.append(chosen), {"digit": 3, "kind": "b"}, digit=range(10), kind=["a", "b"])
    assert drawn == [{"digit": 3, "kind": "b"}]


def test_explorer_makes_a_slider_for_numbers_and_a_menu_for_words(monkeypatch):
    made, drawn = {}, []
    widgets = SimpleNamespace(
        SelectionSlider=lambda **options: ("slider", options),
        Dropdown=lambda **options: ("menu", options),
        interact=lambda show, **controls: made.update(show=show, **controls),
    )
    monkeypatch.delenv("INTERP_STATIC", raising=False)
    monkeypatch.setattr("interp_helpers.notebook.find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "ipywidgets", widgets)

    def draw(**chosen):
        drawn.append(chosen)
        return "a figure"

    explorer(draw, {"digit": 3, "kind": "b"}, digit=range(10), kind=["a", "b"])
    assert made["digit"] == ("slider", {"options": list(range(10)), "value": 3, "description": "digit"})
    assert made["kind"] == ("menu", {"options": ["a", "b"], "value": "b", "description": "kind"})
    assert made["show"](digit=1, kind="a") is None
    assert drawn == [{"digit": 1, "kind": "a"}]


@pytest.mark.parametrize("start", [{}, {"digit": 12}, {"digit": 1, "kind": "a"}])
def test_explorer_refuses_a_start_that_is_no_choice(start):
    with pytest.raises(ValueError, match=r"start: got .* give one value of each of digit"):
        explorer(print, start, digit=range(10))


def test_no_progress_bars_on_a_page(monkeypatch):
    from tqdm.auto import tqdm

    monkeypatch.setattr(tqdm, "__init__", tqdm.__init__)  # is put back afterwards
    monkeypatch.setenv("INTERP_STATIC", "1")
    start_page()
    assert tqdm(total=2).disable


def test_a_run_is_stored_beside_its_script(tmp_path):
    path = store_run(str(tmp_path / "some_run.py"), answer=[42])
    stored = json.loads(path.read_text())
    assert path == tmp_path / "some_run.json"
    assert stored["script"] == "book/results/some_run.py"
    assert stored["answer"] == [42]
    assert set(stored) == {"script", "date", "versions", "answer"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", stored["date"])


def test_a_slider_shows_one_state_and_names_all():
    states = ["none", "<5>", 10]
    page = picture_slider(lambda state: coloured(0, state), "components", states, "With {0}.", "slider", 1).data
    pictures = re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,[^"]+"( hidden)?>', page)
    assert pictures == [
        ("With none.", " hidden"),
        ("With &lt;5&gt;.", ""),
        ("With 10.", " hidden"),
    ]
    assert json.loads(unescape(re.search(r'data-states="([^"]*)"', page).group(1))) == ["none", "<5>", "10"]
    assert 'value="1"' in page
    assert '<label for="slider">components</label>' in page
    assert 'src="http' not in page


@pytest.mark.parametrize(("states", "start"), [([1], 0), ([1, 2], 2), ([1, 2], -1), ([], 0)])
def test_a_slider_needs_states_and_a_start(states, start):
    with pytest.raises(ValueError, match="states, start: got"):
        picture_slider(lambda state: coloured(0, state), "n", states, "{0}", "slider", start)


def test_a_drawing_as_vectors_is_the_same_each_time():
    opened = plt.get_fignums()
    drawn = [vector(coloured(0, "x")).data for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert "<svg" in drawn[0]
    assert plt.get_fignums() == opened
