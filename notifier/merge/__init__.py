"""Mail merge: each row of a spreadsheet becomes one notification, after a check of all rows."""
