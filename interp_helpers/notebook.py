"""What the chapters need as pages: numbers for the prose, questions to check yourself, stored runs."""

import base64
import datetime
import io
import json
import os
from functools import partialmethod
from html import escape
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from tqdm.auto import tqdm

from interp_helpers.models.checkpoints import versions
from interp_helpers.plots import quantize_palette, use_book_style

PACKAGE = Path(__file__).parent


def start_page():
    """Set the look of the figures; keep TensorFlow's advice to programmers, and on a page progress bars, away."""
    use_book_style()
    if os.environ.get("INTERP_STATIC"):  # tqdm has a variable for this, too, but its widgets do not read it
        tqdm.__init__ = partialmethod(tqdm.__init__, disable=True)
    tf.get_logger().setLevel("ERROR")
    tf.config.list_logical_devices()  # what TensorFlow has to say of missing graphics cards, it says here


def glue(**values):
    """Hand values to the prose of the page, where the role *glue:text* shows them, and print them: name=value.

    In the built book the prose shows the value, as Python prints it; in Colab or Jupyter, where the prose shows the
    name, the printed list says what it stands for.
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
    """Show the questions of a lesson (``"01_mnist_cnn"``), with feedback on every answer.

    They work offline, and can be read without scripts.
    """
    questions = _read_json("quizzes", name, "no questions")
    from IPython.display import HTML, display
    from jupyterquiz import display_quiz

    display(HTML(_questions_to_read(questions)))
    display_quiz(questions, shuffle_answers=False, max_width=720, colors=_QUIZ_COLOURS)


def load_stored_run(name):
    """Load the results of a run that is too long for a page, and print where they come from.

    Returns a dict, what the script of that name in ``book/results/`` stored: its path (`script`), `date`, `versions`
    and results.
    """
    run = _read_json("results", name, "no stored run")
    made_with = ", ".join(f"{library} {version}" for library, version in run["versions"].items())
    print(f"Stored run of {run['script']}, {run['date']} ({made_with}); make results makes it again.")
    return run


def picture_slider(draw, title, states, alt, name, start=0):
    """Draw a figure for every state, and let the reader slide through them; works without a kernel.

    A slider with two buttons beside it, for mouse, touch and the arrow keys. Without scripts, and in print, the figure
    of the first state stands there. Returns an IPython.display.HTML.

    Parameters
    ----------
    draw : callable; ``draw(state)`` returns a Matplotlib figure; all of one size, at most some twenty
    title : str; what the slider moves, for example ``"components"``
    states : sequence; each is written beside the slider
    alt : str; alternative text of each picture, with ``{0}`` for the state
    name : str; identifies the slider on its page
    start : int; which state is shown first
    """
    from IPython.display import HTML

    states = list(states)
    if len(states) < 2 or not 0 <= start < len(states):
        raise ValueError(f"states, start: got {len(states)} and {start}; give two states or more, and one of them")
    pictures = "".join(
        f'<img alt="{escape(alt.format(state))}" src="data:image/png;base64,{_png(draw(state))}"'
        f"{'' if i == start else ' hidden'}>"
        for i, state in enumerate(states)
    )
    said = escape(json.dumps([str(state) for state in states]))
    move = "const b=this.closest('.picture-slider'),r=b.querySelector('input')"
    show = (
        f"{move},n=+r.value,t=JSON.parse(b.dataset.states)[n];b.querySelector('output').textContent=t;"
        "r.setAttribute('aria-valuetext',t);b.querySelectorAll('img').forEach((p,i)=>p.hidden=i!==n)"
    )
    step = f"{move};r.value=+r.value+({{}});r.oninput()"
    button = '<button type="button" aria-label="{}" onclick="{}">{}</button>'
    controls = (
        f'<label for="{name}">{escape(title)}</label> {button.format("back", step.format(-1), "&#9664;")} '
        f'<input type="range" id="{name}" min="0" max="{len(states) - 1}" step="1" value="{start}" '
        f'aria-valuetext="{escape(str(states[start]))}" oninput="{show}"> '
        f"{button.format('forward', step.format(1), '&#9654;')} <output>{escape(str(states[start]))}</output>"
    )
    return HTML(
        f'<div class="picture-slider" data-states="{said}"><style>{_SLIDER_STYLE}</style>'
        f'<div class="controls">{controls}</div>{pictures}</div>'
    )


def vector(figure):
    """Show a Matplotlib figure as vectors, sharp at any size, and close it; returns an IPython.display.SVG."""
    from IPython.display import SVG

    drawn = io.BytesIO()
    # no date and no random names, so that a drawing is the same file in each build
    with mpl.rc_context({"svg.hashsalt": "book"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    plt.close(figure)
    return SVG(drawn.getvalue())


def store_run(script, **results):
    """Store the results of a run that is too long for a page, ready for JSON, and return where they are.

    They go beside the script, whose ``__file__`` is given, with its date and versions; `load_stored_run` gives them.
    """
    path = Path(script).with_suffix(".json")
    origin = {"script": f"book/results/{Path(script).name}", "date": datetime.date.today().isoformat()}
    path.write_text(json.dumps({**origin, "versions": versions(), **results}) + "\n")
    return path


def _png(figure):
    """Return a figure as a small PNG, in base64, and close it."""
    figure.set_dpi(80)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # drawn once, and all of one size, which savefig would not do
    plt.close(figure)
    small = io.BytesIO()
    quantize_palette(Image.fromarray(np.asarray(canvas.buffer_rgba()))).save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def _questions_to_read(questions):
    """Return what a browser without scripts shows: each question, and its answers folded below it."""
    page = []
    for question in questions:
        answers = [
            f"<li><b>{escape(answer['answer'])}</b> ({'right' if answer['correct'] else 'wrong'}): "
            f"{escape(answer['feedback'])}</li>"
            for answer in question["answers"]
        ]
        folded = f"<details><summary>Answers</summary><ul>{''.join(answers)}</ul></details>"
        page.append(f"<li>{escape(question['question'])}{folded}</li>")
    return f"<noscript><ol>{''.join(page)}</ol></noscript>"


_SLIDER_STYLE = (
    ".picture-slider .controls{display:flex;flex-wrap:wrap;align-items:center;gap:.5em;margin:0 0 .4em;font-size:17px} "
    ".picture-slider label{font-weight:bold} .picture-slider input{flex:1 1 8em;max-width:24em} "
    ".picture-slider button{font-size:1em;min-width:2.2em;min-height:2.2em} .picture-slider output{min-width:4em} "
    ".picture-slider img{max-width:100%;background:white} .picture-slider img[hidden]{display:none} "
    "@media print{.picture-slider .controls{display:none}}"
)
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
