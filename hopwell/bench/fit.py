"""Four numbers of a kernel family, fitted on times of its kernels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hopwell.limits.catalogue import Gpu
from hopwell.planner.kernels import peak

POINTS = 1500
Points = list[tuple[float, float, float]]
"""Of each: bytes, FLOPs, microseconds."""


def roofline(x: np.ndarray, points: np.ndarray) -> np.ndarray:
    """log us of (log launch, log bandwidth share, log matrix share, log2 p)."""
    launch, eb, ef, p = np.exp(x[0]), np.exp(x[1]), np.exp(x[2]), np.exp2(x[3])
    parts = np.maximum((points[:, 0] / eb) ** p + (points[:, 1] / ef) ** p, 1e-30)
    return np.log(launch + parts ** (1 / p))


def minimise(error: Callable[[np.ndarray], float], start: list[float], steps: int = 900) -> np.ndarray:
    """Nelder and Mead's simplex (1965)."""
    simplex = [np.array(start)] + [np.array(start) + 0.5 * unit for unit in np.eye(len(start))]
    values = [error(x) for x in simplex]
    for _ in range(steps):
        order = np.argsort(values)
        simplex, values = [simplex[i] for i in order], [values[i] for i in order]
        centre, worst = np.mean(simplex[:-1], axis=0), simplex[-1]
        tried = [(error(x), x) for x in [centre + scale * (centre - worst) for scale in (1.0, 2.0, -0.5)]]
        best = min(tried, key=lambda each: each[0])
        if best[0] < values[-1]:
            values[-1], simplex[-1] = best
        else:
            simplex = [simplex[0]] + [simplex[0] + 0.5 * (x - simplex[0]) for x in simplex[1:]]
            values = [error(x) for x in simplex]
    return simplex[int(np.argmin(values))]


def fit_roofline(points: Points, gpu: Gpu, weights: str) -> dict[str, float]:
    """Launch, shares of the data sheet's two rates, how sharply they meet, and the error that remains."""
    every = max(1, len(points) // POINTS)
    data = np.array(sorted(points)[::every]) / (gpu.bandwidth / 1e6, peak(gpu, weights) / 1e6, 1)
    truth = np.log(data[:, 2])

    def error(x: np.ndarray) -> float:
        bounds = max(0, x[1] - 0.05) + max(0, x[2]) + max(0, -x[3]) + max(0, x[3] - 3)
        return float(np.mean(np.abs(roofline(x, data) - truth)) + 10 * bounds)

    x = minimise(error, [2.0, -0.3, -0.8, 1.0])
    off = roofline(x, data) - truth
    launch, eb, ef = map(float, np.exp(x[:3]))
    found = {"launch_us": launch, "bandwidth": eb, "math": ef, "p": float(np.exp2(x[3]))}
    return {**found, "error": float(np.mean(np.abs(np.expm1(off)))), "points": len(data)}
