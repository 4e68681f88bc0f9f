"""Who a token is, and what answers under /api/ where no view does."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tiebreak.accounts.models import ApiToken, Scope
from tiebreak.core.errors import NotFound

from .permissions import Scoped


class TokenOut(serializers.Serializer[dict[str, Any]]):
    user = serializers.CharField()
    name = serializers.CharField(help_text="as it was called when it was made")
    scopes = serializers.ListField(child=serializers.CharField())
    project = serializers.CharField(allow_null=True, help_text="slug; null: all of the user's projects")
    expires_at = serializers.DateTimeField()


class TokenView(Scoped, APIView):
    """Whoever holds a token may ask what it is: never the token itself, and never of another."""

    scopes: ClassVar[tuple[str, ...]] = tuple(Scope.values)

    @extend_schema(operation_id="token", responses=TokenOut)
    def get(self, request: Request) -> Response:
        token = request.auth
        if not isinstance(token, ApiToken):
            raise NotFound("You are signed in by a session; it has no token.", code="no_token")
        told = {
            "user": token.user.username,
            "name": token.name,
            "scopes": token.scopes,
            "project": token.project.slug if token.project else None,
            "expires_at": token.expires_at,
        }
        return Response(TokenOut(told).data)


class NoSuchAddress(APIView):
    """404 as a problem, by any method and for anyone: an address that does not exist hides nothing."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = []
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound(
            f"There is nothing at {request.path}; addresses that are no files end with a slash.", code="no_address"
        )
