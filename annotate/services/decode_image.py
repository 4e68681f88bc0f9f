"""An image on standard input becomes a clean one on standard output: a process of its own, with limits.

A picture of a few kilobytes may unpack to gigabytes, and decoders have had holes: whatever it does, it does it here.
Only pixels come through: turned as the camera says, in sRGB, at most EDGE on a side, without any of its metadata. Run
by path, with nothing of ours imported: `python decode_image.py BYTES SECONDS < in > out`. Standard error has one line:
the result as JSON, or the reason why there is none.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import warnings
from typing import Any, Final

EDGE: Final = 2_048  # pixels of the longer side
PIXELS: Final = 40_000_000  # of what is decoded
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")  # never SVG: it is a program
QUALITY: Final = 92


class Refused(Exception):
    """The reason, for people."""


def main(most_bytes: int, most_seconds: int) -> int:
    """Exit status 0, or 1 with the reason."""
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (most_seconds, most_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    try:
        data, told = clean(sys.stdin.buffer.read())
    except Refused as refusal:
        reason = str(refusal)
    except MemoryError:
        reason = f"decoding it takes more than {most_bytes:,} bytes"
    except Exception as error:  # what a decoder raises over hostile bytes is not to be foretold; all of it is a refusal
        reason = f"it cannot be decoded ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        print(json.dumps(told), file=sys.stderr)
        return 0
    print(reason, file=sys.stderr)
    return 1


def clean(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """The re-encoded image, and its media type and size. Raises Refused, or whatever the decoder raises."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # ours is asked first, with words of our own
    try:
        image: Any = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise Refused("it is no PNG, JPEG, WebP or GIF image") from None
    width, height = image.size
    if width * height > PIXELS:
        raise Refused(f"it has {width:,} × {height:,} pixels; at most {PIXELS:,} are taken")
    kind = "PNG" if image.format in {"PNG", "GIF"} else "WEBP" if image.format == "WEBP" else "JPEG"
    profile = image.info.get("icc_profile")
    image.draft("RGB", (EDGE, EDGE))  # of a JPEG only as much is decoded as is kept
    image.seek(0)
    image.load()
    image = _plain(image)
    image.thumbnail((EDGE, EDGE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    image = _in_srgb(ImageOps.exif_transpose(image), profile)
    if kind == "JPEG" and image.mode != "RGB":
        image = image.convert("RGB")
    bare = Image.new(image.mode, image.size)
    bare.paste(image)
    out = io.BytesIO()
    options = {
        "PNG": {"compress_level": 6},
        "JPEG": {"quality": QUALITY, "subsampling": 0},
        "WEBP": {"quality": QUALITY},
    }
    bare.save(out, kind, **options[kind])
    told = {"media_type": f"image/{kind.lower()}", "width": bare.width, "height": bare.height}
    return out.getvalue(), told


def _plain(image: Any) -> Any:
    """In a mode that can be scaled and kept: grey, colour, or colour with transparency."""
    if image.mode in {"L", "RGB", "RGBA", "CMYK"} and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16 bits of grey: the upper eight
        return image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode in {"P", "PA", "LA", "La", "RGBa"} or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in {"1", "F"} else "RGB")


def _in_srgb(image: Any, profile: bytes | None) -> Any:
    """Colours as they were meant; a profile that cannot be read is passed over."""
    from PIL import ImageCms

    mode = "RGB" if image.mode == "CMYK" else image.mode
    if profile:
        try:
            meant = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            turned = ImageCms.profileToProfile(image, meant, ImageCms.createProfile("sRGB"), outputMode=mode)
            return image.convert(mode) if turned is None else turned
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image if image.mode == mode else image.convert(mode)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
