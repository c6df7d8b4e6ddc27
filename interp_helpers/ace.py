"""Alternating conditional expectations (ACE): the smooth transforms of y and of x that correlate most.

ACE looks for theta(y) and phi_1(x_1), ..., phi_p(x_p) that make the mean of (theta - sum of phi)^2 smallest, with theta
of mean 0 and variance 1. It alternates: given theta, each phi is a smooth of what the others leave; given the phi,
theta is a smooth of their sum. The smoother is Friedman's (1984) supersmoother.

Two engines follow Friedman's Fortran program: ``"reference"`` is the ``ace`` package (0.4.2), ``"numba"`` the same
algorithm compiled. The first call compiles, for about ten seconds. numba keeps the compiled code in ``__pycache__``
beside this file, or where ``NUMBA_CACHE_DIR`` says. Those files are pickles, so only people you trust should be able to
write there. Data are never unpickled.

>>> x = np.linspace(-1, 1, 200)
>>> y = x**2
>>> print(f"{abs(np.corrcoef(x, y)[0, 1]):.2f} {ace(x, y).multiple:.2f}")
0.00 1.00

Breiman, L. and Friedman, J. H. (1985). Estimating optimal transformations for multiple regression and correlation.
Journal of the American Statistical Association 80, 580-598.
Friedman, J. H. (1984). A variable span smoother. Technical report 5, Laboratory for Computational Statistics, Stanford.
"""

import io
import warnings
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass

import numba
import numpy as np
from numba.core.caching import FunctionCache
from tqdm.auto import tqdm

ENGINES = ("numba", "reference")
MIN_OBSERVATIONS = 10
SPANS = (0.05, 0.2, 0.5)  # of the three running lines: Friedman's tweeter, midrange and woofer
SPREADS = (1e-50, 1e50)
N_STABLE = 3  # so many values of R-squared in a row must agree within the tolerance


@dataclass(frozen=True)
class AceResult:
    """The transforms that ACE found."""

    theta: np.ndarray  #: shape (m,), transform of y: mean 0, variance 1
    phi: np.ndarray  #: shape (m, p), transforms of the columns of x: mean 0; the variance tells how much each adds
    r_squared: float  #: 1 - mean((theta - sum of phi)^2); close to the square of `multiple`, not equal to it
    history: np.ndarray  #: R-squared after each outer iteration; the last is `r_squared`
    converged: bool  #: whether R-squared changed by no more than the tolerance in the last iterations

    @property
    def multiple(self):
        """Maximal multiple correlation: corr(theta, sum of phi)."""
        return _correlation(self.theta, self.phi.sum(axis=1))

    @property
    def first(self):
        """Correlation of theta with the transform of the first column alone: corr(theta, phi_1)."""
        return _correlation(self.theta, np.ascontiguousarray(self.phi[:, 0]))


@dataclass(frozen=True)
class AceBatch:
    """Arrays of shape (stacks,), or (stacks, k) for k responses; NaN where all columns are constant."""

    multiple: np.ndarray
    first: np.ndarray
    r_squared: np.ndarray
    iterations: np.ndarray


def ace(x, y, engine="numba", max_iterations=20, tolerance=0.01, bass=0.0):
    """Find the transforms of y and of the columns of x that correlate most, as an `AceResult`.

    Where no transform of x explains any of y, theta is undefined: every result is NaN, with a RuntimeWarning. The phi
    are updated in turn, so the order of the columns matters a little. The units do not, but for rounding: if many
    values of a column would be tied without it, results can change in the second digit.

    Parameters
    ----------
    x : array_like, shape (m, p) or (m,); m at least 10, p less than m, no column constant
    y : array_like, shape (m,)
    engine : "numba" or "reference"; compiled, or the ``ace`` package (hundreds of times slower)
    max_iterations : int; most outer iterations, and most passes over the phi in each
    tolerance : float; stop when R-squared has changed by no more than this over three outer iterations
    bass : float
        0 to 10: how much the supersmoother prefers wide spans (Friedman's alpha). The ``ace`` package takes 0, acepack
        5.
    """
    x, y = _real("x", x), _real("y", y)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or y.ndim != 1:
        raise ValueError(f"x has shape {x.shape}, y has shape {y.shape}; they take (m, p) and (m,)")
    _check_data(x[None], y[None, None])
    _check_options(max_iterations, tolerance, bass)
    constant = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if constant.size:
        raise ValueError(f"x: column {constant[0]} is constant ({x[0, constant[0]]:g}); leave it out")
    if engine not in ENGINES:
        raise ValueError(f"engine={engine!r}: takes one of {', '.join(ENGINES)}")
    if engine == "reference":
        if bass:
            raise ValueError(f"bass={bass}: the reference engine knows only 0")
        result = _reference(x, y, max_iterations, tolerance)
    else:
        (found,), theta, phi, history = _solve_all(x.T[None], y[None, None], max_iterations, tolerance, bass, threads=1)
        result = AceResult(theta, phi.T.copy(), float(found[R_SQUARED]), history, _is_stable(history, tolerance))
    if not np.isfinite(result.r_squared):
        warnings.warn("no transform of x explains any of y: theta is undefined (NaN)", RuntimeWarning, stacklevel=2)
    return result


