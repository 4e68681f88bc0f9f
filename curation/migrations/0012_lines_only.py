"""The lines alone; what is written about versions, and what stands where rows were taken out, is never altered."""

from django.db import migrations, models

FORWARD = """
CREATE FUNCTION curation_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('tiebreak.erase', true) = 'on' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    -- Losing the link to a deleted user is no change.
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'by_id' = to_jsonb(OLD) - 'by_id' AND to_jsonb(NEW)->'by_id' = 'null' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'what stands in % is never altered: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER note_immutable BEFORE UPDATE OR DELETE ON curation_versionnote
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_change();
CREATE TRIGGER tombstone_immutable BEFORE UPDATE OR DELETE ON curation_tombstone
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_change();
CREATE TRIGGER contribution_immutable BEFORE INSERT OR UPDATE OR DELETE ON curation_versioncontribution
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_ready();
"""
BACKWARD = """
DROP TRIGGER contribution_immutable ON curation_versioncontribution;
DROP TRIGGER tombstone_immutable ON curation_tombstone;
DROP TRIGGER note_immutable ON curation_versionnote;
DROP FUNCTION curation_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("curation", "0011_lines")]
    operations = [
        migrations.RemoveField(
            model_name="datasetrow",
            name="row",
        ),
        migrations.AddConstraint(
            model_name="datasetrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("side__in", ["a", "b"]), ("verdict", "chosen")),
                    models.Q(("side", ""), ("verdict__in", ["tie", "both_bad"])),
                    _connector="OR",
                ),
                name="row_side_goes_with_verdict",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
