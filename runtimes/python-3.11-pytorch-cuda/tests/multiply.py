"""Multiplies and decomposes matrices on the GPU (cuBLAS, cuSOLVER, cuFFT), and compares with the processor."""
import torch

torch.manual_seed(1)
matrix = torch.randn(300, 300, dtype=torch.float64)
there = matrix.cuda()
torch.testing.assert_close((there @ there).cpu(), matrix @ matrix)
torch.testing.assert_close(torch.linalg.svdvals(there).cpu(), torch.linalg.svdvals(matrix))
torch.testing.assert_close(torch.fft.fft2(there).cpu(), torch.fft.fft2(matrix))
image = torch.randn(2, 3, 32, 32)
layer = torch.nn.Conv2d(3, 8, 3)
torch.testing.assert_close(layer.cuda()(image.cuda()).cpu(), layer.cpu()(image), rtol=1e-3, atol=1e-3)
print("same")
