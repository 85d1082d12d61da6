"""The problem codes of people who sign in, all of them 409: title, meaning, remedy, and the operations."""

STAFF_PROBLEMS = {
    "staff_exists": (
        "This person exists",
        "Somebody with this e-mail address may sign in already, or is disabled.",
        "Change their roles, or enable them.",
        "create_staff",
    ),
    "last_admin": (
        "No admin would be left",
        "This person is the only admin who can sign in.",
        "Make somebody else an admin first.",
        "set_staff_roles disable_staff",
    ),
    "staff_disabled": (
        "The person is disabled",
        "A disabled person cannot set a password.",
        "Enable them first.",
        "create_staff_link",
    ),
}
