"""The codes of single faults in a request: what each means, and what to do."""

FAULTS = {
    "asset_rejected": (
        "An image has a bad name, base64 or size.",
        "`detail` says what is wrong; 10 MiB is the maximum.",
    ),
    "attachment_rejected": (
        "An attachment has a bad name, base64, type or size.",
        "`detail` says what is wrong; 10 MiB is the maximum.",
    ),
    "duplicate_recipient": ("This address is a recipient already.", "Name each address once in to, cc and bcc."),
    "from_not_allowed": (
        "The service may not send from this address.",
        "Use one of its domains, or ask the operator to add yours.",
    ),
    "headers_needed": (
        "The header fields of the feed would go to another host.",
        "Send them again in `headers`, or `{}` to have none.",
    ),
    "header_not_allowed": (
        "This header cannot be set.",
        "Leave it out, or ask for an `X-…` name in `NOTIFIER_API__ALLOWED_HEADERS`.",
    ),
    "invalid_address": ("This is not exactly one e-mail address.", "Send one bare address, such as ada@example.com."),
    "invalid_header_value": (
        "The value is not allowed in a mail header.",
        "Send one line of at most 900 characters; `List-Unsubscribe-Post` together with `List-Unsubscribe`.",
    ),
    "invalid_link": (
        "The template uses this variable as a link or an image, but its value is not a valid one.",
        "Send an absolute URL with one of the schemes that `detail` names.",
    ),
    "invalid_locale": ("This is not a language tag.", "Send a tag such as en or fr-CA (BCP 47)."),
    "invalid_parameter": ("A query parameter is invalid or unknown.", "`errors` says which, and what is allowed."),
    "invalid_row_key": ("This cannot be the name of a column.", "`detail` says what is allowed."),
    "invalid_schema": ("This is not a JSON Schema that can be used.", "`detail` says why."),
    "invalid_type": ("The value has the wrong type or form.", "Send what the documentation says for this field."),
    "invalid_url": ("This URL cannot be called.", "Send an https URL of a public host."),
    "missing_body": ("The body is empty.", "Send a JSON object."),
    "missing_field": ("A required field is missing.", "Send it."),
    "missing_variable": ("The template needs this variable.", "Send it in `variables`."),
    "naive_time": ("The time has no offset.", "Send a time such as 2026-01-31T12:00:00Z or …+01:00."),
    "needs_template": (
        "This field needs a template, but the mail has `content`, which is sent as it is.",
        "Leave it out, or use a template.",
    ),
    "not_yours_to_say": ("Callers cannot give this reason; it comes from a relay's reply.", "Use another reason."),
    "out_of_range": ("The number is too small or too large.", "`detail` says which numbers are allowed."),
    "recipient_not_allowed": (
        "This instance, or this key, may not mail that address.",
        "`detail` names the setting; ask the operator.",
    ),
    "smtputf8_not_supported": ("The part before the @ is not ASCII.", "Send another address of that person."),
    "template_failed": (
        "The template cannot be rendered with these variables.",
        "Correct the variables or the template.",
    ),
    "template_blocked": (
        "The template can be rendered, but may not be sent.",
        "Do what `detail` says, and publish again.",
    ),
    "template_forbidden": (
        "The template does something that templates may not do.",
        "`detail` says what; remove it.",
    ),
    "template_too_large": ("The template, or its mail, is too large.", "Shorten it; `detail` says what."),
    "template_too_slow": ("Rendering the template takes too long or too much memory.", "Use fewer and smaller loops."),
    "files_or_parts": ("There are both files and parts.", "Send one of them."),
    "invalid_setting": ("A setting or the sample is invalid.", "`detail` says what is allowed."),
    "invalid_slug": ("This is not a valid name of a template or layout.", "Use lower-case letters, digits, - and _."),
    "unknown_file": ("A template cannot have such a file.", "`detail` lists the files that it can have."),
    "template_or_content": ("There are both a template and content.", "Send one of them."),
    "time_out_of_range": ("The time is too early or too late.", "`detail` says which times are possible."),
    "too_large": (
        "It is too large.",
        "Send at most 512 KiB for a notification without its attachments, and 256 KiB of variables.",
    ),
    "too_long": ("The text is too long.", "Shorten it; `detail` says how long it may be."),
    "too_many": ("There are too many of these.", "`detail` says how many there may be."),
    "unknown_event_type": ("There is no such event type.", "`detail` lists the event types."),
    "not_both": ("Only one of these can be sent.", "Leave one of them out."),
    "unknown_feed": ("There is no such feed with a document.", "Correct the name, or fetch the feed first."),
    "unknown_field": ("There is no such field.", "Leave it out, or correct its name."),
    "unknown_template": ("There is no such template.", "Correct the slug, or publish the template first."),
    "unknown_template_version": ("The template has no such version.", "Name another, or leave it out."),
    "unknown_variable": ("The template has no such variable.", "Leave it out, or correct its name."),
    "wrong_variable_type": ("The variable has the wrong type or form.", "Send what `detail` asks for."),
    "wrong_variable_value": (
        "The template uses the variable as a date, an amount or a style, but its value is not one.",
        "Send what `detail` asks for.",
    ),
}
