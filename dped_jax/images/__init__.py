"""Pictures: files, folders, colour profiles, pixels."""
