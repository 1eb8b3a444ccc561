"""Decomposes a matrix with two to four threads of OpenBLAS, and makes sure that they all work."""
import os

threads = max(2, min(4, len(os.sched_getaffinity(0))))
os.environ["OPENBLAS_NUM_THREADS"] = str(threads)

import numpy as np
from threadpoolctl import threadpool_info


def ticks():
    """Returns the processor time of each thread of this process, in clock ticks."""
    used = {}
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        used[thread] = int(fields[11]) + int(fields[12])
    return used


pools = [pool for pool in threadpool_info() if pool["internal_api"] == "openblas"]
assert pools, threadpool_info()
assert all(pool["num_threads"] == threads for pool in pools), pools
matrix = np.random.default_rng(1).standard_normal((700, 500))
before = ticks()
worked = 0
# A thread counts once it has used a tick of a processor; on a busy machine that takes more than one turn.
for _ in range(50):
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    product = (left * values) @ right
    after = ticks()
    worked = sum(used > before.get(thread, 0) for thread, used in after.items())
    if worked >= threads:
        break
np.testing.assert_allclose(product, matrix, atol=1e-10)
assert (np.diff(values) <= 0).all()
assert worked == threads, (worked, threads)
print(threads, "threads")
