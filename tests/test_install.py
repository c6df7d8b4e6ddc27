"""The package as Colab gets it: installed from its sources, used from another folder."""

import shutil
import subprocess
import sys
import zipfile

from conftest import ROOT

USE_IT = """
from interp_helpers import notebook
from interp_helpers.models import load_checkpoint
assert "{site}" in notebook.__file__, notebook.__file__
assert load_checkpoint("mnist_cnn").count_params() == 600810
assert notebook.load_stored_run("mnist_seeds")["runs"]
assert notebook._read_json("quizzes", "01_mnist_cnn", "no questions")
"""


def test_installed_package_brings_all_that_a_chapter_needs(tmp_path):
    # from a copy: setuptools would take what an earlier build left in the checkout
    sources = tmp_path / "sources"
    for name in ("interp_helpers", "book/results", "book/quizzes"):
        shutil.copytree(ROOT / name, sources / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    pip = [sys.executable, *"-m pip wheel --quiet --no-deps --no-build-isolation --disable-pip-version-check".split()]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path), str(sources)], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("interp_helpers-*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    use = f"import sys; sys.path.insert(0, {str(site)!r})\n" + USE_IT.format(site=site)
    subprocess.run([sys.executable, "-c", use], check=True, cwd=elsewhere)
