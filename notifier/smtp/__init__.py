"""Sending a finished mail to a relay. The only importer of aiosmtplib; its types stop at this package's edge."""
