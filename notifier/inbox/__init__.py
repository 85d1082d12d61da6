"""The development inbox: a real SMTP server whose mail is read on a web page or through MailHog's JSON API.

It promises to take every mail and to show it safely; mail lives in memory only.
It stands alone: it imports nothing from the rest of `notifier`, and it never delivers a mail to anyone beyond loopback.
"""
