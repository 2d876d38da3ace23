from django.db import migrations

# What a rating says must not change after somebody has read it: another look at the work is another rating.
GUARD = """
CREATE FUNCTION evaluations_guard_evaluation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(NEW) - 'released_at' IS DISTINCT FROM to_jsonb(OLD) - 'released_at' THEN
        RAISE EXCEPTION 'rating % is never changed, only released', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER evaluations_guard_evaluation BEFORE UPDATE ON evaluations_evaluation
    FOR EACH ROW EXECUTE FUNCTION evaluations_guard_evaluation();
"""
UNGUARD = """
DROP TRIGGER evaluations_guard_evaluation ON evaluations_evaluation;
DROP FUNCTION evaluations_guard_evaluation();
"""


class Migration(migrations.Migration):

    dependencies = [
        ("evaluations", "0006_levels_go"),
    ]

    operations = [
        migrations.RunSQL(GUARD, UNGUARD),
    ]
