"""A version of a routing policy never changes what it does: the database refuses. Trust without gold has its reason."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION curation_refuse_policy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('tiebreak.erase', true) = 'on' THEN RETURN NEW; END IF;
    IF (NEW.project_id, NEW.name, NEW.version, NEW.kind, NEW.params, NEW.created_at)
            IS DISTINCT FROM (OLD.project_id, OLD.name, OLD.version, OLD.kind, OLD.params, OLD.created_at) THEN
        RAISE EXCEPTION 'a version of a routing policy is immutable: an edit is a new version'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER policy_immutable BEFORE UPDATE ON curation_routingpolicy
    FOR EACH ROW EXECUTE FUNCTION curation_refuse_policy();
"""
BACKWARD = """
DROP TRIGGER policy_immutable ON curation_routingpolicy;
DROP FUNCTION curation_refuse_policy();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("curation", "0005_live"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="routingsettings",
            name="trusted_because",
            field=models.CharField(
                blank=True,
                default="",
                help_text="why judges may settle comparisons that no gold vouches for",
                max_length=300,
            ),
        ),
        migrations.AddField(
            model_name="routingsettings",
            name="trusted_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="routingsettings",
            name="trusted_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddConstraint(
            model_name="routingsettings",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("trusted_at", None), models.Q(("trusted_because", ""), _negated=True), _connector="OR"
                ),
                name="routing_trust_has_reason",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
