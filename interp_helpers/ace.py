"""Alternating conditional expectations (ACE): the smooth transforms of y and of x that correlate most.

ACE looks for theta(y) and phi_1(x_1), ..., phi_p(x_p) that make the mean of (theta - sum of phi)^2 smallest, with theta
of mean 0 and variance 1 (Breiman and Friedman 1985). It alternates: given theta, each phi is a smooth of what the
others leave; given the phi, theta is a smooth of their sum. The smoother is Friedman's (1984) supersmoother.

Two engines give the same numbers: ``"reference"`` is the ``ace`` package (0.4.2), which follows Friedman's Fortran
program, and ``"numba"`` is the same algorithm compiled. The first call compiles, for about ten seconds; the compiled
code is kept on disk for later sessions (beside this file, or where ``NUMBA_CACHE_DIR`` says).

Breiman, L. and Friedman, J. H. (1985). Estimating optimal transformations for multiple regression and correlation.
Journal of the American Statistical Association 80, 580-598.
Friedman, J. H. (1984). A variable span smoother. Technical report 5, Laboratory for Computational Statistics, Stanford.
"""

import io
import warnings
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass

import numba
import numpy as np
from tqdm.auto import tqdm

ENGINES = ("numba", "reference")


MIN_OBSERVATIONS = 10


SPANS = (0.05, 0.2, 0.5)  # of the three running lines: Friedman's tweeter, midrange and woofer


SPREADS = (1e-50, 1e50)


N_STABLE = 3  # so many values of R-squared in a row must agree within the tolerance


@dataclass(frozen=True)
class AceResult:
    """The transforms that ACE found.

    Attributes
    ----------
    theta : ndarray, shape (m,)
        Transform of y: mean 0, variance 1.
    phi : ndarray, shape (m, p)
        Transforms of the columns of x: mean 0; their variance tells how much each contributes.
    r_squared : float
        1 - mean((theta - sum of phi)^2). It is not the square of `multiple`, but close to it.
    history : ndarray, shape (iterations,)
        R-squared after each outer iteration; the last is `r_squared`.
    converged : bool
        Whether R-squared changed by no more than the tolerance in the last iterations.
    """

    theta: np.ndarray
    phi: np.ndarray
    r_squared: float
    history: np.ndarray
    converged: bool

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
    """What many solves gave, each array of shape (stacks,), or (stacks, k) for k responses; NaN where there is nothing.

    Attributes
    ----------
    multiple, first, r_squared : ndarray of float
        As in `AceResult`.
    iterations : ndarray of int
        Outer iterations.
    """

    multiple: np.ndarray
    first: np.ndarray
    r_squared: np.ndarray
    iterations: np.ndarray


