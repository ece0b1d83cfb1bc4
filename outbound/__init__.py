"""The one way out: every call that Opsite makes to an address that somebody else chose. No Django.

Such a call could reach what only Opsite can see: its own Redis, a cloud's metadata service, an office network ("server-side request
forgery", CWE-918). So a name is resolved here, every address that it has is checked, and the connection goes to the very address
that was checked; each redirect is a call of its own.
"""
