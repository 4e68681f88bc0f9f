"""Immutable means every column, and rows of another version cannot move into a ready one.

Until now statistics, recipe hash and code version could change together with a link, and a row could be moved from a
version that is being built into one that is ready. A row that is written while its version becomes ready waits now.
"""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION curation_refuse_ready() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- Losing the link to a deleted run, fit or user is no change of the version.
    links text[] := ARRAY['run_id', 'aggregation_id', 'created_by_id'];
    refused boolean;
BEGIN
    IF current_setting('tiebreak.erase', true) = 'on' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_TABLE_NAME = 'curation_datasetversion' THEN
        refused := OLD.status = 'ready' AND (
            TG_OP = 'DELETE' OR to_jsonb(NEW) - links <> to_jsonb(OLD) - links
            OR COALESCE(NEW.run_id <> OLD.run_id, NEW.run_id IS NOT NULL)
            OR COALESCE(NEW.aggregation_id <> OLD.aggregation_id, NEW.aggregation_id IS NOT NULL)
            OR COALESCE(NEW.created_by_id <> OLD.created_by_id, NEW.created_by_id IS NOT NULL));
    ELSE
        refused := EXISTS (
            SELECT FROM (
                SELECT status FROM curation_datasetversion
                WHERE id IN (COALESCE(NEW.version_id, OLD.version_id), COALESCE(OLD.version_id, NEW.version_id))
                ORDER BY id FOR SHARE
            ) AS version WHERE status = 'ready');
    END IF;
    IF refused THEN
        RAISE EXCEPTION 'this dataset version is ready and immutable: % of % refused', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("curation", "0002_immutable")]
    operations = [migrations.RunSQL(FORWARD, migrations.RunSQL.noop)]
