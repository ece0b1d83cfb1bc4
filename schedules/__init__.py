"""Tasks on a schedule: by cron expression and time zone, each firing once, whoever is killed."""
