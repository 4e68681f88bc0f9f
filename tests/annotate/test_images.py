"""Images: found in texts, fetched through the guard, cleaned where nothing can happen, shown to members alone."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from PIL import Image as Pillow
from PIL import ImageCms

from annotate.models import Form, Image
from annotate.services import images, importing
from annotate.services.images import DECODER, DECODER_BYTES, DECODER_SECONDS, decode
from annotate.templatetags.annotate_text import render_cached
from tests.build import PIXEL, make_comparison, make_image, make_member, make_project, make_token, make_user
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict, Invalid, NotAllowed
from tiebreak.core.models import Event
from tiebreak.runs import ledger, store
from tiebreak.runs.models import Run

pytestmark = pytest.mark.usefixtures("storage")


def encoded(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes) -> Any:
    return Pillow.open(io.BytesIO(data))


API = "/api/v1/projects/chat/"
RED = Pillow.new("RGB", (30, 20), "red")


# Cleaning


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("GIF", "image/png")],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_each_kind_of_image_comes_through_in_a_kind_of_ours(kind: str, media_type: str, mode: str) -> None:
    if kind == "JPEG" and mode in ("P", "RGBA"):
        mode = "CMYK"
    clean = decode(encoded(RED.convert(mode), kind))
    assert (clean.media_type, clean.width, clean.height) == (media_type, 30, 20)
    shown = opened(clean.data)
    assert (shown.get_format_mimetype(), shown.size) == (media_type, (30, 20))
    if mode in ("RGB", "P", "RGBA", "CMYK"):
        red, green, blue = shown.convert("RGB").getpixel((15, 10))
        assert red > 180
        assert green < 60
        assert blue < 60


def test_what_is_seen_through_stays_so() -> None:
    clear = opened(decode(encoded(Pillow.new("RGBA", (4, 4), (255, 0, 0, 0)))).data)
    assert clear.mode == "RGBA"
    assert clear.getpixel((1, 1))[3] == 0


def test_sixteen_bits_of_grey_become_eight() -> None:
    deep = Pillow.new("I;16", (4, 4), 0x8000)
    assert opened(decode(encoded(deep)).data).convert("L").getpixel((1, 1)) == 0x80


def test_a_large_image_is_scaled_and_keeps_its_shape() -> None:
    clean = decode(encoded(Pillow.new("RGB", (5_000, 2_500), "red")))
    assert (clean.width, clean.height) == (2_048, 1_024)


def test_the_camera_s_turn_is_taken_and_everything_else_that_it_told_is_gone() -> None:
    told = Pillow.Exif()
    told[0x0112] = 6  # turned by a quarter
    told[0x010E] = "where I live"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(RED, "JPEG", exif=told, comment=b"my name", icc_profile=profile)
    assert b"where I live" in data
    clean = decode(data)
    assert (clean.width, clean.height) == (20, 30)
    assert not set(opened(clean.data).info) & {"exif", "comment", "icc_profile", "xmp"}
    for secret in (b"where I live", b"my name", b"ICC_PROFILE", b"Exif"):
        assert secret not in clean.data


def test_texts_within_a_png_are_gone() -> None:
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text("Comment", "<script>xss()</script>")
    data = encoded(RED, pnginfo=told)
    assert b"<script>" in data
    assert b"<script>" not in decode(data).data


def test_of_a_moving_image_the_first_picture_is_kept() -> None:
    data = encoded(RED, "GIF", save_all=True, append_images=[Pillow.new("RGB", (30, 20), "blue")])
    shown = opened(decode(data).data)
    assert getattr(shown, "n_frames", 1) == 1
    assert shown.convert("RGB").getpixel((1, 1)) == (255, 0, 0)


# Bombs and disguises


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes, *more: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeros(size: int) -> bytes:
    """`size` zeros, packed without ever being there at once."""
    packer, block = zlib.compressobj(9), bytes(1 << 20)
    packed = [packer.compress(block[: min(len(block), size - at)]) for at in range(0, size, len(block))]
    return b"".join(packed) + packer.flush()


HUGE = png(50_000, 50_000, zeros(1_000_000))
TEXT_BOMB = png(9, 9, zeros(9 * 28), chunk(b"iTXt", b"x\0\1\0\0\0" + zeros(300_000_000)))
PIXEL_BOMB = png(10, 10, zeros(400_000_000))  # 310 bytes are wanted
POLYGLOT = b"GIF89a/*<script>xss()</script>*/=1;"
REFUSED = {
    "50,000 × 50,000 pixels in a few kilobytes": (HUGE, "50,000 × 50,000 pixels"),
    "a text that unpacks to 300 MB": (TEXT_BOMB, "too large"),
    "a size that fits no number": (png(2**31 - 1, 2**31 - 1, b""), "pixels"),
    "broken off": (encoded(RED)[:60], "cannot be decoded"),
    "a broken-off JPEG": (encoded(RED, "JPEG")[:-200], "cannot be decoded"),
    "a script that begins like a GIF": (POLYGLOT, "no PNG, JPEG, WebP or GIF"),
    "a page": (b"<!doctype html><script>xss()</script>", "no PNG, JPEG, WebP or GIF"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='xss()'/>", "no PNG, JPEG, WebP or GIF"),
    "another format": (encoded(RED, "BMP"), "no PNG, JPEG, WebP or GIF"),
    "another format that can run programs": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no PNG"),
    "nothing": (b"", "no PNG, JPEG, WebP or GIF"),
    "noise": (bytes(range(256)) * 50, "no PNG, JPEG, WebP or GIF"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_honest_image_is_refused_with_a_reason(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(Invalid, match=reason) as refusal:
        decode(data)
    assert "/" not in refusal.value.message.replace("PNG, JPEG", "")  # no path of ours


def test_a_page_behind_a_real_image_does_not_come_through() -> None:
    data = encoded(RED, "GIF", comment=b"<script>xss()</script>") + b"<script>xss()</script>"
    assert b"script" not in decode(data).data


def test_pixels_beyond_the_image_s_own_are_not_unpacked() -> None:
    assert decode(PIXEL_BOMB).width == 10


@pytest.mark.parametrize("name", ["huge", "full", "texts", "pixels", "grey"])
def test_the_decoder_never_takes_more_than_half_a_gigabyte(name: str) -> None:
    full = png(6_300, 6_300, zeros(6_300 * (1 + 3 * 6_300)))  # as many pixels as are taken
    grey = encoded(Pillow.new("I;16", (6_300, 6_300), 0x8000), compress_level=1)
    data = {"huge": HUGE, "full": full, "texts": TEXT_BOMB, "pixels": PIXEL_BOMB, "grey": grey}[name]
    measure = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, "
        "stderr=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-I", str(DECODER), str(DECODER_BYTES), str(DECODER_SECONDS)]
    done = subprocess.run([sys.executable, "-c", measure, *command], input=data, capture_output=True, check=True)
    assert int(done.stdout) < 512 * 1024


def test_a_decoder_that_would_go_on_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    endless = tmp_path / "endless.py"
    endless.write_text("while True: pass\n")
    monkeypatch.setattr(images, "DECODER", endless)
    monkeypatch.setattr(images, "DECODER_SECONDS", 0.2)
    with pytest.raises(Invalid, match="takes more than"):
        decode(PIXEL)


# Finding


@pytest.mark.django_db
def test_an_import_finds_the_images_of_its_texts_and_starts_a_run_for_them() -> None:
    project = make_project("chat")
    upload = f"upload:{'0a' * 32}"
    rows = [
        {"id": "1", "prompt": "![p](https://a.example/p.png)", "completion_a": f"![a]({upload})", "completion_b": "b"},
        {"id": "2", "prompt": "q", "completion_a": "x", "completion_b": "y", "context": "![](https://a.example/c.png)"},
        {"id": "3", "prompt": "`![](https://a.example/code.png)`", "completion_a": "x!", "completion_b": "y![]"},
    ]
    file = io.BytesIO(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    run = importing.start_import(project, file, by=None, wake=False)
    ledger.execute(run.pk)
    assert sorted(Image.objects.values_list("source", "status")) == [
        ("https://a.example/c.png", "waiting"),
        ("https://a.example/p.png", "waiting"),
        (upload, "waiting"),
    ]
    assert Run.objects.filter(kind="fetch-images", project=project, status="queued").count() == 1
    file.seek(0)
    ledger.execute(importing.start_import(project, file, by=None, wake=False).pk)
    assert Image.objects.count() == 3
    assert Run.objects.filter(kind="fetch-images").count() == 1  # the queued one will see to it


@pytest.mark.django_db
def test_an_import_without_images_starts_nothing() -> None:
    project = make_project("chat")
    file = io.BytesIO(b'{"id": "1", "prompt": "q", "completion_a": "x", "completion_b": "y"}\n')
    ledger.execute(importing.start_import(project, file, by=None, wake=False).pk)
    assert not Run.objects.filter(kind="fetch-images").exists()


@pytest.mark.django_db
def test_texts_that_came_before_images_did_are_looked_through_on_request() -> None:
    project, other = make_project("chat"), make_project("other")
    make_comparison(
        project, prompt="![](https://a.example/1)", a="![](https://a.example/2)", context="![](https://a.example/3)",
        reference="![](https://a.example/4)",
    )  # fmt: skip
    Form.objects.filter(project=project).update(guidelines="![](https://a.example/5)")
    make_comparison(other, a="![](https://a.example/6)")
    assert images.find_everywhere(project) == 5
    assert images.find_everywhere(project) == 0
    found = Image.objects.filter(project=project).values_list("source", flat=True)
    assert sorted(found) == [f"https://a.example/{n}" for n in range(1, 6)]
    assert not Image.objects.filter(project=other).exists()


@pytest.mark.django_db
def test_a_text_brings_a_bounded_number_of_images() -> None:
    project = make_project("chat")
    text = " ".join(f"![](https://a.example/{n})" for n in range(500)) + f" ![](https://a.example/{'x' * 3_000})"
    assert images.find(project, [text]) == 100
    assert render_cached(text, project).html.count("It is not fetched yet.") == 100


# Fetching


class Host(ThreadingHTTPServer):
    """A host of images that also misbehaves."""

    daemon_threads = True
    asked: list[str]


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        name = self.path.strip("/")
        if name == "moved":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1/inside")
            self.end_headers()
        elif name == "gone":
            self.send_error(404)
        else:
            body = {"page": b"<script>xss()</script>", "large": bytes(1 << 16) * 400}.get(name, PIXEL)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")  # a host's word is not taken
            if name != "large":
                self.send_header("Content-Length", str(len(body) + (999 if name == "broken" else 0)))
            if name == "packed":
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def host() -> Iterator[Host]:
    with Host(("127.0.0.1", 0), Answer) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ENV", replace(settings.ENV, egress_allow=("127.0.0.0/8",)))


def at(host: Host, name: str) -> str:
    return f"http://127.0.0.1:{host.server_port}/{name}"


def fetch(project: Project) -> Run:
    run = ledger.execute(images.start(project, by=None).pk)
    assert run is not None
    return run


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("allowed")
def test_a_run_fetches_what_waits_and_keeps_the_reason_of_what_it_cannot_have(host: Host) -> None:
    project = make_project("chat")
    reasons = {
        "moved": "redirects to 'http://127.0.0.1/inside'",
        "gone": "answered 404",
        "page": "no PNG, JPEG, WebP or GIF",
        "large": "larger than",
        "broken": "could not be fetched",
        "packed": "",
    }
    names = ["fine", *reasons]
    images.find(project, [" ".join(f"![{n}]({at(host, n)})" for n in names)])
    run = fetch(project)
    assert (run.status, run.done, run.total) == ("succeeded", 7, 7)
    assert run.result == {"found": 0, "ready": 2, "failed": 5}  # what is said to be packed is taken as it is
    for name, reason in reasons.items():
        image = Image.objects.get(source=at(host, name))
        assert reason in image.error, name
        assert (image.artifact is None) is (name != "packed")
    fine = Image.objects.get(source=at(host, "fine"))
    assert (fine.status, fine.media_type, fine.width, fine.height) == ("ready", "image/png", 1, 1)
    assert sorted(host.asked) == sorted(f"/{name}" for name in names)


@pytest.mark.django_db(transaction=True)
def test_without_the_operators_word_nothing_of_ours_is_asked(host: Host) -> None:
    project = make_project("chat")
    sources = [at(host, "fine"), "https://127.0.0.1/x", "https://169.254.169.254/latest", "http://example.com/x.png"]
    images.find(project, [" ".join(f"![]({source})" for source in sources)])
    assert fetch(project).result == {"found": 0, "ready": 0, "failed": 4}
    assert host.asked == []
    assert all(image.error for image in Image.objects.all())


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("allowed")
def test_a_run_that_was_killed_goes_on_with_what_waits(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project("chat")
    images.find(project, [" ".join(f"![]({at(host, str(n))})" for n in range(12))])
    real = images.decode
    calls = 0

    def dies(data: bytes) -> Any:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise RuntimeError("killed")
        return real(data)

    monkeypatch.setattr(images, "decode", dies)
    run = images.start(project, by=None)
    with pytest.raises(RuntimeError):
        ledger.execute(run.pk)
    assert Image.objects.filter(status="ready").count() == 5
    monkeypatch.setattr(images, "decode", real)
    run.refresh_from_db()
    ledger.execute(ledger.retry(run, by=None).pk)
    assert Image.objects.filter(status="ready").count() == 12
    assert len(host.asked) == 8 + 7  # the first batch, and what of it was not kept with the rest


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("allowed")
def test_what_failed_is_tried_again_on_a_curators_word(host: Host) -> None:
    project = make_project("chat")
    curator, annotator = make_member(project, Role.CURATOR), make_member(project)
    image = make_image(project, at(host, "fine"), status="failed", artifact=None, error="The host answered 503.")
    with pytest.raises(NotAllowed):
        images.look_again(project, by=annotator)
    ledger.execute(images.look_again(project, by=curator).pk)
    image.refresh_from_db()
    assert (image.status, image.error) == ("ready", "")
    event = Event.objects.get(verb="images.retried")
    assert (event.actor, event.data) == (curator, {"failed": 1})


# Uploading


@pytest.mark.django_db
def test_an_upload_is_cleaned_and_named_by_what_was_sent() -> None:
    project = make_project("chat")
    curator = make_member(project, Role.CURATOR)
    image = images.upload(project, PIXEL, by=curator)
    assert image.source == f"upload:{images.hashlib.sha256(PIXEL).hexdigest()}"
    assert images.markdown_of(image) == f"![]({image.source})"
    assert (image.status, image.width) == ("ready", 1)
    assert images.upload(project, PIXEL, by=curator).pk == image.pk
    assert Event.objects.filter(verb="image.uploaded", actor=curator).count() == 1


@pytest.mark.django_db
def test_a_text_may_name_an_image_before_it_is_uploaded() -> None:
    project = make_project("chat")
    text = f"![a](upload:{images.hashlib.sha256(PIXEL).hexdigest()})"
    images.find(project, [text])
    assert "It has not been uploaded yet." in render_cached(text, project).html
    assert images.start_if_any(project, by=None) is None  # there is nothing to fetch
    image = images.upload(project, PIXEL, by=make_member(project, Role.CURATOR))
    assert f'<img src="/p/chat/images/{image.pk}/"' in render_cached(text, project).html
    assert Image.objects.count() == 1


@pytest.mark.django_db
def test_uploads_are_for_curators_of_a_living_project() -> None:
    project = make_project("chat")
    for role in (Role.ANNOTATOR, Role.VIEWER, Role.ADJUDICATOR):
        with pytest.raises(NotAllowed):
            images.upload(project, PIXEL, by=make_member(project, role))
    owner = make_member(project, Role.OWNER)
    with pytest.raises(Invalid, match="larger than"):
        images.upload(project, bytes(images.MOST_BYTES + 1), by=owner)
    with pytest.raises(Invalid, match="no PNG"):
        images.upload(project, POLYGLOT, by=owner)
    assert not Image.objects.exists()
    project.archived_at = project.created_at
    project.save()
    with pytest.raises(Conflict):
        images.upload(project, PIXEL, by=owner)


# Showing


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.django_db
def test_a_page_shows_our_copy_and_follows_what_becomes_of_an_image() -> None:
    cache.clear()
    project, other = make_project("chat"), make_project("other")
    text = "so ![a cat](https://a.example/b.png)"
    assert "[image: a cat] (https://a.example/b.png)" in render_cached(text, project).html
    image = make_image(project, status="waiting", artifact=None)
    assert "It is not fetched yet." in render_cached(text, project).html
    Image.objects.filter(pk=image.pk).update(status="failed", error="10.0.0.7 is not a public address")
    html = render_cached(text, project).html
    assert "It could not be fetched." in html
    assert "10.0.0.7" not in html
    make = make_image(make_project("third"))
    Image.objects.filter(pk=image.pk).update(status="ready", artifact=make.artifact, width=5, height=6)
    html = render_cached(text, project).html
    assert f'<img src="/p/chat/images/{image.pk}/" alt="a cat" width="5" height="6" loading="lazy">' in html
    assert "<img" not in render_cached(text, other).html
    assert "<img" not in render_cached(text).html


@pytest.mark.django_db
def test_only_members_see_an_image_and_it_can_do_nothing() -> None:
    project = make_project("chat")
    image = make_image(project)
    url = reverse("image", args=["chat", image.pk])
    assert Client().get(url).status_code == 302
    assert signed_in(make_user()).get(url).status_code == 404
    for role in Role.values:
        client = signed_in(make_member(project, role))
        response = client.get(url)
        assert (response.status_code, response.getvalue()) == (200, PIXEL)  # type: ignore[attr-defined]
        assert {name: response[name] for name in ("Content-Type", "Content-Disposition", "X-Content-Type-Options")} == {
            "Content-Type": "image/png", "Content-Disposition": "inline", "X-Content-Type-Options": "nosniff",
        }  # fmt: skip
        policy = response["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert policy.endswith("; sandbox")
        assert response["Cache-Control"] == "private, max-age=31536000, immutable"
        assert client.get(url, headers={"If-None-Match": response["ETag"]}).status_code == 304
    assert client.get(reverse("image", args=["chat", image.pk + 1])).status_code == 404
    waiting = make_image(project, "https://a.example/w.png", status="waiting", artifact=None)
    assert client.get(reverse("image", args=["chat", waiting.pk])).status_code == 404
    other = make_image(make_project("other"))
    assert client.get(reverse("image", args=["chat", other.pk])).status_code == 404


@pytest.mark.django_db
def test_a_curator_sees_how_images_stand_and_sends_some() -> None:
    project = make_project("chat")
    client = signed_in(make_member(project, Role.CURATOR))
    assert "No images yet" in client.get("/p/chat/images/").content.decode()
    make_image(project, "https://a.example/x.png", status="failed", artifact=None, error="The host answered 404.")
    page = client.get("/p/chat/images/?status=failed").content.decode()
    assert "The host answered 404." in page
    assert "None in this state." in client.get("/p/chat/images/?status=waiting").content.decode()
    two = [SimpleUploadedFile("a.png", PIXEL), SimpleUploadedFile("b.gif", encoded(RED, "GIF"))]
    page = client.post("/p/chat/images/", {"image": two}, follow=True).content.decode()
    assert "2 images are kept." in page
    assert page.count("![](upload:") == 2
    two = [SimpleUploadedFile("c.png", encoded(RED)), SimpleUploadedFile("bad.png", POLYGLOT)]
    refused = client.post("/p/chat/images/", {"image": two})
    assert refused.status_code == 422
    assert "bad.png: The image is not taken: it is no PNG, JPEG, WebP or GIF image. 1 image before it is kept." in (
        refused.content.decode()
    )
    assert client.post("/p/chat/images/").status_code == 422
    assert client.post("/p/chat/images/fetch/", follow=True).status_code == 200
    assert Run.objects.filter(kind="fetch-images", params={"everywhere": True}).count() == 1


@pytest.mark.django_db
def test_a_script_sends_an_image_as_the_body() -> None:
    project = make_project("chat")
    bearer = {"Authorization": f"Bearer {make_token(make_member(project, Role.CURATOR), 'import')}"}
    client = Client()

    def post(data: bytes, content_type: str = "image/png") -> Any:
        return client.post("/api/v1/projects/chat/images/", data, content_type=content_type, headers=bearer)

    told = post(PIXEL).json()
    assert (told["status"], told["markdown"]) == ("ready", f"![]({told['source']})")
    assert told["url"] == f"/p/chat/images/{told['id']}/"
    assert post(PIXEL).json()["id"] == told["id"]
    assert post(POLYGLOT).status_code == 422
    assert post(b"").status_code == 422
    assert post(b"{}", "application/json").status_code == 415
    assert post(bytes(images.MOST_BYTES + 1)).status_code == 413
    listed = client.get("/api/v1/projects/chat/images/?status=ready", headers=bearer).json()
    assert [image["id"] for image in listed["results"]] == [told["id"]]


@pytest.mark.django_db
def test_a_lost_file_is_told_and_not_a_crash() -> None:
    project = make_project("chat")
    image = make_image(project)
    assert image.artifact is not None
    store.path_of(image.artifact.sha256).unlink()
    assert signed_in(make_member(project)).get(reverse("image", args=["chat", image.pk])).status_code == 404


@pytest.mark.django_db
def test_a_client_of_the_api_is_told_where_the_images_of_its_comparison_are() -> None:
    project = make_project("chat")
    image = make_image(project)
    text = "![a](https://a.example/b.png) ![b](https://a.example/lost.png)"
    make_comparison(project, a=text, prompt="q")
    make_comparison(project, a="plain", b="as plain")
    bearer = {"Authorization": f"Bearer {make_token(make_member(project), 'annotate')}"}
    client = Client()
    found: dict[bool, Any] = {}
    for _ in range(2):
        told = client.post(f"{API}next/", {}, headers=bearer, content_type="application/json").json()
        found["!" in told["left"] + told["right"]] = told["images"]
        skip = {"reason": "later"}
        client.post(f"/api/v1/assignments/{told['id']}/skip/", skip, headers=bearer, content_type="application/json")
    url = f"{API}images/{image.pk}/"
    assert found == {False: {}, True: {"https://a.example/b.png": url, "https://a.example/lost.png": None}}
    response: Any = client.get(url, headers=bearer)
    assert (response.status_code, response["Content-Type"], response.getvalue()) == (200, "image/png", PIXEL)
    stranger = {"Authorization": f"Bearer {make_token(make_user(), 'annotate')}"}
    assert client.get(url, headers=stranger).status_code == 404
