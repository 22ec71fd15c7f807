"""The scout: how hard a prompt is and what kind of work it asks for, judged from its text."""
