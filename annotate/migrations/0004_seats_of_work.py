"""Only work takes a seat, from the moment it is fetched ahead; and a comparison's row has room to be updated in place."""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION annotate_count_seats() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before int := 0;
    after int := 0;
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.purpose = 'work' AND OLD.status IN ('ahead', 'leased', 'submitted') THEN
        before := 1;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.purpose = 'work' AND NEW.status IN ('ahead', 'leased', 'submitted') THEN
        after := 1;
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.comparison_id, NEW.purpose) IS DISTINCT FROM (OLD.comparison_id, OLD.purpose) THEN
        RAISE EXCEPTION 'an assignment cannot move to another comparison or purpose'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF after <> before THEN
        UPDATE annotate_comparison SET seats_taken = seats_taken + after - before
        WHERE id = COALESCE(NEW.comparison_id, OLD.comparison_id);
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER assignment_seats ON annotate_assignment;
CREATE TRIGGER assignment_seats AFTER INSERT OR UPDATE OF status, comparison_id, purpose OR DELETE
    ON annotate_assignment FOR EACH ROW EXECUTE FUNCTION annotate_count_seats();
ALTER TABLE annotate_comparison SET (fillfactor = 85);
ALTER TABLE annotate_assignment SET (fillfactor = 85);
UPDATE annotate_rater AS r SET served = s.served, shown_ab = s.shown_ab FROM (
    SELECT rater_id, count(*) AS served, count(*) FILTER (WHERE "order" = 'ab') AS shown_ab
    FROM annotate_assignment WHERE form_id IS NOT NULL GROUP BY rater_id
) AS s WHERE s.rater_id = r.id;
"""
# As 0002 has them, which knows neither of purposes nor of what is ahead: that goes back to the queue, its draft kept.
BACKWARD = """
UPDATE annotate_assignment SET status = 'released', expires_at = NULL, closed_at = now() WHERE status = 'ahead';
CREATE OR REPLACE FUNCTION annotate_count_seats() RETURNS trigger LANGUAGE plpgsql AS $$
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
DROP TRIGGER assignment_seats ON annotate_assignment;
CREATE TRIGGER assignment_seats AFTER INSERT OR UPDATE OF status, comparison_id OR DELETE ON annotate_assignment
    FOR EACH ROW EXECUTE FUNCTION annotate_count_seats();
ALTER TABLE annotate_comparison RESET (fillfactor);
ALTER TABLE annotate_assignment RESET (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("annotate", "0003_collecting")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
