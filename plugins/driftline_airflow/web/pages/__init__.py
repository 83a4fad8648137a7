"""Pages for people: one a file, server-rendered, with a small script each."""
