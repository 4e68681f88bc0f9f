"""What answers under /api/ where no view does."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.views import APIView

from tiebreak.core.errors import NotFound


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
