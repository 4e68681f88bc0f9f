"""pgvector is part of what we stand on: without it the migration stops and says what to install."""

from typing import Any

from django.core.management.base import CommandError
from django.db import migrations

HOW = (
    "PostgreSQL has no pgvector. Install it for your server (Debian and Ubuntu: apt-get install postgresql-NN-pgvector with NN "
    "your server's version; Docker: use the image pgvector/pgvector; managed servers: enable the extension `vector`), "
    "then run `manage.py migrate` again. Without DATABASE_URL the embedded PostgreSQL, which has it, is used."
)


def create(apps: Any, editor: Any) -> None:
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")
        if not cursor.fetchone()[0]:
            raise CommandError(HOW)
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")


class Migration(migrations.Migration):
    dependencies = [("core", "0002_append_only")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
