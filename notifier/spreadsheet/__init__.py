"""Spreadsheets that people upload: CSV, XLSX and ODS, read in a child process with limits."""
