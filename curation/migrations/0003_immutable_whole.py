"""The refusal of 0002 had two gaps: a row could be moved into a ready version from one that is still building, and a
link to a run could be lost together with a change of the statistics."""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION curation_refuse_ready() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    frozen boolean;
BEGIN
    IF current_setting('tiebreak.erase', true) = 'on' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_TABLE_NAME = 'curation_datasetversion' THEN
        frozen := OLD.status = 'ready';
        -- Losing the link to a deleted run, fit or user is no change of the version.
        IF TG_OP = 'UPDATE' AND (to_jsonb(NEW) - 'run_id' - 'aggregation_id' - 'created_by_id')
                = (to_jsonb(OLD) - 'run_id' - 'aggregation_id' - 'created_by_id')
           AND (NEW.run_id IS NULL OR NEW.run_id = OLD.run_id)
           AND (NEW.aggregation_id IS NULL OR NEW.aggregation_id = OLD.aggregation_id)
           AND (NEW.created_by_id IS NULL OR NEW.created_by_id = OLD.created_by_id)
        THEN RETURN NEW; END IF;
    ELSE
        IF TG_OP <> 'INSERT' THEN
            SELECT status = 'ready' INTO frozen FROM curation_datasetversion WHERE id = OLD.version_id;
        END IF;
        IF TG_OP <> 'DELETE' AND frozen IS NOT TRUE THEN
            SELECT status = 'ready' INTO frozen FROM curation_datasetversion WHERE id = NEW.version_id;
        END IF;
    END IF;
    IF frozen THEN
        RAISE EXCEPTION 'this dataset version is ready and immutable: % of % refused', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("curation", "0002_immutable")]
    operations = [migrations.RunSQL(FORWARD, migrations.RunSQL.noop)]
