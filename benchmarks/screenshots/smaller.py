"""Screenshots with 128 colours, so that each is below 150 kB.

python benchmarks/screenshots/smaller.py FOLDER docs/images
"""

import sys
from pathlib import Path

from PIL import Image

MOST = 150_000  # bytes


def main(source: Path, target: Path) -> int:
    """Returns 1 where a picture is still too large."""
    sizes = {}
    for path in sorted(source.glob("mlflow_*.png")):
        picture = Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE)
        picture.save(target / path.name, optimize=True)
        sizes[path.name] = (target / path.name).stat().st_size
        print(f"{sizes[path.name]:7} {path.name}")
    return int(any(size > MOST for size in sizes.values()))


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