def ace_many(x, y, max_iterations=20, tolerance=0.01, bass=0.0, threads=None):
    """Solve ACE for many stacks of predictors (channels) and responses (scores, permuted scores) at once: `AceBatch`.

    x has shape (stacks, m, p); a constant column is left out, so stacks of lower rank can be filled up with zeros. y
    has shape (m,) (one response for all stacks), (k, m) (k for all) or (stacks, k, m) (k for each). The rest is as in
    `ace`. Without `threads` there are ``NUMBA_NUM_THREADS``; the numbers do not depend on it.
    """
    x, y = _real("x", x), _real("y", y)
    if x.ndim != 3 or y.ndim not in (1, 2, 3) or (y.ndim == 3 and len(y) != len(x)):
        takes = "(stacks, m, p) and (m,), (k, m) or (stacks, k, m)"
        raise ValueError(f"x has shape {x.shape}, y has shape {y.shape}; they take {takes}")
    responses = y.reshape((1,) * (3 - y.ndim) + y.shape)
    _check_data(x, responses)
    _check_options(max_iterations, tolerance, bass)
    threads = numba.config.NUMBA_NUM_THREADS if threads is None else threads
    if not (isinstance(threads, int | np.integer) and threads > 0):
        raise ValueError(f"threads={threads}: give a positive number")
    found, *_ = _solve_all(x.transpose(0, 2, 1), responses, max_iterations, tolerance, bass, threads)
    shape = (len(x), responses.shape[1]) if y.ndim > 1 else (len(x),)
    multiple, first, r_squared, iterations = found.T.reshape((4, *shape)).copy()
    return AceBatch(multiple, first, r_squared, iterations.astype(int))


def supersmoother(x, y, span=None, bass=0.0):
    """Smooth y along x, both (m,), by running lines of a span that adapts to the data (Friedman 1984).

    Least-squares lines through three fixed shares of the points are fitted at every point. The span whose
    cross-validated residuals are smallest nearby wins; the winning spans are smoothed, the lines interpolated between
    them, and the outcome is smoothed once more with the narrowest span. With a `span`, a share of the points, there is
    one running line. Returns the smooth at each x; points with the same x get the same value. `bass` is as in `ace`.
    """
    x, y = _real("x", x), _real("y", y)
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(f"x has shape {x.shape}, y has shape {y.shape}; both take (m,)")
    _check_data(x[None, :, None], y[None, None])
    _check_options(1, 0, bass)
    if np.ptp(x) == 0:
        raise ValueError("x: is constant; there is nothing to smooth along")
    if span is not None and not 0 < span <= 1:
        raise ValueError(f"span={span}: give a share of the points, more than 0 and at most 1")
    return _smooth_once(x, np.argsort(x, kind="stable"), y, -1.0 if span is None else float(span), float(bass))


def _real(name, values):
    """Return values as a contiguous float64 array, or refuse them."""
    values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name}: has values of type {values.dtype}; give real numbers")
    return np.ascontiguousarray(values, dtype=float)


