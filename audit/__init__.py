"""Who did what to which object, before and after, from where. Rows are added, never changed (a trigger sees to it)."""
