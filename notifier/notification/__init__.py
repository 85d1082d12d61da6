"""What happens to a notification, one room per step: submit, deliver, settle, move, find. Read these first."""
