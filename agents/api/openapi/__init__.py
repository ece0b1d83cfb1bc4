"""The OpenAPI document, as far as it is not made of Django's views."""
