"""Users, projects with their members and roles, API tokens."""
