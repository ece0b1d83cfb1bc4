"""What each worker holds of a host, who may start on what is free, and who makes room."""
