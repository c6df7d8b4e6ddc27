"""What the chapters need as pages: numbers for the prose, questions to check yourself, stored runs."""

import json
from pathlib import Path

PACKAGE = Path(__file__).parent


def start_page():
    """Set the look of the figures, and keep TensorFlow's advice to programmers out of the page."""
    import tensorflow as tf

    from interp_helpers.plots import use_book_style

    use_book_style()
    tf.get_logger().setLevel("ERROR")
    tf.config.list_logical_devices()  # what TensorFlow has to say of missing graphics cards, it says here


def glue(**values):
    """Hand values to the prose of the page, where the role *glue:text* shows them, and print them.

    In the built book the prose shows the value; in Colab or Jupyter, where the prose shows the name, the printed
    list says what it stands for.

    Parameters
    ----------
    **values
        name=value; numbers are shown as Python prints them, so format them first.
    """
    for name, value in values.items():
        print(f"{name} = {value}")
    try:
        from myst_nb import glue as hand_over
    except ImportError:  # Colab does not have it
        return
    for name, value in values.items():
        hand_over(name, value, display=False)


def quiz(name):
    """Show the questions of a chapter, with feedback on every answer; they work offline.

    Parameters
    ----------
    name : str
        The chapter, for example ``"01_mnist_cnn"``.

    Raises
    ------
    ValueError
        If there are no questions of that name.
    """
    questions = _read_json([PACKAGE / "quizzes"], name, "no questions")
    from jupyterquiz import display_quiz

    display_quiz(questions, shuffle_answers=False, max_width=720, colors=_QUIZ_COLOURS)


def load_stored_run(name):
    """Load the results of a run that is too long for a page, and print where they come from.

    Parameters
    ----------
    name : str
        A file in ``book/results/`` without its ending, for example ``"mnist_seeds"``.

    Returns
    -------
    dict
        What the script of that name stored: its path (`script`), `date`, `versions` and results.

    Raises
    ------
    ValueError
        If there is no such run.
    """
    # in an installed package the stored runs are inside it, in a checkout they are in book/
    run = _read_json([PACKAGE / "results", PACKAGE.parent / "book" / "results"], name, "no stored run")
    versions = ", ".join(f"{library} {version}" for library, version in run["versions"].items())
    print(f"Stored run of {run['script']}, {run['date']} ({versions}); make results makes it again.")
    return run


_QUIZ_COLOURS = {
    "--jq-multiple-choice-bg": "#31688e",
    "--jq-mc-button-bg": "#ffffff",
    "--jq-mc-button-border": "#cccccc",
    "--jq-mc-button-inset-shadow": "#777777",
    "--jq-text-color": "#ffffff",
}


def _read_json(folders, name, missing):
    for folder in folders:
        if (folder / f"{name}.json").exists():
            return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    known = sorted(file.stem for folder in folders for file in folder.glob("*.json"))
    raise ValueError(f"name: {missing} called {name!r}; there is {', '.join(known) or 'none'}")
