"""OpenAPI: every operation declares the problems that it may answer."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers


class Problem(serializers.Serializer[dict[str, Any]]):
    """RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()


class AutoSchema(SpectacularSchema):
    def get_response_serializers(self) -> Any:
        told = super().get_response_serializers()
        responses: dict[Any, Any] = (
            dict(told) if isinstance(told, dict) else {200 if self.method != "POST" else 201: told}
        )
        for code in (400, 401, 403, 404, 409, 422, 429):
            responses.setdefault(
                (str(code), "application/problem+json"), OpenApiResponse(Problem, description="problem")
            )
        return responses