def ace(x, y, engine="numba", max_iterations=20, tolerance=0.01, bass=0.0):
    """Find the transforms of y and of the columns of x that correlate most.

    Parameters
    ----------
    x : array_like, shape (m, p) or (m,)
        Predictors, one column each; m at least 10, p less than m.
    y : array_like, shape (m,)
        Response.
    engine : "numba" or "reference"
        Compiled, or the ``ace`` package (hundreds of times slower).
    max_iterations : int
        Most outer iterations, and most passes over the phi in each.
    tolerance : float
        Stop when R-squared has changed by no more than this over three outer iterations.
    bass : float
        0 to 10: how much the supersmoother prefers wide spans (Friedman's alpha). The ``ace`` package takes 0, R's
        acepack 5.

    Returns
    -------
    AceResult

    Raises
    ------
    ValueError
        If there are fewer than 10 observations or no more than columns, if lengths differ, if a value is not finite,
        if y or a column of x is constant, or if an option is unknown.

    Warns
    -----
    RuntimeWarning
        If no transform of x explains any of y: theta is then undefined, and every result NaN.

    Notes
    -----
    The phi are updated in turn, so the order of the columns matters a little; and they start from a linear fit whose
    stopping rule looks at the coefficients, so the units of x do, if columns differ in scale by orders of magnitude.
    There, and with nearly as many columns as observations, the engines agree to six or seven digits, otherwise to ten
    and more. Where a point alone determines a line of the supersmoother (its neighbours are tied), the package divides
    one rounding error by another; this engine takes the residual of the point before.
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
    """Solve ACE for many stacks of predictors (channels) and many responses (scores, permuted scores) at once.

    The solves are shared out among threads, each of which runs compiled code without the interpreter's lock. The
    numbers do not depend on how many threads there are.

    Parameters
    ----------
    x : array_like, shape (stacks, m, p)
        A constant column is left out, so stacks of lower rank can be filled up with zeros; if all columns are
        constant, there is nothing to solve and the results are NaN.
    y : array_like, shape (m,), (k, m) or (stacks, k, m)
        One response for all stacks; k for all stacks; k for each stack.
    max_iterations, tolerance, bass
        As in `ace`.
    threads : int, optional
        ``NUMBA_NUM_THREADS`` if not given, which is the number of cores unless the environment says otherwise.

    Returns
    -------
    AceBatch

    Raises
    ------
    ValueError
        As in `ace`, but for constant columns.
    """
    x, y = _real("x", x), _real("y", y)
    if x.ndim != 3 or y.ndim not in (1, 2, 3) or (y.ndim == 3 and len(y) != len(x)):
        raise ValueError(
            f"x has shape {x.shape}, y has shape {y.shape}; they take (stacks, m, p) and (m,), (k, m) or (stacks, k, m)"
        )
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
    """Smooth y along x by running lines of a span that adapts to the data (Friedman 1984).

    Three running lines, each a least-squares line through a fixed share of the points, are fitted at every point. The
    span whose cross-validated residuals are smallest nearby wins; the winning spans are smoothed, the running lines
    interpolated between them, and the outcome is smoothed once more with the narrowest span.

    Parameters
    ----------
    x, y : array_like, shape (m,)
        m at least 10. Points with the same x get the same value.
    span : float, optional
        Share of the points in the window, more than 0 and at most 1, for one running line of fixed span.
    bass : float
        As in `ace`.

    Returns
    -------
    ndarray, shape (m,)
        The smooth at each x, in the order of x.

    Raises
    ------
    ValueError
        As in `ace`.
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
    for name, spread in (("x", _spread(x, axis=1)), ("y", _spread(y, axis=2))):
        extreme = spread[(spread > 0) & ((spread < SPREADS[0]) | (spread > SPREADS[1]))]
        if extreme.size:
            raise ValueError(
                f"{name}: values spread over {extreme[0]:g}, whose powers a float does not hold; rescale them"
            )
    constant = np.argwhere(_spread(y, axis=2) == 0)
    if constant.size:
        raise ValueError(f"y is constant (row {constant[0, 1]} of stack {constant[0, 0]}): there is nothing to explain")


