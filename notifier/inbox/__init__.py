"""The development inbox: a real SMTP server whose mail is read on a web page or through MailHog's JSON API.

It takes every mail and shows it safely. Mail is kept in memory only, and is never delivered beyond loopback.
"""
