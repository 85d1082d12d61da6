"""Jobs that submit mail: the daily report, and one notification at planned times."""
