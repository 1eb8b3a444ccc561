"""Loads each shared library of the CUDA wheels: all that they need is there, but for the host's driver."""
import ctypes
import glob
import os

import nvidia
import torch  # loads most of them, in the order in which they need one another

loaded, failed = 0, []
for path in sorted(glob.glob(os.path.join(list(nvidia.__path__)[0], "*", "lib", "*.so*"))):
    try:
        ctypes.CDLL(path, mode=os.RTLD_LAZY | os.RTLD_LOCAL)
        loaded += 1
    except OSError as error:
        if "libcuda.so.1" not in str(error) and "libnvidia-ml.so.1" not in str(error):
            failed.append(f"{path}: {error}")
assert not failed, "\n".join(failed)
assert torch.cuda.is_available() == os.path.exists("/dev/nvidiactl")
print(loaded, "libraries")
