"""Lists are paged by cursor: stable while rows are added, as fast on the last page as on the first."""

from rest_framework.pagination import CursorPagination


class ById(CursorPagination):
    ordering = "-id"
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000
