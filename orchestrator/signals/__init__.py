"""What is measured for the policies: the speed of workers, and how long their starts take."""
