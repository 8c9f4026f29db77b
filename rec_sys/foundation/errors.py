"""The one exception that is meant for the person at the keyboard."""


class InputError(Exception):
    """Something that the person gave us cannot be used, and they can put it right. The message is
    one line: it names the file, line or field, and says what to do. A command prints it and ends
    with exit code 2. Anything else that escapes is a bug of ours."""
