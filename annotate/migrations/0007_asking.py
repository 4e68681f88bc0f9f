"""Who asks for work, where, and what decides over it, in one call; and a claim shows what it has leased in its own."""

from django.db import migrations

FORWARD = """
-- A project by its slug as a user sees it: their role, their rater if there is one, and that rater's desk. NULL for who
-- is no member.
CREATE FUNCTION annotate_ask(_slug text, _user bigint, _now timestamptz, _day timestamptz) RETURNS json
LANGUAGE plpgsql STABLE AS $$
DECLARE asked json;
BEGIN
    SELECT json_build_object(
        'project', to_json(p), 'role', m.role, 'rater', CASE WHEN r.id IS NOT NULL THEN to_json(r) END,
        'desk', CASE WHEN r.id IS NOT NULL THEN annotate_desk(r.id, _now, _day) END
    ) INTO asked
    FROM accounts_project p
    JOIN accounts_membership m ON m.project_id = p.id AND m.user_id = _user
    LEFT JOIN annotate_rater r ON r.project_id = p.id AND r.user_id = _user
    WHERE p.slug = _slug;
    RETURN asked;
END $$;

-- Volatile, it sees what the claim in the same statement has inserted.
ALTER FUNCTION annotate_shown(bigint, boolean) VOLATILE;
"""
BACKWARD = """
ALTER FUNCTION annotate_shown(bigint, boolean) STABLE;
DROP FUNCTION annotate_ask(text, bigint, timestamptz, timestamptz);
"""


class Migration(migrations.Migration):
    dependencies = [("annotate", "0006_serving")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
