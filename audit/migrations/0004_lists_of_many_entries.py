"""Each filter and search of the log has an index with the time behind it, built while entries are written.

If that is broken off, drop the index that Postgres calls invalid, and those that are there, and migrate again.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

BY = {
    "entry_by_time": (),
    "entry_by_actor_kind": ("actor_kind",),
    "entry_by_actor": ("actor",),
    "entry_by_action": ("action",),
    "entry_by_object_kind": ("object_kind",),
    "entry_by_object": ("object_id",),
    "entry_by_object_name": ("object_name",),
    "entry_by_tenant": ("tenant_id",),
}
BEFORE = ("audit_entry_object__197d3f_idx", "audit_entry_tenant__cb5375_idx", "audit_entry_actor_b17d6f_idx")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("audit", "0003_acts")]

    operations = [
        migrations.AlterModelOptions("entry", {"ordering": ["-at", "-id"], "verbose_name_plural": "entries"}),
        *(
            AddIndexConcurrently("entry", models.Index(fields=[*fields, "-at", "-id"], name=name))
            for name, fields in BY.items()
        ),
        AddIndexConcurrently(
            "entry", models.Index(fields=["act"], condition=models.Q(act__isnull=False), name="entry_by_act")
        ),
        *(RemoveIndexConcurrently("entry", name) for name in BEFORE),
    ]
