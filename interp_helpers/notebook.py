"""What the chapters need as pages: numbers for the prose, questions to check yourself, stored runs."""

import base64
import datetime
import io
import json
import os
from functools import partialmethod
from html import escape
from importlib.util import find_spec
from pathlib import Path

import numpy as np

PACKAGE = Path(__file__).parent


def start_page():
    """Set the look of the figures; keep TensorFlow's advice to programmers, and on a page progress bars, away."""
    import tensorflow as tf
    from tqdm.auto import tqdm

    from interp_helpers.plots import use_book_style

    use_book_style()
    if os.environ.get("INTERP_STATIC"):  # tqdm has a variable for this, too, but its widgets do not read it
        tqdm.__init__ = partialmethod(tqdm.__init__, disable=True)
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
    questions = _read_json("quizzes", name, "no questions")
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
    run = _read_json("results", name, "no stored run")
    versions = ", ".join(f"{library} {version}" for library, version in run["versions"].items())
    print(f"Stored run of {run['script']}, {run['date']} ({versions}); make results makes it again.")
    return run


def picture_tabs(draw, first, second, alt, name):
    """Draw a figure for every pair of two choices, and show the one that the reader picks; works without a kernel.

    All figures are in the page, which shows one of them by CSS alone: in the built book, in slides, in Colab and in
    Jupyter alike.

    Parameters
    ----------
    draw : callable
        ``draw(a, b)`` returns a Matplotlib figure.
    first, second : (str, sequence)
        What the choice is called, and its values.
    alt : str
        Alternative text of each picture, with ``{0}`` and ``{1}`` for the two choices.
    name : str
        Identifies the choices on their page.

    Returns
    -------
    IPython.display.HTML

    Raises
    ------
    ValueError
        If a choice has no values.
    """
    from IPython.display import HTML

    if not len(first[1]) or not len(second[1]):
        raise ValueError("first, second: give at least one value for each choice")
    menus, rules, pictures = [], [], []
    for which, (title, values) in enumerate((first, second)):
        buttons = [
            f'<label><input type="radio" name="{name}-{which}" id="{name}-{which}-{i}"{" checked" if i == 0 else ""}> '
            f"{escape(str(value))}</label>"
            for i, value in enumerate(values)
        ]
        menus.append(f"<fieldset><legend>{escape(title)}</legend>{' '.join(buttons)}</fieldset>")
    for i, a in enumerate(first[1]):
        for j, b in enumerate(second[1]):
            rules.append(f"#{name}:has(#{name}-0-{i}:checked):has(#{name}-1-{j}:checked) .p{i}-{j}{{display:block}}")
            source, text = _png(draw(a, b)), escape(alt.format(a, b))
            pictures.append(f'<img class="p{i}-{j}" alt="{text}" src="data:image/png;base64,{source}">')
    style = (
        f"#{name} fieldset{{border:0;padding:0;margin:0 0 .3em;text-align:left;font-size:17px}} "
        f"#{name} legend{{float:left;font-size:1em;font-weight:bold;margin:0 .8em 0 0;padding:0;width:auto}} "
        f"#{name} label{{display:inline-block;margin:0 .7em 0 0}} #{name} img{{max-width:100%;background:white}} "
        f"@supports selector(:has(*)){{#{name} img{{display:none}} {' '.join(rules)}}}"
    )
    return HTML(f'<div id="{name}"><style>{style}</style>{"".join(menus)}{"".join(pictures)}</div>')


def explorer(draw, start, **choices):
    """Let the reader choose what is drawn: menus and sliders where somebody is there, one figure on a page.

    Parameters
    ----------
    draw : callable
        Takes one value of each choice, by name, and draws a Matplotlib figure.
    start : dict
        What is shown first, and on a page.
    **choices
        name=sequence of values; whole numbers get a slider, others a menu.

    Raises
    ------
    ValueError
        If `start` does not have one value of each choice.

    Notes
    -----
    Needs ipywidgets, which Colab has; without it, or while the book is built (``INTERP_STATIC`` is set), there are no
    menus.
    """
    if set(start) != set(choices) or any(start[name] not in list(values) for name, values in choices.items()):
        raise ValueError(f"start: got {start}; give one value of each of {', '.join(choices)}")
    if os.environ.get("INTERP_STATIC") or find_spec("ipywidgets") is None:
        draw(**start)
        return
    import ipywidgets

    def show(**chosen):
        draw(**chosen)  # and return nothing: a returned figure would be shown a second time

    controls = {
        name: (ipywidgets.SelectionSlider if isinstance(start[name], int) else ipywidgets.Dropdown)(
            options=list(values), value=start[name], description=name
        )
        for name, values in choices.items()
    }
    ipywidgets.interact(show, **controls)


def _png(figure):
    """Return a figure as a small PNG, in base64, and close it."""
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    from interp_helpers.plots import quantize_palette

    figure.set_dpi(80)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # drawn once, and all of one size, which savefig would not do
    plt.close(figure)
    small = io.BytesIO()
    quantize_palette(Image.fromarray(np.asarray(canvas.buffer_rgba()))).save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def store_run(script, **results):
    """Store the results of a run that is too long for a page beside its script, with where they come from.

    Parameters
    ----------
    script : str
        Path of the script, its ``__file__``; the results go to the file of the same name that ends in ``.json``.
    **results
        What `load_stored_run` shall give, ready for JSON.

    Returns
    -------
    pathlib.Path
        Where the results are.
    """
    from interp_helpers.train import versions

    path = Path(script).with_suffix(".json")
    origin = {"script": f"book/results/{Path(script).name}", "date": datetime.date.today().isoformat()}
    path.write_text(json.dumps({**origin, "versions": versions(), **results}) + "\n")
    return path


_QUIZ_COLOURS = {
    "--jq-multiple-choice-bg": "#31688e",
    "--jq-mc-button-bg": "#ffffff",
    "--jq-mc-button-border": "#cccccc",
    "--jq-mc-button-inset-shadow": "#777777",
    "--jq-text-color": "#ffffff",
}


def _read_json(folder, name, missing):
    # in an installed package the folder is inside it, in a checkout it is in book/
    folders = [PACKAGE / folder, PACKAGE.parent / "book" / folder]
    for folder in folders:
        if (folder / f"{name}.json").exists():
            return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    known = sorted(file.stem for folder in folders for file in folder.glob("*.json"))
    raise ValueError(f"name: {missing} called {name!r}; there is {', '.join(known) or 'none'}")
