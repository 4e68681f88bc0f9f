"""REST for images: send one, and see how those stand that texts name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tiebreak.accounts.models import Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.negotiation import TakeIt
from tiebreak.api.permissions import Scoped, project_for, visible_projects
from tiebreak.core.errors import Invalid, TooLarge

from .models import Image
from .serializers import StrictSerializer
from .services import images
from .views.images import pixels

TAKEN: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")


class ImageParser(BaseParser):
    """The bytes of one image."""

    media_type = "image/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        data = stream.read(images.MOST_BYTES + 1)
        if len(data) > images.MOST_BYTES:
            raise TooLarge(f"At most {images.MOST_BYTES:,} bytes of one image.")
        return data


class ImageOut(serializers.ModelSerializer[Image]):
    """`markdown` is what a text says to show it."""

    status = serializers.CharField(help_text=", ".join(Image.Status.values))
    markdown = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = Image
        fields = ["id", "source", "status", "markdown", "url", "media_type", "width", "height", "error", "created_at"]

    def get_markdown(self, image: Image) -> str:
        return images.markdown_of(image)

    def get_url(self, image: Image) -> str | None:
        """Where a signed-in browser sees it; null while it is not ready."""
        return images.address_of(image, image.project) if image.status == Image.Status.READY else None


class ImageFilter(StrictSerializer):
    status = serializers.ChoiceField(choices=Image.Status.choices, required=False)


class ImageList(Scoped, generics.ListAPIView[Image]):
    serializer_class = ImageOut
    parser_classes = [ImageParser]
    queryset = Image.objects.none()

    READ: ClassVar[tuple[str, ...]] = (Scope.CURATE, Scope.EXPORT, Scope.IMPORT)
    WRITE: ClassVar[tuple[str, ...]] = (Scope.CURATE, Scope.IMPORT)

    @property
    def scopes(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.WRITE if self.request.method == "POST" else self.READ

    def get_queryset(self) -> QuerySet[Image]:
        project = project_for(self.request, self.kwargs["slug"], Can.READ)
        asked = ImageFilter(data=self.request.query_params.dict())
        asked.is_valid(raise_exception=True)
        return Image.objects.filter(project=project, **asked.validated_data).select_related("project")

    @extend_schema(operation_id="images_list", parameters=[ImageFilter])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The images that texts of a project name, the newest first."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="images_upload",
        request=dict.fromkeys(TAKEN, OpenApiTypes.BINARY),
        responses={201: OpenApiResponse(ImageOut)},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Send one image as the body. The same bytes again are the same image: a request may be repeated as it is."""
        project = project_for(request, slug, Can.CURATE)
        if not isinstance(request.data, bytes) or not request.data:
            raise Invalid(f"The body is one image: {', '.join(TAKEN)}.", field="image")
        return Response(ImageOut(images.upload(project, request.data, by=request.user)).data, status=201)


class ImageFile(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.ANNOTATE, Scope.CURATE, Scope.EXPORT, Scope.IMPORT)
    content_negotiation_class = TakeIt

    @extend_schema(
        operation_id="images_retrieve", responses={(200, media_type): OpenApiTypes.BINARY for media_type in TAKEN[:3]}
    )
    def get(self, request: Request, slug: str, pk: int) -> HttpResponseBase:
        """The pixels of an image, for every member of its project."""
        project = get_object_or_404(visible_projects(request), slug=slug)
        ready = Image.objects.filter(project=project, status=Image.Status.READY).select_related("artifact")
        return pixels(request._request, get_object_or_404(ready, pk=pk))
