"""Images for templates: uploaded, made into what mail can show, pinned by versions."""
