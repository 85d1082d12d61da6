"""The only writer of a notification's status; what people do to a notification."""
