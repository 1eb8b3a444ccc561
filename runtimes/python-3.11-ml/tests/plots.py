"""Draws with matplotlib and seaborn into /work, and reads the pixels back."""
import os

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from PIL import Image

assert matplotlib.get_backend().lower() == "agg", matplotlib.get_backend()
assert os.getcwd() == "/work"
random = np.random.default_rng(1)
figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 4.8), dpi=100)
left.plot(np.linspace(0, 1), np.linspace(0, 1) ** 2, color="#ff0000", linewidth=4)
left.set_title("$x^2$ – äß")
sns.kdeplot(x=random.standard_normal(500), ax=right, fill=True, color="#0000ff")
figure.savefig("/work/plot.png")
figure.savefig("/work/plot.pdf")
with Image.open("/work/plot.png") as image:
    kind, size = image.format, image.size
    pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
red = ((pixels - (255, 0, 0)) ** 2).sum(axis=1) < 100
bluish = (pixels[:, 2] - pixels[:, 0]) > 50
assert red.sum() > 500, red.sum()
assert bluish.sum() > 2000, bluish.sum()
with open("/work/plot.pdf", "rb") as pdf:
    assert pdf.read(5) == b"%PDF-"
print(f"{size[0]}x{size[1]} {kind}, PDF")
