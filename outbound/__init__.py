"""The one way out: every call that Opsite makes to an address that somebody else chose. No Django."""
