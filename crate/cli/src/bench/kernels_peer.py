"""The peer of `rethink bench kernels`: the Gram matrix in NumPy, the solve in SciPy, float32.

Reads lines "turn" from standard input and answers each with the seconds of building and of solving.
"""
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = sys.argv[1]
import time

import numpy
import scipy
from scipy.linalg import cho_factor, cho_solve

n = int(sys.argv[2])
random = numpy.random.default_rng(0)
points = random.random((n, 784), dtype=numpy.float32)
targets = random.random((n, 10), dtype=numpy.float32)


def gram():
    squares = (points * points).sum(1)
    matrix = points @ points.T
    matrix *= -2
    matrix += squares[:, None]
    matrix += squares
    numpy.maximum(matrix, 0, out=matrix)
    matrix *= numpy.float32(-0.02)
    return numpy.exp(matrix, out=matrix)


print(f"NumPy {numpy.__version__} and SciPy {scipy.__version__}, {sys.argv[1]} threads", flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    matrix = gram()
    built = time.perf_counter()
    # Column-major, as LAPACK wants it: the matrix is symmetric.
    factor = cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
    solution = cho_solve(factor, targets, check_finite=False)
    solved = time.perf_counter()
    del matrix, factor
    print(built - start, solved - built, flush=True)