def _spread(values, axis):
    """Return the largest less the smallest value; infinite if a float does not hold it."""
    with np.errstate(over="ignore"):
        return np.ptp(values, axis=axis)


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

    Threads of Python, not of numba: they need no threading layer, which not every machine has a safe one of.

    Returns
    -------
    found : ndarray, shape (stacks * k, 4)
        multiple, first, R-squared, iterations.
    theta, phi, history : ndarray, shapes (m,), (p, m), (iterations,)
        Of the last problem.
    """
    x = np.ascontiguousarray(x)
    # sorted here: numba's sort is slower, and takes longer to compile than all the rest
    x_order, y_order = (np.argsort(values, axis=-1, kind="stable") for values in (x, y))
    found = np.empty((len(x) * y.shape[1], 4))
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


MULTIPLE, FIRST, R_SQUARED, ITERATIONS = range(4)


LEAVES, ENTERS, GAIN, LEVERAGE = range(4)


TWEETER, MIDRANGE, WOOFER = range(3)


MAX_LEVERAGE = 1 - 1e-10  # from here on only rounding tells the leverage from 1


VARIANCE_FLOOR = 1e-3  # a window narrower than this share of the interquartile range has slope 0


MIN_BASS_RATIO = 1e-7


COLLAPSED = 1e-12  # standard deviation of a theta that is nothing but rounding


OPTIONS = {"nogil": True, "error_model": "numpy"}  # division by zero gives inf or NaN, as in NumPy


Plan = namedtuple("Plan", ["order", "ranked", "tied", "coefficients"])


Scratch = namedtuple("Scratch", ["lines", "residuals", "residual_smooths", "spans", "target", "smooth", "remainder"])


def _compiled(function):
    """Compile at the first call; keep the code on disk if there is a folder that can be written."""
    try:
        return numba.njit(function, cache=True, **OPTIONS)
    except RuntimeError:  # "cannot cache function: no locator available"
        return numba.njit(function, **OPTIONS)


@_compiled
def _is_stable(history, tolerance):
    """Tell whether the last values of R-squared agree."""
    return len(history) >= N_STABLE and history[-N_STABLE:].max() - history[-N_STABLE:].min() <= tolerance


@_compiled
def _solve_range(x, x_order, y, y_order, start, stop, max_iterations, tolerance, bass, found):
    """Solve the problems from start to stop in the same working storage; return the transforms of the last."""
    n_columns, n = x.shape[1:]
    n_responses = y.shape[1]
    phi, theta, history = np.empty((n_columns, n)), np.empty(n), np.empty(max_iterations)
    plan, scratch = _empty_plan(n_columns + 1, n), _empty_scratch(n)
    used = np.arange(n_columns)
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
            found[problem, :] = np.nan
            found[problem, ITERATIONS] = 0
            continue
        owner = stack if len(y) > 1 else 0
        scores = y[owner, response]
        _make_plan(scores, y_order[owner, response], plan, n_columns)
        iterations = _alternate(
            x[stack], scores, used, plan, scratch, max_iterations, tolerance, bass, phi, theta, history
        )
        total = np.zeros(n)
        for column in used:
            total += phi[column]
        found[problem, MULTIPLE] = _correlation(theta, total)
        found[problem, FIRST] = _correlation(theta, phi[0]) if used[0] == 0 else np.nan
        found[problem, R_SQUARED] = history[iterations - 1]
        found[problem, ITERATIONS] = iterations
    return theta, phi, history[:iterations].copy()


@_compiled
def _smooth_once(x, order, y, span, bass):
    """Smooth y along x, with one fixed span if it is positive."""
    n = len(x)
    plan, scratch, smooth = _empty_plan(1, n), _empty_scratch(n), np.empty(n)
    _make_plan(x, order, plan, 0)
    target = y[order]
    if span > 0:
        _plan_span(plan.ranked[0], span, plan.coefficients[0, MIDRANGE])
        _running_lines(target, plan, 0, MIDRANGE, _half_window(span, n), scratch.smooth)
        _average_ties(plan, 0, scratch.smooth)
    else:
        _supersmooth(target, plan, 0, bass, scratch, scratch.smooth)
    smooth[order] = scratch.smooth
    return smooth


@_compiled
def _correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return (a * b).sum() / scale if scale > 0 else np.nan


@_compiled
def _alternate(x, y, used, plan, scratch, max_iterations, tolerance, bass, phi, theta, history):
    """Run ACE into phi, theta and history; return the number of outer iterations. Follows Friedman's program.

    A phi is replaced only if that raises R-squared. The inner loop ends when a pass over the phi has raised it by no
    more than the tolerance, the outer loop when its last three values agree within the tolerance.
    """
    n_columns, n = x.shape
    target, smooth, remainder = scratch.target, scratch.smooth, scratch.remainder
    theta[:] = (y - y.mean()) / y.std()
    for column in used:
        phi[column] = x[column] - x[column].mean()
    _scale_to_fit(theta, phi, used, tolerance)
    r_squared, iterations = 0.0, 0
    while iterations < max_iterations:
        for _ in range(max_iterations):
            before = r_squared
            remainder[:] = theta
            for column in used:
                remainder -= phi[column]
            for column in used:
                order = plan.order[column]
                for i in range(n):
                    target[i] = remainder[order[i]] + phi[column, order[i]]
                _supersmooth(target, plan, column, bass, scratch, smooth)
                smooth -= smooth.mean()
                explained = 1 - ((target - smooth) ** 2).mean()
                if explained <= r_squared:
                    continue
                r_squared = explained
                for i in range(n):
                    phi[column, order[i]] = smooth[i]
                    remainder[order[i]] = target[i] - smooth[i]
            if len(used) == 1 or r_squared - before <= tolerance:
                break
        order = plan.order[n_columns]
        remainder[:] = 0
        for column in used:
            remainder += phi[column]
        for i in range(n):
            target[i] = remainder[order[i]]
        _supersmooth(target, plan, n_columns, bass, scratch, smooth)
        smooth -= smooth.mean()
        deviation = smooth.std()
        if not deviation > COLLAPSED:
            theta[:], phi[:], history[iterations] = np.nan, np.nan, np.nan
            return iterations + 1
        smooth /= deviation
        for i in range(n):
            theta[order[i]] = smooth[i]
        r_squared = 1 - ((theta - remainder) ** 2).mean()
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
def _supersmooth(y, plan, variable, bass, scratch, smooth):
    """Smooth y, which is in the order of the variable, into smooth."""
    n = len(y)
    lines, residuals, spans = scratch.lines, scratch.residuals, scratch.spans
    middle = _half_window(SPANS[MIDRANGE], n)
    for s in range(3):
        _running_lines(y, plan, variable, s, _half_window(SPANS[s], n), lines[s])
        _cross_validate(y, lines[s], plan.coefficients[variable, s], residuals)
        _average_ties(plan, variable, lines[s])
        _running_lines(residuals, plan, variable, MIDRANGE, middle, scratch.residual_smooths[s])
        _average_ties(plan, variable, scratch.residual_smooths[s])
    for i in range(n):
        best = 0
        for s in range(1, 3):
            if scratch.residual_smooths[s, i] < scratch.residual_smooths[best, i]:
                best = s
        spans[i] = SPANS[best]
        if bass > 0:
            least, widest = scratch.residual_smooths[best, i], scratch.residual_smooths[WOOFER, i]
            if 0 < least < widest:
                ratio = max(MIN_BASS_RATIO, least / widest)
                spans[i] += (SPANS[WOOFER] - spans[i]) * ratio ** (10 - bass)
    _running_lines(spans, plan, variable, MIDRANGE, middle, smooth)
    _average_ties(plan, variable, smooth)
    for i in range(n):
        span = min(max(smooth[i], SPANS[TWEETER]), SPANS[WOOFER])
        lower = TWEETER if span < SPANS[MIDRANGE] else MIDRANGE
        share = (span - SPANS[lower]) / (SPANS[lower + 1] - SPANS[lower])
        residuals[i] = lines[lower, i] + share * (lines[lower + 1, i] - lines[lower, i])
    _running_lines(residuals, plan, variable, TWEETER, _half_window(SPANS[TWEETER], n), smooth)
    _average_ties(plan, variable, smooth)


@_compiled
def _running_lines(y, plan, variable, s, half, smooth):
    """Fit a least-squares line in the window around each point. At both ends the window stays where it is."""
    n, x, c = len(y), plan.ranked[variable], plan.coefficients[variable, s]
    width = min(2 * half + 1, n)
    x_mean, mean, covariance = x[:width].mean(), y[:width].mean(), 0.0
    for i in range(width):
        covariance += (x[i] - x_mean) * (y[i] - mean)
    for i in range(n):
        if half < i < n - half:
            leaves, enters = y[i - half - 1], y[i + half]
            covariance -= c[i, LEAVES] * (leaves - mean)
            mean += (enters - leaves) / width
            covariance += c[i, ENTERS] * (enters - mean)
        smooth[i] = covariance * c[i, GAIN] + mean


@_compiled
def _cross_validate(y, smooth, coefficients, residuals):
    """Compute the absolute residual that each point would have if the line were fitted without it."""
    before = 0.0
    for i in range(len(y)):
        if coefficients[i, LEVERAGE] > 0:
            before = abs(y[i] - smooth[i]) * coefficients[i, LEVERAGE]
        residuals[i] = before


@_compiled
def _average_ties(plan, variable, smooth):
    """Give points with the same x the mean of their values."""
    if not plan.tied[variable]:
        return
    x, start = plan.ranked[variable], 0
    while start < len(x):
        stop = start + 1
        while stop < len(x) and x[stop] <= x[start]:
            stop += 1
        if stop > start + 1:
            smooth[start:stop] = smooth[start:stop].mean()
        start = stop


@_compiled
def _half_window(span, n):
    """Return how many neighbours a window takes on each side."""
    return max(int(0.5 * span * n + 0.5), 2)


@_compiled
def _empty_plan(n_variables, n):
    return Plan(
        np.empty((n_variables, n), np.int64),
        np.empty((n_variables, n)),
        np.empty(n_variables, np.bool_),
        np.empty((n_variables, 3, n, 4)),
    )


@_compiled
def _empty_scratch(n):
    lines, residual_smooths = np.empty((3, n)), np.empty((3, n))
    return Scratch(lines, np.empty(n), residual_smooths, np.empty(n), np.empty(n), np.empty(n), np.empty(n))


@_compiled
def _make_plan(values, order, plan, variable):
    """Plan the windows of the three spans along a variable; return whether the variable varies."""
    n, ranked = len(values), plan.ranked[variable]
    plan.tied[variable] = False
    for i in range(n):
        plan.order[variable, i] = order[i]
        ranked[i] = values[order[i]]
        if i > 0 and ranked[i] == ranked[i - 1]:
            plan.tied[variable] = True
    if ranked[0] == ranked[-1]:
        return False
    for s in range(3):
        _plan_span(ranked, SPANS[s], plan.coefficients[variable, s])
    return True


@_compiled
def _plan_span(x, span, c):
    """Compute what each window's line takes of x: weights of the points that leave and enter, gain, leverage.

    Means and sums of squares are updated from one window to the next (Friedman 1984). The gain turns the window's
    covariance into the line's rise from the window's mean to the point; the last number, 1 / (1 - leverage), turns a
    residual into a cross-validated one (0: not defined, the point alone determines the line).
    """
    n = len(x)
    half = _half_window(span, n)
    width = min(2 * half + 1, n)
    low = max(n // 4, 1)
    high = 3 * low
    while x[high - 1] <= x[low - 1]:
        low, high = max(low - 1, 1), min(high + 1, n)
    floor = (VARIANCE_FLOOR * (x[high - 1] - x[low - 1])) ** 2
    mean = x[:width].mean()
    variance = ((x[:width] - mean) ** 2).sum()
    factor = width / (width - 1)
    for i in range(n):
        if half < i < n - half:
            leaves, enters = x[i - half - 1], x[i + half]
            c[i, LEAVES] = factor * (leaves - mean)
            variance -= c[i, LEAVES] * (leaves - mean)
            mean = (width * mean - leaves) / (width - 1)
            mean = ((width - 1) * mean + enters) / width
            c[i, ENTERS] = factor * (enters - mean)
            variance += c[i, ENTERS] * (enters - mean)
        distance, leverage = x[i] - mean, 1 / width
        c[i, GAIN] = 0.0
        if variance > floor:
            c[i, GAIN] = distance / variance
            leverage += distance * distance / variance
        c[i, LEVERAGE] = 1 / (1 - leverage) if leverage < MAX_LEVERAGE else 0.0