def _check_data(x, y):
    """Check stacks of predictors (stacks, m, p) and of responses (1 or stacks, k, m)."""
    n_observations, n_columns = x.shape[1:]
    if n_observations != y.shape[2]:
        raise ValueError(f"x has {n_observations} observations, y has {y.shape[2]}")
    if n_observations < MIN_OBSERVATIONS:
        raise ValueError(f"{n_observations} observations: ACE smooths, give at least {MIN_OBSERVATIONS}")
    if not 0 < n_columns < n_observations:
        raise ValueError(f"x has {n_columns} columns and {n_observations} observations: give 1 to {n_observations - 1}")
    if not (len(x) and y.size):
        raise ValueError("x or y is empty")
    if not np.isfinite(x).all():
        stack, row, column = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(f"x: column {column} has values that are not finite (first in row {row} of stack {stack})")
    if not np.isfinite(y).all():
        raise ValueError("y has values that are not finite")
    with np.errstate(over="ignore"):
        spreads = {"x": np.ptp(x, axis=1), "y": np.ptp(y, axis=2)}
    for name, spread in spreads.items():
        extreme = spread[(spread > 0) & ((spread < SPREADS[0]) | (spread > SPREADS[1]))]
        if extreme.size:
            raise ValueError(f"{name}: values spread over {extreme[0]:g}, too little or too much; rescale them")
    constant = np.argwhere(spreads["y"] == 0)
    if constant.size:
        raise ValueError(f"y is constant (row {constant[0, 1]} of stack {constant[0, 0]}): there is nothing to explain")


def _check_options(max_iterations, tolerance, bass):
    if not (isinstance(max_iterations, int | np.integer) and max_iterations > 0):
        raise ValueError(f"max_iterations={max_iterations}: give a positive number")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance={tolerance}: give 0 or more, less than 1")
    if not 0 <= bass <= 10:
        raise ValueError(f"bass={bass}: give a number from 0 to 10")


def _reference(x, y, max_iterations, tolerance):
    """Let the ``ace`` package solve it, without what it prints."""
    from ace.ace import ACESolver

    class Recorded(ACESolver):
        history = ()

        def _compute_error(self):
            error = super()._compute_error()
            self.history += (1 - error,)
            return error

    try:
        solver = Recorded(delrsq=tolerance, maxit=max_iterations, nterm=N_STABLE)
    except TypeError as error:
        raise ImportError("the reference engine needs the ace package 0.4.2 or later (Python 3.11 or later)") from error
    solver.specify_data_set(list(np.ascontiguousarray(x.T)), y)
    with redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        solver.solve()
    theta, phi = np.asarray(solver.y_transform), np.stack(solver.x_transforms, axis=1)
    history = np.array(solver.history)
    return AceResult(theta, phi, float(solver.rsq), history, _is_stable(history, tolerance))


def _solve_all(x, y, max_iterations, tolerance, bass, threads):
    """Solve every stack of x (stacks, p, m) with its responses of y (1 or stacks, k, m), stacks outside, in threads.

    Return multiple, first, R-squared and iterations (stacks * k, 4), and theta, phi and history of the last problem.
    The threads are Python's, not numba's, which need a threading layer that not every machine has a safe one of.
    """
    x = np.ascontiguousarray(x)
    # sorted here: numba's sort is slower, and takes longer to compile than all the rest
    x_order, y_order = (np.argsort(values, axis=-1, kind="stable") for values in (x, y))
    found = np.tile([np.nan, np.nan, np.nan, 0], (len(x) * y.shape[1], 1))
    n_parts = min(len(found), 16 * threads)
    edges = np.linspace(0, len(found), n_parts + 1).astype(int)
    settings = int(max_iterations), float(tolerance), float(bass)

    def solve(part):
        return _solve_range(x, x_order, y, y_order, edges[part], edges[part + 1], *settings, found)

    if n_parts == 1:
        return found, *solve(0)
    # no bar in one thread: whoever calls this once for each channel would make hundreds of them
    options = {"total": n_parts, "desc": "ACE", "leave": False, "delay": 2}
    if threads == 1:  # not `disable=False` otherwise, which would overrule TQDM_DISABLE
        options["disable"] = True
    with ThreadPoolExecutor(threads) as pool:
        parts = tqdm(pool.map(solve, range(n_parts)), **options)
        *_, last = parts
    return found, *last


# Below is what numba compiles. Predictors and y are "variables" here, y being the last. All that depends on the values
# of a variable but not on what is smoothed along it is computed once for each variable, in its plan.

MULTIPLE, FIRST, R_SQUARED, ITERATIONS = range(4)
LEAVES, ENTERS, GAIN, LEVERAGE = range(4)
TWEETER, MIDRANGE, WOOFER = range(3)
TIED = 1e-12  # points that differ by a smaller share of the range differ by rounding
MIN_EXACT = 1e-6  # below, 1 - leverage is not computed as a difference
CANCELLED = 1e-4  # a sum of squares that has fallen to this share is computed anew
VARIANCE_FLOOR = 1e-3  # a window narrower than this share of the interquartile range has slope 0
MIN_BASS_RATIO = 1e-7
COLLAPSED = 1e-12  # standard deviation of a theta that is nothing but rounding

