"""The codes of single faults in a request: what each means and what to do."""

from notifier.api.errors.catalogue_entry import make_fault

FAULT_ENTRIES = {
    "asset_rejected": make_fault(
        "An image has a bad name, base64 or size.", "`detail` says what is wrong; 10 MiB is the maximum."
    ),
    "attachment_rejected": make_fault(
        "An attachment has a bad name, base64, type or size.", "`detail` says what is wrong; 10 MiB is the maximum."
    ),
    "duplicate_recipient": make_fault(
        "This address is a recipient already.", "Name each address once in to, cc and bcc."
    ),
    "from_not_allowed": make_fault(
        "The service may not send from this address.", "Use one of its domains, or ask the operator to add yours."
    ),
    "header_not_allowed": make_fault(
        "This header cannot be set.",
        "Leave it out, or ask for an `X-…` name in `NOTIFIER_API__ALLOWED_HEADERS`.",
    ),
    "invalid_address": make_fault(
        "This is not exactly one e-mail address.", "Send one bare address, such as ada@example.com."
    ),
    "invalid_header_value": make_fault(
        "The value is not allowed in a mail header.",
        "Send one line of at most 900 characters; `List-Unsubscribe-Post` together with `List-Unsubscribe`.",
    ),
    "invalid_link": make_fault(
        "The template uses this variable as a link or an image, and it is not a valid one.",
        "Send an absolute URL with one of the schemes that `detail` names.",
    ),
    "invalid_locale": make_fault("This is not a language tag.", "Send a tag such as en or fr-CA (BCP 47)."),
    "invalid_parameter": make_fault(
        "A query parameter is invalid or unknown.", "`errors` says which, and what is allowed."
    ),
    "invalid_type": make_fault(
        "The value has the wrong type or form.", "Send what the documentation says for this field."
    ),
    "invalid_url": make_fault("This URL cannot be called.", "Send an https URL of a public host."),
    "missing_body": make_fault("The body is empty.", "Send a JSON object."),
    "missing_field": make_fault("A required field is missing.", "Send it."),
    "missing_variable": make_fault("The template needs this variable.", "Send it in `variables`."),
    "naive_time": make_fault("The time has no offset.", "Send a time such as 2026-01-31T12:00:00Z or …+01:00."),
    "needs_template": make_fault(
        "This needs a template; content is sent as it is.", "Leave it out, or use a template."
    ),
    "not_yours_to_say": make_fault("Only a relay can give this reason.", "Use another reason."),
    "recipient_not_allowed": make_fault(
        "This instance, or this key, may not mail that address.", "`detail` names the setting; ask the operator."
    ),
    "smtputf8_not_supported": make_fault("The part before the @ is not ASCII.", "Send another address of that person."),
    "template_failed": make_fault(
        "The template cannot be rendered with these variables.", "Correct the variables or the template."
    ),
    "template_blocked": make_fault(
        "The template can be rendered, but must not be sent.", "Do what `detail` says, and publish again."
    ),
    "template_forbidden": make_fault(
        "The template does something that templates may not do.", "Remove that; `detail` says what it is."
    ),
    "template_too_large": make_fault("The template, or its mail, is too large.", "Shorten it; `detail` says what."),
    "template_too_slow": make_fault(
        "Rendering the template takes too long or too much memory.", "Use fewer and smaller loops."
    ),
    "files_or_parts": make_fault("There are both files and parts.", "Send one of them."),
    "invalid_setting": make_fault("A setting or the sample is invalid.", "`detail` says what is allowed."),
    "invalid_slug": make_fault(
        "This is not a valid name of a template or layout.", "Use lower-case letters, digits, - and _."
    ),
    "unknown_file": make_fault("A template cannot have such a file.", "`detail` lists the files that it can have."),
    "template_or_content": make_fault("There are both a template and content.", "Send one of them."),
    "time_out_of_range": make_fault("The time is too early or too late.", "`detail` says which times are possible."),
    "too_large": make_fault(
        "It is too large.", "Send at most 512 KiB for a notification without its attachments, and 256 KiB of variables."
    ),
    "too_long": make_fault("The text is too long.", "Shorten it; `detail` says how long it may be."),
    "too_many": make_fault("There are too many of these.", "`detail` says how many there may be."),
    "unknown_event_type": make_fault("There is no such event type.", "`detail` lists the event types."),
    "unknown_field": make_fault("There is no such field.", "Leave it out, or correct its name."),
    "unknown_template": make_fault("There is no such template.", "Correct the slug, or publish the template first."),
    "unknown_template_version": make_fault("The template has no such version.", "Name another, or leave it out."),
    "unknown_variable": make_fault("The template has no such variable.", "Leave it out, or correct its name."),
    "wrong_variable_type": make_fault("The variable has the wrong type or form.", "Send what `detail` asks for."),
    "wrong_variable_value": make_fault(
        "The template uses the variable as a date, an amount or a style, and it is not one.",
        "Send what `detail` asks for.",
    ),
}
