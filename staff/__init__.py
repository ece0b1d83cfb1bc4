"""Who works in the console, and what everybody's pages are built on: roles, sign-in, lists."""