OPTIONS = {"nogil": True, "error_model": "numpy"}  # division by zero gives inf or NaN, as in NumPy
Plan = namedtuple("Plan", ["spans", "order", "ranked", "tied", "coefficients"])


class _Cache(FunctionCache):
    """numba's cache on disk, but whatever cannot be read or written there only costs compiling again."""

    def load_overload(self, sig, target_context):
        with suppress(Exception):  # a truncated pickle raises anything
            return super().load_overload(sig, target_context)

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except Exception:
            with suppress(Exception):  # an index that cannot be read must go first; a full disk fails again
                self.flush()
                super().save_overload(sig, data)


def _compiled(function):
    """Compile at the first call; keep the code on disk if there is a folder that can be written."""
    dispatcher = numba.njit(function, **OPTIONS)
    with suppress(RuntimeError):  # "cannot cache function: no locator available"
        dispatcher._cache = _Cache(function)  # what cache=True does, with numba's own class
    return dispatcher


@_compiled
def _is_stable(history, tolerance):
    """Tell whether the last values of R-squared agree."""
    return len(history) >= N_STABLE and history[-N_STABLE:].max() - history[-N_STABLE:].min() <= tolerance


@_compiled
def _solve_range(x, x_order, y, y_order, start, stop, max_iterations, tolerance, bass, found):
    """Solve the problems from start to stop; return the transforms of the last."""
    n_columns, n = x.shape[1:]
    n_responses = y.shape[1]
    phi, theta, history = np.empty((n_columns, n)), np.empty(n), np.empty(max_iterations)
    plan, used = _empty_plan(n_columns + 1, n, SPANS), np.arange(n_columns)
    planned, iterations = -1, 0
    for problem in range(start, stop):
        stack, response = problem // n_responses, problem % n_responses
        if stack != planned:
            planned = stack
            varies = np.zeros(n_columns, np.bool_)
            for column in range(n_columns):
                varies[column] = _make_plan(x[stack, column], x_order[stack, column], plan, column)
            used = np.flatnonzero(varies)
        if len(used) == 0:
            continue
        owner = stack if len(y) > 1 else 0
        scores = y[owner, response]
        _make_plan(scores, y_order[owner, response], plan, n_columns)
        iterations = _alternate(x[stack], scores, used, plan, max_iterations, tolerance, bass, phi, theta, history)
        found[problem, MULTIPLE] = _correlation(theta, phi[used].sum(axis=0))
        if used[0] == 0:
            found[problem, FIRST] = _correlation(theta, phi[0])
        found[problem, R_SQUARED] = history[iterations - 1]
        found[problem, ITERATIONS] = iterations
    return theta, phi, history[:iterations].copy()


@_compiled
def _smooth_once(x, order, y, span, bass):
    """Smooth y along x, with one fixed span if it is positive."""
    plan, smooth = _empty_plan(1, len(x), (span, span, span) if span > 0 else SPANS), np.empty(len(x))
    _make_plan(x, order, plan, 0)
    if span > 0:
        smooth[order] = _average_ties(plan, 0, _running_lines(y[order], plan, 0, MIDRANGE))
    else:
        smooth[order] = _supersmooth(y[order], plan, 0, bass)
    return smooth


@_compiled
def _correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return (a * b).sum() / scale if scale > 0 else np.nan


@_compiled
def _alternate(x, y, used, plan, max_iterations, tolerance, bass, phi, theta, history):
    """Run ACE into phi, theta and history; return the number of outer iterations. Follows Friedman's program.

    A phi is replaced only if that raises R-squared. The inner loop ends when a pass has raised it by no more than the
    tolerance, the outer loop when its last three values agree within the tolerance.
    """
    theta[:] = (y - y.mean()) / y.std()
    for column in used:  # in standard deviations: conjugate gradients need columns of like scale
        phi[column] = x[column] - x[column].mean()
        phi[column] /= phi[column].std()
    _scale_to_fit(theta, phi, used, tolerance)
    r_squared, iterations = 0.0, 0
    while iterations < max_iterations:
        for _ in range(max_iterations):
            before, remainder = r_squared, theta.copy()
            for column in used:
                remainder -= phi[column]
            for column in used:
                order = plan.order[column]
                target = (remainder + phi[column])[order]
                smooth = _supersmooth(target, plan, column, bass)
                smooth -= smooth.mean()
                explained = 1 - ((target - smooth) ** 2).mean()
                if explained > r_squared:
                    r_squared = explained
                    phi[column][order] = smooth
                    remainder[order] = target - smooth
            if len(used) == 1 or r_squared - before <= tolerance:
                break
        order, total = plan.order[-1], phi[used].sum(axis=0)
        smooth = _supersmooth(total[order], plan, len(phi), bass)
        smooth -= smooth.mean()
        deviation = smooth.std()
        if not deviation > COLLAPSED:
            theta[:], phi[:], history[iterations] = np.nan, np.nan, np.nan
            return iterations + 1
        theta[order] = smooth / deviation
        r_squared = 1 - ((theta - total) ** 2).mean()
        history[iterations] = r_squared
        iterations += 1
        if _is_stable(history[:iterations], tolerance):
            break
    return iterations


