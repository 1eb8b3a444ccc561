"""Writes and reads an image in each common format, and text in it with FreeType."""
import io

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 24)
image = Image.new("RGB", (120, 40), "white")
ImageDraw.Draw(image).text((5, 5), "Grüße", fill="black", font=font)
assert image.getextrema() == ((0, 255),) * 3
formats = ["PNG", "JPEG", "WEBP", "TIFF", "GIF"]
for format in formats:
    stream = io.BytesIO()
    image.save(stream, format)
    with Image.open(io.BytesIO(stream.getvalue())) as back:
        assert (back.format, back.size) == (format, image.size)
        assert back.convert("L").resize((1, 1)).getpixel((0, 0)) > 128
print(*formats)
