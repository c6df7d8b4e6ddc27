"""Write ace_80_digits.npz: what Friedman's ACE gives if rounding errors play no part.

The program is that of the ``ace`` package 0.4.2 (alpha = 0), in arithmetic of 80 decimal digits and written as
differently as it can be: each running line is a matrix computed window by window, without running sums, and the linear
fit that the transforms start from is the exact least-squares fit, by elimination. Friedman's program aims at that fit
by conjugate gradients, which in exact arithmetic reach it in as many steps as there are columns. `main` runs both and
refuses to write if they differ. It needs NumPy alone, and takes about a minute.
"""

from decimal import Decimal, getcontext
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SPANS = (0.05, 0.2, 0.5)
TOLERANCE, MAX_ITERATIONS, N_STABLE = Decimal("0.01"), 20, 3
SLOPE_FLOOR = Decimal("1e-3")
ALONE = Decimal("1e-60")  # 1 - leverage of a point that alone determines the line


def samples():
    """Return x (m, p) and y (m,) of every data set, made from a seed."""
    rng = np.random.default_rng(7)
    sets = {"powers of ten": (rng.normal(size=(100, 5)) * 10.0 ** np.array([0, 2, 4, 6, 8]), rng.normal(size=100))}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        sets[f"exp(5 N) {seed}"] = np.exp(5 * rng.normal(size=(60, 4))), rng.normal(size=60)
    for seed, name in enumerate(CHANGES):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(60, 3))
        y = x[:, 0] ** 2 + np.sin(2 * x[:, 1]) + 0.5 * rng.normal(size=60)
        CHANGES[name](x, y)
        sets[name] = x, y
    rng = np.random.default_rng(3)
    x = rng.integers(0, 6, (60, 3)).astype(float)
    return sets | {"ties": (x, x[:, 0] ** 2 + rng.normal(size=60))}


CHANGES = {
    "ordinary": lambda x, y: None,
    "ordinary, again": lambda x, y: None,
    "one x = -1e6": lambda x, y: x.__setitem__((5, 0), -1e6),
    "one x = 1e6": lambda x, y: x.__setitem__((5, 1), 1e6),
    "one x = -1e9": lambda x, y: x.__setitem__((5, 1), -1e9),
    "x = -1e3, -1e6, -1e9": lambda x, y: x.__setitem__((slice(3), 0), (-1e3, -1e6, -1e9)),
    "one y = -1e6": lambda x, y: y.__setitem__(5, -1e6),
    "-exp(5 N)": lambda x, y: np.negative(np.exp(5 * x), out=x),
}


def exact(values):
    return np.vectorize(Decimal, otypes=[object])(np.asarray(values, dtype=float))


def mean(values):
    return values.sum() / len(values)


def variance(values):
    return mean((values - mean(values)) ** 2)