@_compiled
def _scale_to_fit(theta, phi, used, tolerance):
    """Multiply each phi by its coefficient in the linear least-squares fit of theta: conjugate gradients, restarted.

    The rule for stopping is that of Friedman's program: when a round changes no coefficient by the tolerance or more.
    """
    n_used, n = len(used), len(theta)
    weights, gradient, direction = np.zeros(n_used), np.zeros(n_used), np.zeros(n_used)
    residual, along = np.empty(n), np.empty(n)
    norm_before = 1.0
    for _ in range(n_used):
        weights_before = weights.copy()
        for step in range(n_used):
            residual[:] = theta
            for j in range(n_used):
                residual -= weights[j] * phi[used[j]]
            for j in range(n_used):
                gradient[j] = -2 * (residual * phi[used[j]]).sum() / n
            norm = (gradient**2).sum()
            if norm <= 0:
                break
            direction *= norm / norm_before if step else 0.0
            direction -= gradient
            norm_before = norm
            along[:] = 0
            for j in range(n_used):
                along += direction[j] * phi[used[j]]
            weights += (along * residual).sum() / (along * along).sum() * direction
        if np.abs(weights - weights_before).max() < tolerance:
            break
    for j in range(n_used):
        phi[used[j]] *= weights[j]


@_compiled
def _supersmooth(y, plan, variable, bass):
    """Smooth y, which is in the order of the variable."""
    n = len(y)
    lines, errors, spans, between = np.empty((3, n)), np.empty((3, n)), np.empty(n), np.empty(n)
    for s in range(3):
        line = _running_lines(y, plan, variable, s)
        residuals = _cross_validated(y, line, plan.coefficients[variable, s])
        lines[s] = _average_ties(plan, variable, line)
        errors[s] = _average_ties(plan, variable, _running_lines(residuals, plan, variable, MIDRANGE))
    for i in range(n):
        best = 0
        for s in range(1, 3):
            if errors[s, i] < errors[best, i]:
                best = s
        spans[i] = SPANS[best]
        if bass > 0 and 0 < errors[best, i] < errors[WOOFER, i]:
            ratio = max(MIN_BASS_RATIO, errors[best, i] / errors[WOOFER, i])
            spans[i] += (SPANS[WOOFER] - spans[i]) * ratio ** (10 - bass)
    spans = _average_ties(plan, variable, _running_lines(spans, plan, variable, MIDRANGE))
    for i in range(n):
        span = min(max(spans[i], SPANS[TWEETER]), SPANS[WOOFER])
        lower = TWEETER if span < SPANS[MIDRANGE] else MIDRANGE
        share = (span - SPANS[lower]) / (SPANS[lower + 1] - SPANS[lower])
        between[i] = lines[lower, i] + share * (lines[lower + 1, i] - lines[lower, i])
    return _average_ties(plan, variable, _running_lines(between, plan, variable, TWEETER))


@_compiled
def _running_lines(y, plan, variable, s):
    """Fit a least-squares line in the window around each point. At both ends the window stays where it is."""
    n, x, c = len(y), plan.ranked[variable], plan.coefficients[variable, s]
    half = _half_window(plan.spans[s], n)
    width, smooth = min(2 * half + 1, n), np.empty(n)
    mean, covariance = _mean_and_covariance(x[:width], y[:width])
    for i in range(n):
        if half < i < n - half:
            if np.isnan(c[i, LEAVES]):
                start = i - half
                mean, covariance = _mean_and_covariance(x[start : start + width], y[start : start + width])
            else:
                leaves, enters = y[i - half - 1], y[i + half]
                covariance -= c[i, LEAVES] * (leaves - mean)
                mean += (enters - leaves) / width
                covariance += c[i, ENTERS] * (enters - mean)
        smooth[i] = covariance * c[i, GAIN] + mean
    return smooth


