import json

import pytest

from interp_helpers.notebook import glue, load_stored_run, quiz


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


def test_stored_run_says_what_it_is(capsys):
    run = load_stored_run("mnist_seeds")
    said = capsys.readouterr().out
    assert said.startswith("Stored run of book/results/mnist_seeds.py, 20")
    assert "tensorflow" in said
    assert run["training_images"] == 55_000


def test_unknown_stored_run():
    with pytest.raises(ValueError, match="no stored run called 'nonesuch'; there is mnist_seeds"):
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
    from interp_helpers.notebook import PACKAGE

    stored = json.loads((PACKAGE.parent / "book" / "results" / "mnist_seeds.json").read_text())
    assert checkpoint_card("mnist_cnn")["accuracy"]["test_before_rounding_to_half_precision"] == pytest.approx(
        stored["runs"][0]["accuracy"]
    )
