"""What is wrong with a source although it renders: rules over its mails and settings, each with a stable code."""
