"""Audit events are append-only: the database refuses to change or delete one."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION tiebreak_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The one way round, for an operator who must erase: SET LOCAL tiebreak.erase = 'on'.
    IF current_setting('tiebreak.erase', true) = 'on' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    RAISE EXCEPTION '% is immutable: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE ON core_event
    FOR EACH ROW EXECUTE FUNCTION tiebreak_refuse_change();
"""
BACKWARD = """
DROP TRIGGER event_append_only ON core_event;
DROP FUNCTION tiebreak_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
