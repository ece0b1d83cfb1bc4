"""The console's own pages, by names that people can type; the admin's lists and forms come behind them."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from console.playground.urls import urlpatterns as playground
from console.pools.urls import urlpatterns as pools
from console.search import palette
from console.tasks import views as tasks
from console.tenants.home import home
from console.tenants.urls import urlpatterns as tenants
from console.workers.urls import urlpatterns as workers

app_name = "console"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", home, name="home"),
    path("search/", palette, name="search"),  # in the place of the theme's, `admin:search`
    *pools,
    path("workers/", include(workers)),
    path("tasks/<uuid:task_id>/", tasks.task, name="task"),
    path("tasks/<uuid:task_id>/curl/", tasks.curl, name="task_curl"),
    path("tasks/<uuid:task_id>/cancel/", tasks.cancel, name="task_cancel"),
    path("tasks/<uuid:task_id>/retry/", tasks.retry, name="task_retry"),
    path("playground/", include(playground)),
    path("tenants/", include(tenants)),
]
