"""Prints the versions that PyTorch was made for, and makes sure that its parts fit one another."""
import importlib.metadata

import torch
import torchaudio
import torchvision

base = torch.__version__.split("+")[0]
assert base == importlib.metadata.version("torch")
assert torchaudio.__version__.split("+")[0] == base
# torchvision refuses operators of another torch when it is called, not when it is imported.
assert torchvision.extension._has_ops()
assert torch.compiled_with_cxx11_abi() in (True, False)
major = torch.backends.cudnn.version() // 10_000
minor = torch.backends.cudnn.version() // 100 % 100
print(f"torch {base} with CUDA {torch.version.cuda} and cuDNN {major}.{minor}")
