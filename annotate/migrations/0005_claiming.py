"""A claim is one call: what a rater has before them is read by one function, and a comparison leased by another.

Both are plpgsql, whose plans are kept by the connection: a claim is a handful of index lookups, and planning them anew
each time would cost more than they do. What to look for, in which order and from where is decided by policies.py and
given as arguments; here is only the looking, the locking and the one INSERT.

Every lookup is bounded. A claim begins at a given point of a lane and reads at most `reach` comparisons from there;
where the rater has had them all it tries other points, and only then asks the whole queue for what they have not had.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION annotate_desk(_rater bigint, _now timestamptz, _day timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE desk jsonb;
BEGIN
    SELECT jsonb_build_object(
        'project', r.project_id, 'served', r.served, 'shown_ab', r.shown_ab,
        'paused', r.paused_at IS NOT NULL, 'paused_because', r.paused_because,
        'skills', r.skills, 'languages', r.languages, 'quota', r.daily_quota,
        'practised', r.practised_at IS NOT NULL, 'qualified', r.qualified_at IS NOT NULL,
        'form', (
            SELECT jsonb_build_object(
                'id', f.id, 'ordering', f.ordering, 'gold_rate', f.gold_rate, 'repeat_rate', f.repeat_rate,
                'session_quota', f.session_quota, 'daily_quota', f.daily_quota, 'practice_size', f.practice_size,
                'qualification_size', f.qualification_size, 'lease_seconds', f.lease_seconds
            ) FROM annotate_form f WHERE f.project_id = r.project_id AND f.current
        ),
        'held', (
            SELECT jsonb_object_agg(a.status, jsonb_build_object(
                'id', a.id, 'lapsed', a.expires_at <= _now, 'withdrawn', c.status = 'withdrawn',
                'wanted', c.status = 'open' OR a.purpose <> 'work' AND c.status <> 'withdrawn'
            )) FROM (  -- one for each of the two partial indexes: together they would read the rater's whole history
                SELECT * FROM annotate_assignment WHERE rater_id = r.id AND status = 'leased'
                UNION ALL SELECT * FROM annotate_assignment WHERE rater_id = r.id AND status = 'ahead'
            ) a JOIN annotate_comparison c ON c.id = a.comparison_id
        ),
        'session', (
            SELECT jsonb_build_object('id', s.id, 'judged', s.judged, 'seconds', s.seconds)
            FROM annotate_session s
            WHERE s.rater_id = r.id AND s.ended_at IS NULL AND s.last_at > _now - interval '30 minutes'
                AND s.started_at >= _day
        ),
        'today', (
            SELECT COALESCE(sum(s.judged), 0) FROM annotate_session s
            WHERE s.rater_id = r.id AND s.started_at >= _day
        ),
        'lanes', (
            SELECT jsonb_agg(jsonb_build_array(l.number, l.skills, l.language, l.stratum) ORDER BY l.number)
            FROM annotate_lane l WHERE l.project_id = r.project_id
        )
    ) INTO desk FROM annotate_rater r WHERE r.id = _rater;
    RETURN desk;
END $$;

-- The comparison nearest above a point that the rater has not had, over the lanes together; locked. The inner reads
-- are bounded and lazy: of `reach` comparisons of a lane they look no further than the second that suits, since each
-- that is looked at costs reads at random places. Each is locked by its key, and looked at again: what another claim
-- filled meanwhile is passed over.
CREATE FUNCTION annotate_near(
    _project bigint, _rater bigint, _lanes int[], _level int, _low float8, _high float8, _names text[],
    _no_gold boolean, _reach int
) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN annotate_first_free(ARRAY(
        SELECT near.id FROM unnest(_lanes) AS wanted(lane)
        CROSS JOIN LATERAL (
            SELECT q.id, q.shuffle FROM (
                SELECT n.id, n.shuffle, n.gold, n.completion_a_id, n.completion_b_id FROM annotate_comparison n
                WHERE n.project_id = _project AND n.lane = wanted.lane AND n.priority = _level
                    AND n.status = 'open' AND n.route = 'human' AND NOT n."full"
                    AND n.shuffle >= _low AND n.shuffle < _high
                ORDER BY n.shuffle LIMIT _reach
            ) q
            WHERE annotate_suits(_rater, q.id, q.gold, q.completion_a_id, q.completion_b_id, _names, _no_gold)
            LIMIT 2
        ) near
        ORDER BY near.shuffle LIMIT 16
    ));
END $$;

-- Locks the first of some comparisons that nobody has locked and that still wants somebody. The condition is a CASE, so
-- that no index but the primary key serves it, whatever the statistics say.
CREATE FUNCTION annotate_first_free(_candidates bigint[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    candidate bigint;
    found_id bigint;
BEGIN
    FOREACH candidate IN ARRAY _candidates LOOP
        SELECT c.id INTO found_id FROM annotate_comparison c
        WHERE c.id = candidate AND CASE WHEN c."full" THEN false ELSE c.status = 'open' AND c.route = 'human' END
        FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN found_id IS NOT NULL;
    END LOOP;
    RETURN found_id;
END $$;

-- Whether a rater may be given a comparison as work: never had, not practised upon, not their own text.
CREATE FUNCTION annotate_suits(
    _rater bigint, _comparison bigint, _gold smallint, _a bigint, _b bigint, _names text[], _no_gold boolean
) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT FROM annotate_assignment h WHERE h.rater_id = _rater AND h.comparison_id = _comparison
            AND h.status IN ('ahead', 'leased', 'submitted', 'skipped')
    ) AND (_gold IS NULL OR NOT _no_gold AND NOT EXISTS (
        SELECT FROM annotate_trial t WHERE t.rater_id = _rater AND t.comparison_id = _comparison
    )) AND NOT EXISTS (
        SELECT FROM annotate_completion w WHERE w.id IN (_a, _b) AND lower(w.generator) = ANY (_names)
    );
END $$;

-- Hidden gold: any that the rater never had, from a point onwards and round again.
CREATE FUNCTION annotate_hidden_gold(
    _project bigint, _rater bigint, _lanes int[], _start float8, _names text[], _reach int
) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    found_id bigint;
    top float8;
    low float8;
BEGIN
    SELECT c.shuffle INTO top FROM annotate_comparison c WHERE c.project_id = _project AND c.gold IS NOT NULL
    ORDER BY c.shuffle DESC LIMIT 1;
    FOREACH low IN ARRAY ARRAY[_start * top, 0] LOOP
        SELECT q.id INTO found_id FROM (
            SELECT n.id, n.lane, n.status, n.gold, n.completion_a_id, n.completion_b_id FROM annotate_comparison n
            WHERE n.project_id = _project AND n.gold IS NOT NULL AND n.shuffle >= low ORDER BY n.shuffle LIMIT _reach
        ) q
        WHERE q.status <> 'withdrawn' AND q.lane = ANY (_lanes)
            AND annotate_suits(_rater, q.id, q.gold, q.completion_a_id, q.completion_b_id, _names, false)
        LIMIT 1;
        EXIT WHEN found_id IS NOT NULL;
    END LOOP;
    RETURN found_id;
END $$;

-- Hidden repeat: one of the rater's own judgements, ten to fifty judgements old, that was not asked again.
CREATE FUNCTION annotate_hidden_repeat(_rater bigint, _start float8) RETURNS TABLE (again_id bigint, again_order text)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT j.comparison_id, CASE j."order" WHEN 'ab' THEN 'ba' ELSE 'ab' END FROM (
        SELECT o.comparison_id, o."order", o.assignment_id,
            row_number() OVER (ORDER BY o.submitted_at DESC, o.id DESC) AS n
        FROM (
            SELECT * FROM annotate_judgement WHERE rater_id = _rater AND repeat = 0 AND current
            ORDER BY submitted_at DESC LIMIT 50
        ) o
    ) j
    JOIN annotate_assignment a ON a.id = j.assignment_id AND a.purpose = 'work'
    JOIN annotate_comparison c ON c.id = j.comparison_id AND c.status <> 'withdrawn'
    WHERE j.n > 10 AND NOT EXISTS (
        SELECT FROM annotate_assignment h
        WHERE h.rater_id = _rater AND h.comparison_id = j.comparison_id AND h.repeat > 0
            AND h.status IN ('ahead', 'leased', 'submitted', 'skipped')
    )
    ORDER BY (j.n / 40.0 + _start) - floor(j.n / 40.0 + _start), j.n LIMIT 1;
END $$;

-- Leases a comparison: its id is the assignment's; 0 where there is none; -1 where the rater's row has moved on since
-- it was read (another tab), or a row was waited for in vain: read again and try again.
--
-- Locks the rater's row first, where a second tab waits and holds nothing; then one comparison, skipping what others
-- have locked. It waits for a comparison only where all that it could lease is locked, and holds no other then.
--
-- Gold that is to be hidden is no work, but for what somebody made urgent: that is to be judged in the open.
--
-- The settings leave the planner the indexes that stand in the order asked for, even where it knows nothing of a table
-- that was filled a moment ago: by its guesses a claim among 100,000 took ten seconds then.
CREATE FUNCTION annotate_claim(
    _rater bigint, _served int, _held_as text, _aims text[], _lanes int[], _turns int[], _start float8,
    _in_order boolean, _order text, _form bigint, _until timestamptz, _now timestamptz, _names text[], _no_gold boolean,
    _reach int
) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    project bigint;
    comparison bigint;
    aim text;
    as_purpose text := 'work';
    as_repeat int := 0;
    as_order text;
    as_draft jsonb := '{}';
    level int;
    turn int;
    tries int;
    point float8;
    together int[];
    candidates bigint[];
    ab int;
    ba int;
    made bigint;
BEGIN
    SELECT r.project_id INTO project FROM annotate_rater r
    WHERE r.id = _rater AND r.served = _served AND r.paused_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND
        OR _held_as = 'leased' AND EXISTS (
            SELECT FROM annotate_assignment a WHERE a.rater_id = _rater AND a.status = 'leased')
        OR _held_as = 'ahead' AND EXISTS (
            SELECT FROM annotate_assignment a WHERE a.rater_id = _rater AND a.status = 'ahead')
    THEN
        RETURN -1;
    END IF;

    FOREACH aim IN ARRAY _aims LOOP
        IF aim = 'gold' THEN
            comparison := annotate_hidden_gold(project, _rater, _lanes, _start, _names, _reach);
            as_purpose := 'gold';
        ELSIF aim = 'repeat' THEN
            SELECT again_id, again_order INTO comparison, as_order FROM annotate_hidden_repeat(_rater, _start);
            as_purpose := 'repeat';
        END IF;
        EXIT WHEN comparison IS NOT NULL;
    END LOOP;

    IF comparison IS NULL THEN
        as_purpose := 'work';
        point := _start;
        IF _in_order THEN  -- from where the rater is
            SELECT max(c.shuffle) INTO point FROM (
                SELECT j.comparison_id, j.assignment_id FROM annotate_judgement j
                WHERE j.rater_id = _rater ORDER BY j.submitted_at DESC LIMIT 10
            ) l
            JOIN annotate_assignment a ON a.id = l.assignment_id AND a.purpose = 'work'
            JOIN annotate_comparison c ON c.id = l.comparison_id AND c.priority = 0;
            point := COALESCE(point, 0);
        END IF;
        <<looking>>
        FOREACH level IN ARRAY ARRAY[2, 1, 0] LOOP
            CONTINUE WHEN NOT EXISTS (  -- by the queue's index, as the ORDER BY makes sure: a step for each lane
                SELECT FROM unnest(_lanes) AS wanted(lane) CROSS JOIN LATERAL (
                    SELECT FROM annotate_comparison c WHERE c.project_id = project AND c.lane = wanted.lane
                        AND c.priority = level AND c.status = 'open' AND c.route = 'human' AND NOT c."full"
                    ORDER BY c.shuffle LIMIT 1
                ) any_of_it
            );
            FOR turn IN 1 .. _turns[cardinality(_turns)] LOOP
                together := ARRAY(SELECT l.lane FROM unnest(_lanes, _turns) AS l(lane, turn_of) WHERE l.turn_of = turn);
                FOR tries IN 0 .. CASE WHEN _in_order THEN 0 ELSE 2 END LOOP
                    IF NOT _in_order THEN
                        point := (_start + tries * 0.618033988749895) - floor(_start + tries * 0.618033988749895);
                    END IF;
                    comparison := annotate_near(
                        project, _rater, together, level, point, 'infinity', _names, _no_gold AND level = 0, _reach);
                    EXIT looking WHEN comparison IS NOT NULL;
                    comparison := annotate_near(
                        project, _rater, together, level, 0, point, _names, _no_gold AND level = 0, _reach);
                    EXIT looking WHEN comparison IS NOT NULL;
                    EXIT WHEN NOT EXISTS (  -- where no more wait than one try reads, it has read them all
                        SELECT FROM unnest(together) AS wanted(lane) CROSS JOIN LATERAL (
                            SELECT FROM annotate_comparison c WHERE c.project_id = project AND c.lane = wanted.lane
                                AND c.priority = level AND c.status = 'open' AND c.route = 'human' AND NOT c."full"
                            ORDER BY c.shuffle LIMIT 1 OFFSET _reach
                        ) more
                    );
                END LOOP;
            END LOOP;
        END LOOP;
    END IF;

    IF comparison IS NULL THEN  -- nothing near: is there anything at all?
        candidates := ARRAY(
            SELECT q.id FROM (
                SELECT c.id, c.priority, c.shuffle, c.gold, c.completion_a_id, c.completion_b_id
                FROM annotate_comparison c
                WHERE c.project_id = project AND c.lane = ANY (_lanes)
                    AND c.status = 'open' AND c.route = 'human' AND NOT c."full"
                    AND NOT EXISTS (
                        SELECT FROM annotate_assignment h WHERE h.rater_id = _rater AND h.comparison_id = c.id
                            AND h.status IN ('ahead', 'leased', 'submitted', 'skipped')
                    )
                OFFSET 0  -- what the rater had is sorted out in one go, before the rest is asked one by one
            ) q
            WHERE annotate_suits(
                _rater, q.id, q.gold, q.completion_a_id, q.completion_b_id, _names, _no_gold AND q.priority = 0)
            ORDER BY q.priority DESC, q.shuffle LIMIT 16
        );
        comparison := annotate_first_free(candidates);
        IF comparison IS NULL AND cardinality(candidates) > 0 THEN
            SELECT c.id INTO comparison FROM annotate_comparison c
            WHERE c.id = candidates[1]
                AND CASE WHEN c."full" THEN false ELSE c.status = 'open' AND c.route = 'human' END
            FOR NO KEY UPDATE;
            IF comparison IS NULL THEN
                RETURN -1;
            END IF;
        END IF;
    END IF;
    IF comparison IS NULL THEN
        RETURN 0;
    END IF;

    IF as_purpose = 'repeat' THEN
        as_repeat := 1;
    ELSE
        -- Taken up again, a comparison stands as it was left: the draft is in terms of its screen.
        SELECT a."order", a.draft INTO as_order, as_draft FROM annotate_assignment a
        WHERE a.rater_id = _rater AND a.comparison_id = comparison AND a.repeat = 0
            AND a.status IN ('expired', 'released') AND a.draft <> '{}'
        ORDER BY a.id + 0 DESC LIMIT 1;  -- of a few: in the order of no index, or the primary key would be walked
        IF as_order IS NULL THEN
            as_draft := '{}';
            as_order := _order;
            IF as_purpose = 'work' THEN  -- the comparison is locked, so its own counts are exact
                SELECT count(*) FILTER (WHERE a."order" = 'ab'), count(*) FILTER (WHERE a."order" = 'ba') INTO ab, ba
                FROM annotate_assignment a WHERE a.comparison_id = comparison AND a.purpose = 'work'
                    AND a.status IN ('ahead', 'leased', 'submitted');
                as_order := CASE WHEN ab < ba THEN 'ab' WHEN ba < ab THEN 'ba' ELSE _order END;
            END IF;
        END IF;
    END IF;

    INSERT INTO annotate_assignment (
        comparison_id, rater_id, status, purpose, repeat, "order", form_id, expires_at, draft, skip_reason, created_at
    ) VALUES (
        comparison, _rater, _held_as, as_purpose, as_repeat, as_order, _form, _until, as_draft, '', _now
    ) RETURNING id INTO made;
    UPDATE annotate_rater SET served = served + 1, shown_ab = shown_ab + (as_order = 'ab')::int WHERE id = _rater;
    RETURN made;
END $$;

-- Every claim updates a rater in place; and a queue of millions is tidied long before a fifth of it is dead.
ALTER TABLE annotate_rater SET (fillfactor = 50);
ALTER TABLE annotate_session SET (fillfactor = 50);
ALTER TABLE annotate_comparison SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE annotate_assignment SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- What was judged before sessions were counted: one that has ended for each day. It comes last: its foreign
-- keys are checked at the end, and a table that still waits for that cannot be altered.
INSERT INTO annotate_session (rater_id, started_at, last_at, ended_at, judged, skipped, seconds)
SELECT j.rater_id, min(j.submitted_at), max(j.submitted_at), max(j.submitted_at), count(*), 0,
    COALESCE(sum(j.seconds), 0)
FROM annotate_judgement j JOIN annotate_rater r ON r.id = j.rater_id
WHERE r.user_id IS NOT NULL AND j.current AND j.form_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM annotate_session s WHERE s.rater_id = j.rater_id)
GROUP BY j.rater_id, date_trunc('day', j.submitted_at, 'UTC');
"""
BACKWARD = """
DROP FUNCTION annotate_claim(
    bigint, int, text, text[], int[], int[], float8, boolean, text, bigint, timestamptz, timestamptz, text[], boolean,
    int);
DROP FUNCTION annotate_hidden_repeat(bigint, float8);
DROP FUNCTION annotate_hidden_gold(bigint, bigint, int[], float8, text[], int);
DROP FUNCTION annotate_first_free(bigint[]);
DROP FUNCTION annotate_near(bigint, bigint, int[], int, float8, float8, text[], boolean, int);
DROP FUNCTION annotate_suits(bigint, bigint, smallint, bigint, bigint, text[], boolean);
DROP FUNCTION annotate_desk(bigint, timestamptz, timestamptz);
ALTER TABLE annotate_rater RESET (fillfactor);
ALTER TABLE annotate_session RESET (fillfactor);
ALTER TABLE annotate_comparison RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE annotate_assignment RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
"""


class Migration(migrations.Migration):
    dependencies = [("annotate", "0004_seats_of_work")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
