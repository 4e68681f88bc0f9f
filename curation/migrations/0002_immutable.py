"""A dataset version that is ready, its rows and its files never change: the database refuses."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION curation_refuse_ready() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owner bigint;
    state text;
BEGIN
    IF current_setting('tiebreak.erase', true) = 'on' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_TABLE_NAME = 'curation_datasetversion' THEN
        state := OLD.status;
        -- Losing the link to a deleted run, fit or user is no change of the version.
        IF TG_OP = 'UPDATE' AND (NEW.run_id, NEW.aggregation_id, NEW.created_by_id)
                IS DISTINCT FROM (OLD.run_id, OLD.aggregation_id, OLD.created_by_id)
           AND (NEW.dataset_id, NEW.number, NEW.status, NEW.recipe, NEW.rows_sha256, NEW.counts, NEW.dropped, NEW.card)
                IS NOT DISTINCT FROM
               (OLD.dataset_id, OLD.number, OLD.status, OLD.recipe, OLD.rows_sha256, OLD.counts, OLD.dropped, OLD.card)
        THEN RETURN NEW; END IF;
    ELSE
        IF TG_OP = 'INSERT' THEN owner := NEW.version_id; ELSE owner := OLD.version_id; END IF;
        SELECT status INTO state FROM curation_datasetversion WHERE id = owner;
    END IF;
    IF state = 'ready' THEN
        RAISE EXCEPTION 'this dataset version is ready and immutable: % of % refused', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER version_immutable BEFORE UPDATE OR DELETE ON curation_datasetversion
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_ready();
CREATE TRIGGER row_immutable BEFORE INSERT OR UPDATE OR DELETE ON curation_datasetrow
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_ready();
CREATE TRIGGER dropped_immutable BEFORE INSERT OR UPDATE OR DELETE ON curation_droppedrow
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_ready();
CREATE TRIGGER file_immutable BEFORE INSERT OR UPDATE OR DELETE ON curation_versionfile
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_ready();
"""
BACKWARD = """
DROP TRIGGER file_immutable ON curation_versionfile;
DROP TRIGGER dropped_immutable ON curation_droppedrow;
DROP TRIGGER row_immutable ON curation_datasetrow;
DROP TRIGGER version_immutable ON curation_datasetversion;
DROP FUNCTION curation_refuse_ready();
"""


class Migration(migrations.Migration):
    dependencies = [("curation", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
