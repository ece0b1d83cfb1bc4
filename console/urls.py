"""The console's own pages, by names that people can type; the admin's lists and forms come behind them."""

from __future__ import annotations

from django.urls import URLPattern, path

from console.tasks import views as tasks

app_name = "console"
urlpatterns: list[URLPattern] = [
    path("tasks/<uuid:task_id>/", tasks.task, name="task"),
    path("tasks/<uuid:task_id>/curl/", tasks.curl, name="task-curl"),
    path("tasks/<uuid:task_id>/cancel/", tasks.cancel, name="task-cancel"),
    path("tasks/<uuid:task_id>/retry/", tasks.retry, name="task-retry"),
]
