"""Rows of a version are inserted by the hundred thousand: whether their version is ready is asked once a statement."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION curation_refuse_ready_inserts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('tiebreak.erase', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF EXISTS (
        SELECT FROM (
            SELECT status FROM curation_datasetversion WHERE id IN (SELECT DISTINCT version_id FROM inserted)
            ORDER BY id FOR SHARE
        ) AS version WHERE status = 'ready')
    THEN
        RAISE EXCEPTION 'this dataset version is ready and immutable: % of % refused', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER row_immutable ON curation_datasetrow;
CREATE TRIGGER row_immutable BEFORE UPDATE OR DELETE ON curation_datasetrow
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_ready();
CREATE TRIGGER row_insert_immutable AFTER INSERT ON curation_datasetrow
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION curation_refuse_ready_inserts();
DROP TRIGGER dropped_immutable ON curation_droppedrow;
CREATE TRIGGER dropped_immutable BEFORE UPDATE OR DELETE ON curation_droppedrow
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_ready();
CREATE TRIGGER dropped_insert_immutable AFTER INSERT ON curation_droppedrow
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION curation_refuse_ready_inserts();
"""
BACKWARD = """
DROP TRIGGER dropped_insert_immutable ON curation_droppedrow;
DROP TRIGGER dropped_immutable ON curation_droppedrow;
CREATE TRIGGER dropped_immutable BEFORE INSERT OR UPDATE OR DELETE ON curation_droppedrow
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_ready();
DROP TRIGGER row_insert_immutable ON curation_datasetrow;
DROP TRIGGER row_immutable ON curation_datasetrow;
CREATE TRIGGER row_immutable BEFORE INSERT OR UPDATE OR DELETE ON curation_datasetrow
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_ready();
DROP FUNCTION curation_refuse_ready_inserts();
"""


class Migration(migrations.Migration):
    dependencies = [("curation", "0014_compared")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
