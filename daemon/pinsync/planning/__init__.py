"""Pure decisions: what to do at a remote (`diff`), and what must not be done yet (`guard`)."""
