"""What the state says, and what to ask for next. No input and no output."""
