"""The MIME document of a mail: header fields, HTML with inlined styles, plain text, images and attachments."""
