"""What every answer needs of the database, as one call each, with plans that the connection keeps.

`annotate_shown` reads an assignment with all that is shown of it, `annotate_count` counts in the rater's session, and
`annotate_submit` takes an answer: the fence, what was fetched ahead, the session, the judgement and its event. A call
is one statement, and so one transaction where no other is open.
"""

from django.db import migrations

FORWARD = """
-- Rows as JSON by their tables' columns, so that a new column needs no new function. Texts only where they are wanted.
CREATE FUNCTION annotate_shown(_assignment bigint, _texts boolean) RETURNS json LANGUAGE plpgsql STABLE AS $$
DECLARE shown json;
BEGIN
    SELECT json_build_object(
        'assignment', to_json(a), 'rater', to_json(r), 'project', to_json(p), 'comparison', to_json(c),
        'form', CASE WHEN f.id IS NOT NULL THEN to_json(f) END,
        'rubric', CASE WHEN u.id IS NOT NULL THEN to_json(u) END,
        'role', (SELECT m.role FROM accounts_membership m WHERE m.project_id = r.project_id AND m.user_id = r.user_id)
    ) INTO shown
    FROM annotate_assignment a
    JOIN annotate_rater r ON r.id = a.rater_id
    JOIN accounts_project p ON p.id = r.project_id
    JOIN annotate_comparison c ON c.id = a.comparison_id
    LEFT JOIN annotate_form f ON f.id = a.form_id
    LEFT JOIN annotate_rubric u ON u.id = f.rubric_id
    WHERE a.id = _assignment;
    IF shown IS NULL OR NOT _texts THEN
        RETURN shown;
    END IF;
    RETURN json_build_array(shown, (
        SELECT json_build_object(
            'prompt', to_json(q),
            'completion_a', json_build_object(
                'id', x.id, 'prompt_id', x.prompt_id, 'is_text', x.is_text, 'text', x.text, 'generator', x.generator),
            'completion_b', json_build_object(
                'id', y.id, 'prompt_id', y.prompt_id, 'is_text', y.is_text, 'text', y.text, 'generator', y.generator)
        )
        FROM annotate_assignment a
        JOIN annotate_comparison c ON c.id = a.comparison_id
        JOIN annotate_prompt q ON q.id = c.prompt_id
        JOIN annotate_completion x ON x.id = c.completion_a_id
        JOIN annotate_completion y ON y.id = c.completion_b_id
        WHERE a.id = _assignment
    ));
END $$;

-- Counts in the session that goes on, or begins one that began when its work was leased; two at once begin one.
CREATE FUNCTION annotate_count(
    _rater bigint, _now timestamptz, _since timestamptz, _day timestamptz, _began timestamptz,
    _judged int, _skipped int, _seconds float8
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE annotate_session SET judged = judged + _judged, skipped = skipped + _skipped, seconds = seconds + _seconds,
        last_at = GREATEST(last_at, _now)
    WHERE rater_id = _rater AND ended_at IS NULL AND last_at > _since AND started_at >= _day;
    IF NOT FOUND THEN
        UPDATE annotate_session SET ended_at = last_at
        WHERE rater_id = _rater AND ended_at IS NULL AND (last_at <= _since OR started_at < _day);
        INSERT INTO annotate_session (rater_id, started_at, last_at, judged, skipped, seconds)
        VALUES (_rater, LEAST(GREATEST(_began, _day, _since), _now), _now, _judged, _skipped, _seconds)
        ON CONFLICT (rater_id) WHERE ended_at IS NULL DO UPDATE SET
            judged = annotate_session.judged + EXCLUDED.judged, skipped = annotate_session.skipped + EXCLUDED.skipped,
            seconds = annotate_session.seconds + EXCLUDED.seconds,
            last_at = GREATEST(annotate_session.last_at, EXCLUDED.last_at);
    END IF;
END $$;

-- Leased to submitted, with all that follows; the judgement's id, or 0 where the assignment is no longer leased. What
-- is ahead is looked at only once the fence stands, so that two are never leased at once.
CREATE FUNCTION annotate_submit(
    _assignment bigint, _now timestamptz, _until timestamptz, _since timestamptz, _day timestamptz, _seconds float8,
    _judgement jsonb, _actor bigint, _told jsonb
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    held annotate_assignment;
    made bigint;
BEGIN
    UPDATE annotate_assignment SET status = 'submitted', expires_at = NULL, closed_at = _now, draft = '{}'
    WHERE id = _assignment AND status = 'leased' RETURNING * INTO held;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    UPDATE annotate_assignment a SET status = 'leased', expires_at = _until FROM annotate_comparison c
    WHERE a.rater_id = held.rater_id AND a.status = 'ahead' AND c.id = a.comparison_id
        AND (c.status = 'open' OR a.purpose <> 'work' AND c.status <> 'withdrawn');
    PERFORM annotate_count(held.rater_id, _now, _since, _day, held.created_at, 1, 0, _seconds);
    made := nextval(pg_get_serial_sequence('annotate_judgement', 'id'));
    INSERT INTO annotate_judgement
    SELECT j.* FROM jsonb_populate_record(NULL::annotate_judgement, _judgement || jsonb_build_object('id', made)) j;
    INSERT INTO core_event (verb, project_id, actor_id, target_type, target_id, data)
    SELECT 'judgement.submitted', r.project_id, _actor, 'annotate.judgement', made::text, _told
    FROM annotate_rater r WHERE r.id = held.rater_id;
    RETURN made;
END $$;
"""
BACKWARD = """
DROP FUNCTION annotate_submit(
    bigint, timestamptz, timestamptz, timestamptz, timestamptz, float8, jsonb, bigint, jsonb);
DROP FUNCTION annotate_count(bigint, timestamptz, timestamptz, timestamptz, timestamptz, int, int, float8);
DROP FUNCTION annotate_shown(bigint, boolean);
"""


class Migration(migrations.Migration):
    dependencies = [("annotate", "0005_claiming"), ("core", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
