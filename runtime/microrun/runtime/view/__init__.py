"""A page in the browser that shows a latents file, also while it grows: its server, and what the page is made of."""
