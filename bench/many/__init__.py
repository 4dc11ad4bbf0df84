"""Several models in one service: what one does to another, and what each further one takes."""
