"""The MIME document (RFC 5322, 2045): headers, attachments, inline images and styles, the text part."""
