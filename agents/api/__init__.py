"""The REST resources where comfort counts more than microseconds (Django REST framework)."""