@_compiled
def _mean_and_covariance(x, y):
    """Return the mean of y, and the sum of the products of x and y about their means."""
    mean = y.mean()
    return mean, ((x - x.mean()) * (y - mean)).sum()


@_compiled
def _cross_validated(y, smooth, coefficients):
    """Compute the absolute residual that each point would have if the line were fitted without it."""
    residuals, before = np.empty(len(y)), 0.0
    for i in range(len(y)):
        if coefficients[i, LEVERAGE] > 0:
            before = abs(y[i] - smooth[i]) * coefficients[i, LEVERAGE]
        residuals[i] = before
    return residuals


@_compiled
def _average_ties(plan, variable, smooth):
    """Give points with the same x the mean of their values."""
    x, start = plan.ranked[variable], 0
    while plan.tied[variable] and start < len(x):
        stop = start + 1
        while stop < len(x) and x[stop] <= x[start]:
            stop += 1
        if stop > start + 1:
            smooth[start:stop] = smooth[start:stop].mean()
        start = stop
    return smooth


@_compiled
def _half_window(span, n):
    """Return how many neighbours a window takes on each side."""
    return max(int(0.5 * span * n + 0.5), 2)


@_compiled
def _empty_plan(n_variables, n, spans):
    order, ranked = np.empty((n_variables, n), np.int64), np.empty((n_variables, n))
    return Plan(spans, order, ranked, np.empty(n_variables, np.bool_), np.empty((n_variables, 3, n, 4)))


@_compiled
def _make_plan(values, order, plan, variable):
    """Plan the windows of the three spans along a variable; return whether the variable varies."""
    ranked = values[order]
    plan.order[variable], plan.ranked[variable] = order, ranked
    plan.tied[variable] = (ranked[1:] == ranked[:-1]).any()
    varies = ranked[0] < ranked[-1]
    if varies:
        for s in range(3):
            _plan_span(ranked, plan.spans[s], plan.coefficients[variable, s])
    return varies


@_compiled
def _plan_span(x, span, c):
    """Compute what each window's line takes of x: weights of the points that leave and enter, gain, leverage.

    Means and sums of squares are updated from one window to the next (Friedman 1984), and computed anew (the weights
    are NaN) where little but rounding is left of them. The gain turns the covariance of a window into the line's rise
    from the window's mean to the point; the last number, 1 / (1 - leverage), turns a residual into a cross-validated
    one (0: not defined, the point alone determines the line).
    """
    n = len(x)
    half = _half_window(span, n)
    width = min(2 * half + 1, n)
    low = max(n // 4, 1)
    high = 3 * low
    while x[high - 1] <= x[low - 1]:
        low, high = max(low - 1, 1), min(high + 1, n)
    tied = (TIED * (x[-1] - x[0])) ** 2
    floor = max((VARIANCE_FLOOR * (x[high - 1] - x[low - 1])) ** 2, tied)
    mean = variance = largest = 0.0
    factor = width / (width - 1)
    for i in range(n):
        start = min(max(i - half, 0), n - width)
        if half < i < n - half:
            leaves, enters = x[i - half - 1], x[i + half]
            c[i, LEAVES] = factor * (leaves - mean)
            variance -= c[i, LEAVES] * (leaves - mean)
            mean = (width * mean - leaves) / (width - 1)
            mean = ((width - 1) * mean + enters) / width
            c[i, ENTERS] = factor * (enters - mean)
            variance += c[i, ENTERS] * (enters - mean)
        largest = max(largest, variance)
        if i == 0 or variance < CANCELLED * largest:
            mean = x[start : start + width].mean()
            variance = largest = ((x[start : start + width] - mean) ** 2).sum()
            c[i, LEAVES] = c[i, ENTERS] = np.nan
        distance, leverage = x[i] - mean, 1 / width
        c[i, GAIN] = 0.0
        if variance > floor:
            c[i, GAIN] = distance / variance
            leverage += distance * distance / variance
        c[i, LEVERAGE] = 1 / (1 - leverage)
        if 1 - leverage < MIN_EXACT:
            others = np.append(x[start:i], x[i + 1 : start + width])
            left = ((others - others.mean()) ** 2).sum()
            c[i, LEVERAGE] = factor * variance / left if left > tied else 0.0
