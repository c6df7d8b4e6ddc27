import json
import re
from html import escape, unescape

import matplotlib.pyplot as plt
import pytest

from interp_helpers.notebook import (
    PACKAGE,
    glue,
    load_stored_run,
    picture_slider,
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
