"""The seats of a comparison are counted by the database itself.

Leased and submitted assignments take a seat. Whoever inserts or moves one, the count moves in the same statement, and the
CHECK `comparison_overlap` refuses one too many.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION annotate_count_seats() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before int := 0;
    after int := 0;
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.status IN ('leased', 'submitted') THEN before := 1; END IF;
    IF TG_OP <> 'DELETE' AND NEW.status IN ('leased', 'submitted') THEN after := 1; END IF;
    IF TG_OP = 'UPDATE' AND NEW.comparison_id <> OLD.comparison_id THEN
        RAISE EXCEPTION 'an assignment cannot move to another comparison' USING ERRCODE = 'restrict_violation';
    END IF;
    IF after <> before THEN
        UPDATE annotate_comparison SET seats_taken = seats_taken + after - before
        WHERE id = COALESCE(NEW.comparison_id, OLD.comparison_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER assignment_seats AFTER INSERT OR UPDATE OF status, comparison_id OR DELETE ON annotate_assignment
    FOR EACH ROW EXECUTE FUNCTION annotate_count_seats();
"""
BACKWARD = """
DROP TRIGGER assignment_seats ON annotate_assignment;
DROP FUNCTION annotate_count_seats();
"""


class Migration(migrations.Migration):
    dependencies = [("annotate", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