def line(x, span):
    """Return the matrix that turns values into running lines along sorted x."""
    n = len(x)
    half = max(int(0.5 * span * n + 0.5), 2)
    width = min(2 * half + 1, n)
    low = max(n // 4, 1)
    high = 3 * low
    while x[high - 1] <= x[low - 1]:
        low, high = max(low - 1, 1), min(high + 1, n)
    floor = (SLOPE_FLOOR * (x[high - 1] - x[low - 1])) ** 2
    matrix = np.full((n, n), Decimal(0))
    for i in range(n):
        start = min(max(i - half, 0), n - width)
        window = slice(start, start + width)
        from_mean = x[window] - mean(x[window])
        squares = (from_mean**2).sum()
        slope = from_mean / squares if squares > floor else 0 * from_mean
        matrix[i, window] = Decimal(1) / width + (x[i] - mean(x[window])) * slope
    return matrix


def averages(x):
    """Return the matrix that gives tied points the mean of their values; x sorted."""
    same = x[:, None] == x[None]
    return np.where(same, Decimal(1), Decimal(0)) / np.array([Decimal(int(k)) for k in same.sum(axis=0)])


def supersmoother(x):
    """Return a function that smooths values, which are in the order of the rows, along x."""
    order = np.argsort(x, kind="stable")
    lines, ties = [line(x[order], span) for span in SPANS], averages(x[order])
    averaged = [ties @ matrix for matrix in lines]
    spans = [Decimal(span) for span in SPANS]

    def residuals(y, matrix):
        found, leverage = np.abs(y - matrix @ y), np.diagonal(matrix)
        for i in range(len(y)):
            if 1 - leverage[i] > ALONE:
                found[i] /= 1 - leverage[i]
            else:
                found[i] = found[i - 1] if i else Decimal(0)
        return found

    def smooth(values):
        y = values[order]
        smooths = [matrix @ y for matrix in averaged]
        errors = np.array([averaged[1] @ residuals(y, matrix) for matrix in lines])
        best = averaged[1] @ np.array([spans[k] for k in np.argmin(errors, axis=0)])
        between = np.empty_like(y)
        for i, span in enumerate(best):
            span = min(max(span, spans[0]), spans[2])
            k = 0 if span < spans[1] else 1
            share = (span - spans[k]) / (spans[k + 1] - spans[k])
            between[i] = smooths[k][i] + share * (smooths[k + 1][i] - smooths[k][i])
        found = np.empty_like(y)
        found[order] = averaged[0] @ between
        return found - mean(found)

    return smooth


def least_squares(columns, y):
    """Return the coefficients of the linear fit, by elimination."""
    a = np.array([[(p * q).sum() for q in columns] + [(p * y).sum()] for p in columns])
    for i in range(len(a)):
        a[i] = a[i] / a[i, i]
        for j in range(len(a)):
            if j != i:
                a[j] = a[j] - a[j, i] * a[i]
    return a[:, -1]


def conjugate_gradients(columns, y):
    """Return the coefficients that Friedman's program comes to."""
    p = len(columns)
    c = direction = np.full(p, Decimal(0))
    norm_before = Decimal(1)
    for _ in range(p):
        before = c
        for step in range(p):
            residual = y - (c[:, None] * columns).sum(axis=0)
            gradient = np.array([-2 * mean(residual * column) for column in columns])
            norm = (gradient**2).sum()
            if norm <= 0:
                break
            direction = norm / norm_before * direction - gradient if step else -gradient
            norm_before = norm
            along = (direction[:, None] * columns).sum(axis=0)
            c = c + (along * residual).sum() / (along * along).sum() * direction
        if np.abs(c - before).max() < TOLERANCE:
            break
    return c


def ace(x, y, start=least_squares):
    """Return R-squared, corr(theta, sum of phi) and corr(theta, phi_1)."""
    columns, y = exact(x).T, exact(y)
    smooths, smooth_y = [supersmoother(column) for column in columns], supersmoother(y)
    theta = (y - mean(y)) / variance(y).sqrt()
    phi = np.array([column - mean(column) for column in columns])
    phi = start(phi, theta)[:, None] * phi
    r_squared, history = Decimal(0), []
    while len(history) < MAX_ITERATIONS:
        for _ in range(MAX_ITERATIONS):
            before = r_squared
            for k in range(len(phi)):
                target = theta - phi.sum(axis=0) + phi[k]
                smooth = smooths[k](target)
                explained = 1 - mean((target - smooth) ** 2)
                if explained > r_squared:
                    phi[k], r_squared = smooth, explained
            if len(phi) == 1 or r_squared - before <= TOLERANCE:
                break
        theta = smooth_y(phi.sum(axis=0))
        theta /= variance(theta).sqrt()
        r_squared = 1 - mean((theta - phi.sum(axis=0)) ** 2)
        history.append(r_squared)
        last = history[-N_STABLE:]
        if len(last) == N_STABLE and max(last) - min(last) <= TOLERANCE:
            break
    return r_squared, correlation(theta, phi.sum(axis=0)), correlation(theta, phi[0])


def correlation(a, b):
    a, b = a - mean(a), b - mean(b)
    return (a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt()


def main():
    golden = {}
    getcontext().prec = 80
    for name, (x, y) in samples().items():
        found, again = ace(x, y), ace(x, y, conjugate_gradients)
        if max(abs(a - b) for a, b in zip(found, again, strict=True)) > 1e-30:
            raise SystemExit(f"{name}: conjugate gradients do not reach the least-squares fit")
        golden[name] = np.array([float(value) for value in found])
        print(name, *(f"{value:.6f}" for value in found), flush=True)
    np.savez_compressed(HERE / "ace_80_digits.npz", **golden)


if __name__ == "__main__":
    main()
