"""PostgreSQL's side of the database container."""
