"""Shares work among processes with joblib, and a large array with them through memory."""
import os

import numpy as np
from joblib import Memory, Parallel, delayed


def slow_sum(array, number, meeting):
    """Returns a sum, the process that made it, and whether the array came as shared memory."""
    open(f"{meeting}/{os.getpid()}", "w").close()
    # Nobody goes on before a second process is at work.
    while len(os.listdir(meeting)) < 2:
        os.sched_yield()
    return float(array.sum()) + number, os.getpid(), isinstance(array, np.memmap)


workers = max(2, min(4, len(os.sched_getaffinity(0))))
array = np.arange(1_000_000, dtype=float)
os.mkdir("/work/meeting")
results = Parallel(n_jobs=workers, backend="loky", max_nbytes="1M", batch_size=1)(
    delayed(slow_sum)(array, number, "/work/meeting") for number in range(32)
)
sums, processes, shared = zip(*results)
assert list(sums) == [array.sum() + number for number in range(32)]
assert os.getpid() not in processes
assert all(shared), "the array was copied to each process"
calls = []


def square(number):
    calls.append(number)
    return number**2


cached = Memory("/work/cache", verbose=0).cache(square)
assert (cached(3), cached(3), calls) == (9, 9, [3])
print(len(set(processes)), "processes")
