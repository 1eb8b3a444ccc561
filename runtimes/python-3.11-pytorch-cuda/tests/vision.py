"""Writes and reads a JPEG with torchvision, transforms it, and runs a network and its own operators on it."""
import torch
import torchvision
from torchvision.transforms import v2

torch.manual_seed(1)
image = (torch.rand(3, 8, 8) * 255).to(torch.uint8)
image = v2.Resize((96, 96))(image)
torchvision.io.write_jpeg(image, "/work/image.jpg", quality=95)
back = torchvision.io.read_image("/work/image.jpg")
assert back.shape == (3, 96, 96)
assert (back.float() - image.float()).abs().mean() < 8
batch = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.RandomHorizontalFlip()])(back).unsqueeze(0)
model = torchvision.models.resnet18(weights=None, num_classes=10).eval()
with torch.inference_mode():
    classes = model(batch).shape[1]
boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]])
kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
print(f"{classes} classes, {len(kept)} boxes")
