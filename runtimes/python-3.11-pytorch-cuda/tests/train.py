"""Trains a small convolutional network on the digits that scikit-learn brings, with loader processes, on one device."""
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def main(device):
    torch.manual_seed(1)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    dataset = TensorDataset(images, torch.tensor(digits.target))
    train, test = random_split(dataset, [1500, len(dataset) - 1500])
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 16, 10),
    ).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(6):
        for batch, labels in DataLoader(train, batch_size=64, shuffle=True, num_workers=2):
            loss = nn.functional.cross_entropy(model(batch.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.save(model.state_dict(), "/work/model.pt")
    model.load_state_dict(torch.load("/work/model.pt", weights_only=True))
    with torch.inference_mode():
        right = sum(
            (model(batch.to(device)).argmax(1).cpu() == labels).sum().item()
            for batch, labels in DataLoader(test, batch_size=100)
        )
    print(f"accuracy {right / len(test):.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
