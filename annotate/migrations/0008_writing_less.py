"""Less is written for each answer and each imported row.

Foreign keys that begin another index have no index of their own. Seats are counted once for each statement that inserts
assignments and no longer for each row: an import with judgements spends a quarter of the time on them. One row is moved
or deleted at a time, and that is still counted so.
"""

import django.db.models.deletion
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION annotate_count_new_seats() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE annotate_comparison AS c SET seats_taken = c.seats_taken + taken.n FROM (
        SELECT made.comparison_id, count(*) AS n FROM made
        WHERE made.purpose = 'work' AND made.status IN ('ahead', 'leased', 'submitted') GROUP BY made.comparison_id
    ) AS taken WHERE c.id = taken.comparison_id;
    RETURN NULL;
END $$;
CREATE TRIGGER assignment_new_seats AFTER INSERT ON annotate_assignment REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION annotate_count_new_seats();
DROP TRIGGER assignment_seats ON annotate_assignment;
CREATE TRIGGER assignment_seats AFTER UPDATE OF status, comparison_id, purpose OR DELETE
    ON annotate_assignment FOR EACH ROW EXECUTE FUNCTION annotate_count_seats();
"""
BACKWARD = """
DROP TRIGGER assignment_new_seats ON annotate_assignment;
DROP FUNCTION annotate_count_new_seats();
DROP TRIGGER assignment_seats ON annotate_assignment;
CREATE TRIGGER assignment_seats AFTER INSERT OR UPDATE OF status, comparison_id, purpose OR DELETE
    ON annotate_assignment FOR EACH ROW EXECUTE FUNCTION annotate_count_seats();
"""
# Django's own names of them.
OWN_INDEXES = (
    ("annotate_assignment", "rater_id", "a571952a"),
    ("annotate_comparison", "project_id", "4a44adea"),
    ("annotate_completion", "prompt_id", "460e9726"),
    ("annotate_judgement", "comparison_id", "e1fde536"),
    ("annotate_judgement", "rater_id", "ebf524f7"),
    ("annotate_prompt", "project_id", "2b8d49c8"),
)


class Migration(migrations.Migration):
    dependencies = [
        ('accounts', '0002_collecting'),
        ('annotate', '0007_asking'),
    ]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        # Not left to AlterField: with a key's own index it would drop the partial unique indexes on the same column.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    f"DROP INDEX {table}_{column}_{digest}", f"CREATE INDEX {table}_{column}_{digest} ON {table} ({column})"
                )
                for table, column, digest in OWN_INDEXES
            ],
            state_operations=[
                migrations.AlterField(
                    model_name='assignment',
                    name='rater',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='assignments', to='annotate.rater'),
                ),
                migrations.AlterField(
                    model_name='comparison',
                    name='project',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='comparisons', to='accounts.project'),
                ),
                migrations.AlterField(
                    model_name='completion',
                    name='prompt',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='completions', to='annotate.prompt'),
                ),
                migrations.AlterField(
                    model_name='judgement',
                    name='comparison',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='judgements', to='annotate.comparison'),
                ),
                migrations.AlterField(
                    model_name='judgement',
                    name='rater',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='judgements', to='annotate.rater'),
                ),
                migrations.AlterField(
                    model_name='prompt',
                    name='project',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='prompts', to='accounts.project'),
                ),
            ],
        ),
    ]
