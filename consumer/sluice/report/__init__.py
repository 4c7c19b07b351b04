"""What people look at: outcomes as a page, as a table, as JSON. Pure functions from values to text and renderables."""
