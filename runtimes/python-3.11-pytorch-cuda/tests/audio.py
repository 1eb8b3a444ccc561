"""Writes a tone into files and reads it back, resamples it, and finds it again in its spectrogram."""
import math

import torch
import torchaudio

rate, wanted = 48_000, 16_000
wave = torch.sin(2 * math.pi * 440 * torch.arange(rate) / rate).unsqueeze(0)
for file in ("tone.wav", "tone.flac"):
    torchaudio.save(file, wave, rate)
    back, its_rate = torchaudio.load(file)
    assert its_rate == rate
    torch.testing.assert_close(back, wave, atol=1e-3, rtol=0)
less = torchaudio.transforms.Resample(rate, wanted)(wave)
assert less.shape[1] == wanted, less.shape
spectrum = torchaudio.transforms.Spectrogram(n_fft=1600)(less).mean(dim=-1)[0]
print(spectrum.argmax().item() * wanted // 1600, "Hz")
