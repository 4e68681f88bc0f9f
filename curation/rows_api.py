"""REST: a project's comparisons and judgements as import rows."""

from __future__ import annotations

import re
from typing import ClassVar

from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from tiebreak.accounts.models import Scope
from tiebreak.accounts.roles import Can
from tiebreak.api.negotiation import TakeIt
from tiebreak.api.permissions import Scoped, project_for
from tiebreak.api.queries import refuse_unknown
from tiebreak.api.throttles import streamed
from tiebreak.core.errors import Invalid, Stale
from tiebreak.core.models import record

from .api import etag_of
from .services import comparisons


class ProjectRowsView(Scoped, APIView):
    scopes: ClassVar[tuple[str, ...]] = (Scope.EXPORT, Scope.CURATE)
    content_negotiation_class = TakeIt

    @extend_schema(
        operation_id="project_rows",
        parameters=[OpenApiParameter("cursor", int, description="lines that you have already")],
        responses={(200, "application/x-ndjson"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Everything that raters say now, in the layout of an import, streamed. Imported again it changes nothing.

        `If-Match` beside a `cursor`, with the ETag of the first answer, makes sure that no line before it has gone.
        """
        project = project_for(request, slug, Can.READ)
        refuse_unknown(request, "cursor")
        cursor = request.query_params.get("cursor", "0")
        if not re.fullmatch("[0-9]{1,9}", cursor):
            raise Invalid(f"cursor: expected a number of lines, got {cursor[:60]!r}.", field="cursor")
        etag = etag_of(f"{project.pk} {comparisons.left_behind(project)}".encode())
        if (expected := request.headers.get("If-Match", "*")) not in ("*", etag):
            raise Stale("Comparisons were withdrawn since: begin again.", code="rows_changed", expected=expected)
        rows = comparisons.found(project).count()
        body = streamed(request, comparisons.lines(project, skip=int(cursor)))
        record("project.exported", project, by=request.user, project=project, rows=rows)
        headers = {"ETag": etag, "X-Tiebreak-Rows": str(rows), "X-Accel-Buffering": "no"}
        return StreamingHttpResponse(body, content_type="application/x-ndjson", headers=headers)
