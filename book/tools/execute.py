"""Execute the chapters that have changed, several at a time, and keep them where the build, slides and tests look.

What has been executed lies in Jupyter's cache, ``_build/.jupyter_cache``, under the code of the notebook; what else the
results depend on is summed up in ``_build/made_from``.
"""

import atexit
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from importlib.metadata import distributions
from pathlib import Path

import joblib
import nbformat
import psutil
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.cache.db import NbCacheRecord
from myst_nb.core.read import is_myst_markdown_notebook, myst_nb_reader_plugin
from nbclient import NotebookClient

# One thread for each kernel, however many notebooks run at once: TensorFlow rounds otherwise with two threads than with
# one, and the numbers on a page should depend neither on INTERP_JOBS nor on the number of cores.
ONE_THREAD = dict.fromkeys(
    [
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    ],
    "1",
)
# The order of the first build, in which nothing has been measured: the chapters that take longest start first.
LONGEST = ["01_mnist_cnn", "audit/08_reverse_channels", "audit/09_variation_methods", "13_imagenet"]
NEEDED = 2 * 10**9  # bytes: what the kernel of a chapter takes at most
ANSI = re.compile(r"\x1b\[[\d;]*m")


def jobs():
    """Return how many notebooks to execute at once: INTERP_JOBS, else one for each core that has memory for it."""
    asked = os.environ.get("INTERP_JOBS") or str(max(1, min(cores(), psutil.virtual_memory().total // NEEDED)))
    if not asked.isdigit() or int(asked) < 1:
        raise ValueError(f"INTERP_JOBS: got {asked!r}; give a positive whole number")
    return int(asked)


def cores():
    return joblib.cpu_count()  # those that this process may use


def made_from(root):
    """Sum up all that results depend on but the code of the notebooks."""
    from interp_helpers.data import load_mnist

    parts = [sys.version, os.environ.get("INTERP_FAST", ""), load_mnist().source]
    parts += sorted({f"{package.name} {package.version}" for package in distributions()})
    return digest([root / "interp_helpers", root / "book" / "results"], root, parts)


def digest(places, root, parts=()):
    """Return one number for the contents of files and folders."""
    files = {file for place in places for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file()}
    named = [
        f"{file.relative_to(root)} {hashlib.sha256(file.read_bytes()).hexdigest()}"
        for file in sorted(files)
        if "__pycache__" not in file.parts and ".ipynb_checkpoints" not in file.parts
    ]
    return hashlib.sha256("\n".join([*parts, *named]).encode()).hexdigest()


def clear_if_stale(root):
    """Throw a build away if anything but the code of its notebooks has changed: the cache looks at that alone."""
    build, now = root / "_build", made_from(root)
    if not is_current(build, now):
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir(exist_ok=True)
        (build / "made_from").write_text(now)


def is_current(build, now):
    stamp = build / "made_from"
    return stamp.exists() and stamp.read_text() == now


def open_cache(folder):
    """Open the cache, without what is damaged in it; return it, and whether anything was."""
    cache = get_cache(folder)
    try:
        records = cache.list_cache_records()
        if not records and any(folder.glob("executed/*")):
            raise ValueError("the database lost its records")
    except Exception as error:  # of the database, of whose library we know nothing
        reason = str(error).splitlines()[0]
        print(f"The cache of executed notebooks is damaged ({reason}): all chapters are executed again.", flush=True)
        with suppress(Exception):
            cache.db.dispose()  # Windows removes no open file
        shutil.rmtree(folder)
        return get_cache(folder), True
    damaged = [record for record in records if not is_readable(cache, record)]
    for record in damaged:
        print(f"{name_of(Path(record.uri))} is damaged in the cache: it is executed again.", flush=True)
        NbCacheRecord.remove_record(record.pk, cache.db)
        shutil.rmtree(folder / "executed" / record.hashkey, ignore_errors=True)
    return cache, bool(damaged)


def is_readable(cache, record):
    try:
        return bool(cache.get_cache_bundle(record.pk).nb.cells)
    except Exception:  # no file, half a file, something else
        return False


def sources(root):
    """Return what has code to execute: the notebooks, and pages of MyST with cells."""
    pages = sorted((root / "book").glob("*.md"))
    return notebooks(root) + [page for page in pages if is_myst_markdown_notebook(page.read_text(encoding="utf-8"))]


def notebooks(root):
    """Return the lessons, and then their audits."""
    return [path for folder in ("notebooks", "notebooks/audit") for path in sorted((root / folder).glob("*.ipynb"))]


def name_of(path):
    """Return what messages call a notebook: ``10_ace``, and its audit ``audit/10_ace``."""
    return f"audit/{path.stem}" if path.parent.name == "audit" else path.stem


def read(path):
    return nbformat.read(path, as_version=4) if path.suffix == ".ipynb" else myst_nb_reader_plugin(str(path))


def stale(paths, cache):
    """Return the notebooks that the cache does not have as they are now."""
    return [path for path in paths if not is_cached(path, cache)]


def is_cached(path, cache):
    try:
        return bool(cache.match_cache_notebook(read(path)))
    except KeyError:
        return False


def store(cache, path, notebook, seconds):
    bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": seconds})
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def longest_first(paths):
    place = {name: i for i, name in enumerate(LONGEST)}
    return sorted(paths, key=lambda path: (place.get(name_of(path), len(place)), path))


def execute_all(paths, cache, at_once, timeout):
    """Execute notebooks, `at_once` at a time, into the cache; return what went wrong, by the name of the notebook.

    A notebook that fails does not stop the others. Ctrl-C stops the kernels; what is done stays in the cache.
    """
    progress, clients, errors = Progress(len(paths)), {}, {}

    def work(path):
        notebook = read(path)
        folder = {"metadata": {"path": str(path.parent)}}
        # times in the cells would make it another notebook, which the cache does not find
        clients[path] = NotebookClient(notebook, timeout=timeout, resources=folder, record_timing=False)
        with progress.of(name_of(path)) as began:
            try:
                clients[path].execute(env={**os.environ, **ONE_THREAD}, stderr=subprocess.DEVNULL)
            finally:
                atexit.unregister(clients[path]._cleanup_kernel)  # which fails at exit where the kernel died
            return notebook, time.monotonic() - began

    with ThreadPoolExecutor(at_once) as pool:
        tasks = {pool.submit(work, path): path for path in longest_first(paths)}
        try:
            waiting = set(tasks)
            while waiting:
                done, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
                for task in done:
                    try:
                        store(cache, tasks[task], *task.result())
                    except Exception as error:  # whatever stopped this chapter is its own affair
                        errors[name_of(tasks[task])] = ANSI.sub("", str(error)) or type(error).__name__
        except BaseException:
            for task in tasks:
                task.cancel()
            while not all(task.done() for task in tasks):  # a kernel may be starting right now
                for client in list(clients.values()):
                    kill(client)
                time.sleep(0.1)
            raise
    return errors


def kill(client):
    """End the kernel of a client at once; the client notices."""
    process = getattr(getattr(client.km, "provisioner", None), "process", None)
    if process is not None:
        process.kill()


class Progress:
    """Say a line whenever a notebook starts or ends."""

    def __init__(self, total):
        self.total, self.done, self.running = total, 0, []
        self.began, self.lock = time.monotonic(), threading.Lock()

    @contextmanager
    def of(self, name):
        """Tell of one notebook; gives the time at which it began."""
        began, end = time.monotonic(), "FAILED after"
        with self.lock:
            self.running.append(name)
            self.say(f"{name} starts")
        try:
            yield began
            end = "done in"
        finally:
            with self.lock:
                self.running.remove(name)
                self.done += 1
                self.say(f"{name} {end} {time.monotonic() - began:.0f} s")

    def say(self, event):
        line = progress_line(self.done, self.total, event, self.running, time.monotonic() - self.began)
        print(line, flush=True)


def progress_line(done, total, event, running, seconds):
    now = [f"running: {', '.join(running)}"] if running else []
    left = f"{total - done - len(running)} left"
    return "; ".join([f"[{done} of {total}] {event}", *now, left, f"{seconds // 60:.0f} min {seconds % 60:.0f} s"])
