"""The operations room: the console's own pages, beside the lists and forms that each package registers with Django's admin."""
